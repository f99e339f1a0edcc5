"""One session of a daemon: from a connect to the disconnect, through every lost link between."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any, AsyncIterator, Coroutine, Dict, Mapping, Optional, Tuple, cast

from .._bench import Bench, Item, Registered, text_of
from .._endpoint import Answer, exception_of
from .._events import read_value
from .._generated import MAX_ATTACHMENTS, MAX_CHUNKS_IN_FLIGHT, CallDoneEvent
from .._generated import DaemonClientErrorCode, LostEvent, NativeEvent, NoticeEvent
from .._generated import ReadyEvent, WorkDrainedEvent, WorkEvent
from .._json import encode
from ..errors import MoorlineError, error_of
from ._blobs import Bytes, encode_with_blobs, text_of_bytes, unpack
from ._listeners import Listeners
from .envelope import CommandContext, Envelope, HandlerEntry, Rejection, Stream
from .errors import DaemonClientError, client_error

__all__ = ["Session"]

_EVERY_MESSAGE: Dict[str, Any] = {"key": "*", "meta": {"messages": True}}
_FAILED_ATTEMPTS = ("CONNECT_FAILED", "REGISTRATION_FAILED")


class _Item(Item):
    """A command that runs, or a heartbeat in the making."""

    __slots__ = ("drained", "handler", "room", "sent", "streams")

    def __init__(
        self, work: int, key: str, loop: asyncio.AbstractEventLoop, handler: Registered
    ) -> None:
        super().__init__(work, key, loop)
        self.handler = handler
        self.streams = False
        self.sent = 0
        self.drained = 0
        self.room: Optional[asyncio.Future[None]] = None


class Session(Bench):
    """The endpoint behind a `ClusterDaemonClient`, good for one connect."""

    _dialect = "volt"
    _role = "daemon"

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
        self._last_notice = ""
        super().__init__(options, handlers)

    @property
    def is_open(self) -> bool:
        """Whether it connects, is connected, or tries to be again."""
        return self._loop is not None and not self._over

    def listen(self, on: bool) -> None:
        """Asks for messages, or no longer."""
        if not self.is_open:
            return
        if on:
            self._send("handle", 0, _EVERY_MESSAGE)
        else:
            self._send("unhandle", 0, {"key": _EVERY_MESSAGE["key"]})

    def offer(self, command: str, on: bool) -> None:
        """Offers a handler, or withdraws it."""
        if self.is_open:
            self._send("handle" if on else "unhandle", 0, {"key": command})

    def begin(
        self, command: str, payload: Any, timeout_ms: Optional[int]
    ) -> Tuple[asyncio.Future[Answer], int]:
        """Sends a command; the future has its answer, the number gives it up."""
        body: Dict[str, Any] = {"name": command}
        if payload is not None:
            body["payload"] = payload
        if timeout_ms is not None:
            body["options"] = {"timeout_ms": timeout_ms}
        return self._begin_call("call", body)

    def give_up(self, call: int) -> None:
        """Cancels a command, unless it is settled."""
        self._give_up(call)

    def value_of(self, event: CallDoneEvent) -> Any:
        """Returns the data of an answer with its byte strings, or raises what went wrong."""
        return self._value_of(event)

    def emit(self, message: Any, name: str = "") -> None:
        """Sends a message, or queues it until registered; refuses what cannot be sent."""
        if not self.is_open or self.has_left:
            raise error_of("NOT_STARTED", "the daemon is not connected: nothing can be emitted")
        body = {"name": name, "payload": message}
        text, blobs = encode_with_blobs("emit", 0, body)
        if len(blobs) > MAX_ATTACHMENTS:
            raise error_of("TOO_LARGE", f"a message holds at most {MAX_ATTACHMENTS} byte strings")
        size = len(text) - sum(map(len, blobs))
        if self._max_message is not None and size > self._max_message:
            limit = f"the control plane takes {self._max_message} bytes at most"
            raise error_of("TOO_LARGE", f"the message has {size} bytes, {limit}")
        self._send_text(text)

    async def leave(self) -> None:
        """Says farewell and ends; no listener is told anything from here on. Never fails."""
        self._listeners = Listeners()
        self.is_ready = False
        self.has_left = True
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
        try:
            return encode([name, number, body])
        except MoorlineError:
            return encode_with_blobs(name, number, body)[0]

    def _on_event(self, event: NativeEvent) -> None:
        if event["event"] == "work":
            self._on_work(event)
        elif event["event"] == "message":
            payload = _value(event)
            if payload is not None:
                self._listeners.tell(self._listeners.message, payload)
        elif event["event"] == "work_drained":
            self._on_drained(event)
        elif event["event"] == "beat_asked":
            self._on_beat(event["beat"])
        elif event["event"] == "enrolled":
            self.password = event["password"]
        elif event["event"] == "ready":
            self._on_ready(event)
        elif event["event"] == "lost":
            self._on_lost(event)
        elif event["event"] == "notice":
            self._on_notice(event)
        else:
            if event["event"] == "ended" and event["error"] is not None:
                self._on_fatal(exception_of(event["error"]))
            super()._on_event(event)

    def _value_of(self, event: CallDoneEvent) -> Any:
        value = super()._value_of(event)
        return unpack(value, event["blobs"]) if "blobs" in event else value

    def _on_message(self, text: bytes) -> None:
        try:
            payload = read_value(text)
        except MoorlineError:
            # What Python cannot read is no message.
            return
        if payload is not None:
            self._listeners.tell(self._listeners.message, payload)

    def _on_ready(self, event: ReadyEvent) -> None:
        self.is_ready = True
        self._max_message = event["max_message"]
        self._listeners.tell(self._listeners.connected)
        super()._on_event(event)

    def _on_lost(self, event: LostEvent) -> None:
        self.is_ready = False
        super()._on_event(event)
        self._listeners.tell(self._listeners.disconnected, event["reason"]["message"])

    def _on_notice(self, event: NoticeEvent) -> None:
        super()._on_event(event)
        cause = exception_of(event["error"])
        self._last_notice = cause.message
        if cause.code in _FAILED_ATTEMPTS and not self._ready.done():
            self._ready.set_result(cause)
        self._listeners.report(client_error(cause))

    def _on_fatal(self, error: MoorlineError) -> None:
        # A failed enrollment is told by connect alone; what a notice has told is told once.
        if error.code != "ENROLLMENT_FAILED" and error.message != self._last_notice:
            code = DaemonClientErrorCode.SocketConnectionFailed
            self._listeners.report(client_error(error, code))

    # Commands of the control plane

    def _on_work(self, event: WorkEvent) -> None:
        handler = self._handlers.get(event["key"])
        if handler is None:
            # It was withdrawn while the command was on its way.
            told = {"status": 404, "message": f"Unknown daemon command: {event['key']}"}
            self._send("done", event["work"], {"value": {"reject": told}})
            return
        item = _Item(event["work"], event["key"], asyncio.get_running_loop(), handler)
        item.context = CommandContext(item, event["meta"])
        item.streams = event["meta"]["response_type"] == "stream"
        self._begin(item, handler, _value(event))

    def _on_beat(self, beat: int) -> None:
        if self._factory is not None:
            item = _Item(beat, "", asyncio.get_running_loop(), self._factory)
            self._begin(item, self._factory, None)

    def _on_drained(self, event: WorkDrainedEvent) -> None:
        item = cast("Optional[_Item]", self._items.get(event["work"]))
        if item is not None:
            item.drained = event["chunks"]
            if item.room is not None and not item.room.done():
                item.room.set_result(None)

    def _complete(self, item: Item, value: Any) -> Optional[Coroutine[Any, Any, None]]:
        handler = cast(_Item, item).handler
        if not isinstance(handler, HandlerEntry):
            self._settle(item, "done", {"value": value})
            return None
        envelope = handler.envelope(value)
        if envelope.stream is not None and cast(_Item, item).streams:
            return self._stream(cast(_Item, item), envelope, envelope.stream)
        answer = envelope.head()
        if envelope.data is not None:
            answer["data"] = envelope.data
        if envelope.body is not None:
            answer["body"] = text_of_bytes(envelope.body)
        self._settle(item, "done", {"value": answer})
        return None if envelope.stream is None else _close(envelope.stream)

    def _fail(self, item: Item, error: BaseException) -> None:
        if isinstance(error, Rejection):
            told = {"status": error.status, "message": error.message}
            self._settle(item, "done", {"value": {"reject": told}})
            return
        super()._fail(item, error)
        if item.reason is None and isinstance(cast(_Item, item).handler, HandlerEntry):
            text = f'Handler for command "{item.key}" threw an unhandled error'
            report = DaemonClientError(DaemonClientErrorCode.HandlerError, text)
            report.__cause__ = error
            # A plain function fails on its thread.
            item.loop.call_soon_threadsafe(self._listeners.report, report)

    async def _stream(self, item: _Item, envelope: Envelope, stream: Stream) -> None:
        try:
            self._send("progress", item.work, {"open": envelope.head()})
            async for chunk in _chunks(stream):
                while item.sent - item.drained >= MAX_CHUNKS_IN_FLIGHT:
                    item.room = item.loop.create_future()
                    await item.room
                self._send("progress", item.work, {"chunk": text_of_bytes(chunk)})
                item.sent += 1
            self._settle(item, "done", {"value": {}})
        except asyncio.CancelledError as error:
            if not self._torn_down:
                self._settle(item, "failed", {"message": text_of(error)})
            raise
        except Exception as error:
            # The answer has begun: all that is left is to end it with what went wrong.
            self._settle(item, "failed", {"message": text_of(error)})
        finally:
            await _close(stream)


def _value(event: Any) -> Any:
    """Returns the payload of an event with its byte strings."""
    payload = event.get("payload")
    blobs = event.get("blobs")
    return payload if blobs is None else unpack(payload, blobs)


async def _chunks(stream: Any) -> AsyncIterator[Any]:
    if isinstance(stream, (str, *Bytes)):
        raise TypeError("a stream is an iterable of bytes; bytes alone are a body")
    if hasattr(stream, "__aiter__"):
        async for chunk in stream:
            yield chunk
        return
    iterator = iter(stream)
    end = object()
    loop = asyncio.get_running_loop()
    while (chunk := await loop.run_in_executor(None, next, iterator, end)) is not end:
        yield chunk


async def _close(stream: Any) -> None:
    close = getattr(stream, "aclose", None) or getattr(stream, "close", None)
    if close is None:
        return
    try:
        closed = close()
        if inspect.isawaitable(closed):
            await closed
    except Exception as error:
        # A generator that still runs on its thread cannot be closed; it is let go of.
        loop = asyncio.get_running_loop()
        if not isinstance(error, ValueError):
            loop.call_exception_handler({"message": "closing a stream failed", "exception": error})
