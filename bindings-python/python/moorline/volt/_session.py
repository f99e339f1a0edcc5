"""One session of a daemon: from a connect to the disconnect, through every lost link between."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, Callable, Coroutine, Dict, Mapping, Optional

from .._bench import Bench, Item, Registered
from .._blobs import encode_with_blobs, text_of_bytes
from .._endpoint import exception_of
from .._generated import MAX_ATTACHMENTS, BeatAskedEvent, DaemonClientErrorCode, EndedEvent
from .._generated import EnrolledEvent, LostEvent, NativeError, NoticeEvent, ReadyEvent, WorkEvent
from .._pace import Pace
from .._streams import close
from .._text import said
from ..errors import MoorlineError, error_of
from ._listeners import Listeners
from .envelope import CommandContext, HandlerEntry, Rejection
from .errors import DaemonClientError, client_error

__all__ = ["Session"]

_EVERY_MESSAGE: Dict[str, Any] = {"key": "*", "meta": {"messages": True}}
_SENT: Dict[str, Any] = {"name": "$sent"}
_FAILED_ATTEMPTS = ("CONNECT_FAILED", "REGISTRATION_FAILED", "ENROLLMENT_FAILED")


class Session(Bench):
    """The endpoint behind a `ClusterDaemonClient`, good for one connect."""

    _dialect = "volt"
    _role = "daemon"
    _ignored = frozenset({"peer_joined", "peer_left"})
    _carries_bytes = True

    def __init__(
        self,
        options: Mapping[str, Any],
        handlers: Dict[str, Any],
        listeners: Listeners,
        factory: Optional[Registered],
    ) -> None:
        self.is_ready = False
        self.has_left = False
        """Whether `leave` was called."""
        self.password: Optional[str] = None
        """The password that an enrollment returned."""
        self._listeners = listeners
        self._factory = factory
        self._max_message: Optional[int] = None
        limits: Dict[str, Any] = options.get("limits") or {}
        self._pace = Pace(limits.get("max_send_queue_bytes"), self._ask_sent)
        self._last_notice = ""
        super().__init__(options, handlers)

    @property
    def is_open(self) -> bool:
        """Whether it connects, is connected, or tries to be again."""
        return self._loop is not None and not self._over

    def listen(self, on: bool) -> None:
        """Asks for messages, or no longer."""
        if on and self.is_open:
            self._send("handle", 0, _EVERY_MESSAGE)
        elif self.is_open:
            self._take_back(_EVERY_MESSAGE["key"])

    def offer(self, command: str, on: bool) -> None:
        """Offers a handler, or withdraws it."""
        if on:
            self._offer(command, {})
        else:
            self._take_back(command)

    async def ask(self, command: str, payload: Any, timeout_ms: Optional[int]) -> Any:
        """Sends a command and returns the data of its answer."""
        if not self._pace.has_room:
            await self._pace.room()
        body: Dict[str, Any] = {"name": command}
        if payload is not None:
            body["payload"] = payload
        if timeout_ms is not None:
            body["options"] = {"timeout_ms": timeout_ms}
        return await self._request("call", body)

    def emit(self, message: Any, name: str = "") -> None:
        """Sends a message, or queues it until registered; refuses what cannot be sent."""
        if not self.is_open or self.has_left:
            raise error_of("NOT_STARTED", "the daemon is not connected: nothing can be emitted")
        body = {"name": name, "payload": message}
        text, blobs = encode_with_blobs("emit", 0, body)
        if len(blobs) > MAX_ATTACHMENTS:
            raise error_of("TOO_LARGE", f"a message holds at most {MAX_ATTACHMENTS} byte strings")
        sizes = [len(blob) * 3 // 4 - blob.count("=", -2) for blob in blobs]
        size = max(len(text) - sum(map(len, blobs)), *sizes, 0)
        if self._max_message is not None and size > self._max_message:
            limit = f"the control plane takes {self._max_message} bytes at most"
            raise error_of("TOO_LARGE", f"the message has {size} bytes, {limit}")
        self._pace.check()
        self._pace.add(len(text))
        self._send_text(text)

    async def flushed(self) -> None:
        """Returns when everything has left that was emitted before."""
        total = self._pace.total
        await self._request("call", _SENT)
        self._pace.left(total)

    async def leave(self) -> None:
        """Says farewell and ends; no listener is told anything from here on. Never fails."""
        self._listeners = Listeners()
        self.is_ready = False
        self.has_left = True
        self._pace.end()
        if self._loop is not asyncio.get_running_loop() or self._over:
            self._finish(None)
            return
        try:
            self._stop(0)
            await asyncio.shield(self._ended)
        except MoorlineError:
            self._finish(None)

    def _farewell(self) -> None:
        self.is_ready = False
        super()._farewell()

    # Events

    def _greet(self) -> None:
        super()._greet()
        if self._listeners.message:
            self._send("handle", 0, _EVERY_MESSAGE)

    def _encode(self, name: str, number: int, body: Any) -> bytes:
        text = super()._encode(name, number, body)
        if name == "call" and body is not _SENT:
            self._pace.add(len(text))
        return text

    def _ask_sent(self, left: Callable[[Any], None]) -> None:
        def ask() -> None:
            if self._over:
                return left(None)
            self._begin_call("call", _SENT)[0].add_done_callback(left)

        loop = self._loop
        if loop is None:
            return
        if threading.get_ident() == self._thread:
            # What is being written now goes before the question.
            loop.call_soon(ask)
        else:
            loop.call_soon_threadsafe(ask)

    def _exception_of(self, error: NativeError) -> Exception:
        # Made in the client's words at once: thousands may fail together, with the connection.
        return client_error(exception_of(error))

    def _hear(self, payload: Any) -> None:
        self._listeners.tell(self._listeners.message, payload)

    def _on_enrolled(self, event: EnrolledEvent) -> None:
        self.password = event["password"]

    def _on_ready(self, event: ReadyEvent) -> None:
        self.is_ready = True
        self._max_message = event["max_message"]
        self._listeners.tell(self._listeners.connected)
        super()._on_ready(event)

    def _on_lost(self, event: LostEvent) -> None:
        self.is_ready = False
        self._pace.end()
        super()._on_lost(event)
        self._listeners.tell(self._listeners.disconnected, event["reason"]["message"])

    def _on_notice(self, event: NoticeEvent) -> None:
        super()._on_notice(event)
        cause = exception_of(event["error"])
        self._last_notice = cause.message
        if cause.code in _FAILED_ATTEMPTS and not self._ready.done():
            self._ready.set_result(cause)
        self._listeners.report(client_error(cause))

    def _on_ended(self, event: EndedEvent) -> None:
        if event["error"] is not None:
            error = exception_of(event["error"])
            # A failed enrollment is told by connect alone; what a notice has told is told once.
            if error.code != "ENROLLMENT_FAILED" and error.message != self._last_notice:
                code = DaemonClientErrorCode.SocketConnectionFailed
                self._listeners.report(client_error(error, code))
        super()._on_ended(event)

    # Commands of the control plane

    def _on_unknown(self, event: WorkEvent) -> None:
        refusal = _refusal(404, f"Unknown daemon command: {event['key']}")
        self._send("done", event["work"], refusal)

    def _context(self, event: WorkEvent, item: Item) -> CommandContext:
        return CommandContext(item, event["meta"])

    def _on_beat_asked(self, event: BeatAskedEvent) -> None:
        if self._factory is not None:
            item = Item(event["beat"], "", asyncio.get_running_loop(), self._factory)
            self._begin(item, None)

    def _complete(self, item: Item, value: Any) -> Optional[Coroutine[Any, Any, None]]:
        handler = item.handler
        if not isinstance(handler, HandlerEntry):
            self._settle(item, "done", {"value": value})
            return None
        envelope = handler.envelope(value)
        if envelope.stream is not None and item.context.response_type == "stream":
            return self._stream(item, envelope.head(), envelope.stream)
        answer = envelope.head()
        if envelope.data is not None:
            answer["data"] = envelope.data
        if envelope.body is not None:
            answer["body"] = text_of_bytes(envelope.body)
        self._settle(item, "done", {"value": answer})
        return None if envelope.stream is None else close(envelope.stream)

    def _fail(self, item: Item, error: BaseException) -> None:
        if isinstance(error, Rejection):
            # A class of the application's own may have forgotten them.
            status = getattr(error, "status", None)
            if isinstance(status, int):
                message = said(getattr(error, "message", error))
                self._settle(item, "done", _refusal(int(status), message))
                return
        super()._fail(item, error)
        if item.reason is None and isinstance(item.handler, HandlerEntry):
            text = f'Handler for command "{item.key}" threw an unhandled error'
            report = DaemonClientError(DaemonClientErrorCode.HandlerError, text)
            report.__cause__ = error
            # A plain function fails on its thread.
            item.loop.call_soon_threadsafe(self._listeners.report, report)


def _refusal(status: int, message: str) -> Dict[str, Any]:
    return {"value": {"reject": {"status": status, "message": message}}}
