"""One endpoint of the core on an asyncio event loop: what workers, dispatchers and hubs share.

The native handle owns the link and a thread of its own. Here its doorbell wakes the loop, calls are
futures kept by id, and the commands of one turn of the loop cross together.

Answers and messages come as texts that are read one by one, answers by their callers: read all at
once, they would make so many dicts live that the garbage collector searches everything the
application holds, again and again.
All other events of a drain are parsed together.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import re
import threading
import warnings
from asyncio import get_running_loop
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, ClassVar, Dict, FrozenSet, Iterator, List
from typing import Mapping, Optional, Tuple, Type, Union, cast, get_args, get_type_hints

from ._blobs import encode_with_blobs, payload_of, unpack
from ._doorbell import Unwatch, watch
from ._events import read, read_value
from ._generated import CallDoneEvent, CallPartEvent, DrainingEvent, EndedEvent, LostEvent
from ._generated import MessageEvent, NativeError, NativeEvent, NoticeEvent, PeerJoinedEvent
from ._generated import PeerLeftEvent, ReadyEvent
from ._json import encode
from ._native import Native
from ._process import Process, on_stop
from ._text import failure_of, said
from .errors import MoorlineError, error_of

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Answer", "Endpoint", "Event", "exception_of"]

Event = Union[
    ReadyEvent, LostEvent, NoticeEvent, DrainingEvent, PeerJoinedEvent, PeerLeftEvent, EndedEvent
]
"""What `on_event` is told; told apart by the field `event`."""

Answer = Union[bytes, CallDoneEvent]
"""What ends a call: the text of its result, or an event that says more."""

_logger = logging.getLogger("moorline")
_OnPart = Callable[[Any], None]
_CONTENT = frozenset({"received", "closed", "admission_asked", "backlog", "heartbeat"})
"""Kinds of events of roles whose messages are text or bytes."""
_ALL = (get_args(get_type_hints(shape)["event"])[0] for shape in get_args(NativeEvent))
_KINDS = frozenset(_ALL) - _CONTENT
"""All other kinds of events that cross."""
_KEPT = 0
"""In place of a call's number: a command that no call waits for and that must not be lost."""
_OUTCOME = re.compile(rb'\["(done|failed)",(\d+),')
_LAST_WORDS = {"message": "the handler failed, and what it said cannot be carried"}
"""A failure that cannot be refused."""
_LONGEST_MS = 2**53 - 1
_MESSAGE = 0
"""In place of a call's number: what arrived is a message."""


class Endpoint:
    """What the roles of all dialects share. Belongs to the event loop on which it connects.

    A role names itself, has a method `_on_KIND` for each kind of event that it hears, and lists the
    others: a class that forgets a kind cannot be made.
    """

    _dialect: ClassVar[str] = "beacon"
    _role: ClassVar[str]
    _ignored: ClassVar[FrozenSet[str]]
    """The kinds of events that the role does not hear."""
    _carries_bytes: ClassVar[bool] = False
    """Whether the dialect's payloads hold byte strings."""
    _hears_content: ClassVar[bool] = False
    """Whether the dialect's messages are text or bytes instead of JSON."""
    _heard: ClassVar[Dict[str, Callable[[Any, Any], None]]]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        ignored = getattr(cls, "_ignored", None)
        if ignored is None:
            # What roles have in common is no role.
            return
        kinds = _KINDS | _CONTENT if cls._hears_content else _KINDS
        cls._heard = {kind: getattr(cls, f"_on_{kind}") for kind in kinds - ignored}

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.on_event: Optional[Callable[[Event], None]] = None
        """Called on the loop when the link comes and goes, and with everything worth knowing."""
        self._options = encode(options).decode()
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._thread = 0
        self._unwatch: Optional[Unwatch] = None
        self._id: Optional[str] = None
        self._calls: Dict[int, asyncio.Future[Answer]] = {}
        self._on_parts: Dict[int, _OnPart] = {}
        self._call_ids = itertools.count(1)
        self._turn: List[bytes] = []
        self._turn_calls: List[int] = []
        self._arrived: Iterator[Tuple[int, Answer]] = iter(())
        self._outcomes: List[Tuple[int, Answer]] = []
        self._flushing = False
        self._over = False
        self._is_leaving = False
        self._cut_short: Optional[MoorlineError] = None
        self._lost: Optional[MoorlineError] = None
        """Why the last attempt failed."""
        self._open()

    @property
    def id(self) -> Optional[str]:
        """Our id at the control plane, or the address listened on; `None` before `connect`."""
        return self._id

    async def connect(self) -> Self:
        """Connects, or listens, and returns once registered.

        Raises the error that ended the endpoint if it cannot succeed. While the control plane is
        away it goes on trying; bound it with `asyncio.wait_for`.
        """
        if self._loop is not None:
            raise error_of("ALREADY_STARTED", "connect was called before")
        if self._process is not Process.current:
            self._open()
        elif self._over:
            raise error_of("STOPPED", "the endpoint was closed before it connected")
        loop = self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._ready: asyncio.Future[Optional[MoorlineError]] = loop.create_future()
        self._ended: asyncio.Future[Optional[MoorlineError]] = loop.create_future()
        self._unwatch = watch(loop, self._native, self._on_doorbell)
        self._life: asyncio.Future[None] = loop.create_future()
        self._guard = loop.create_task(self._end_with_the_loop())
        try:
            self._greet()
            self._send("start")
            error = await asyncio.shield(self._ready)
        except BaseException as given_up:
            self._finish(None)
            # A timeout says more with what it waited for.
            given_up.__cause__ = given_up.__cause__ or self._lost
            raise
        if error is not None:
            raise error
        return self

    async def drain(self, drain_ms: Optional[float] = None) -> None:
        """Takes no new work, lets what runs finish for `drain_ms`, says farewell and ends.

        Without `drain_ms` the core's default applies; `math.inf` is as long as it needs. Raises
        `DRAIN_TIMEOUT` if work had to be withdrawn, and `ARGUMENT_INVALID`, which ends nothing, for
        what is no whole number of milliseconds. After the end it is `ended()`. Before `connect()` nothing
        runs: it ends the endpoint at once.
        """
        limit = _limit(drain_ms)
        if self._loop is None and self._process is Process.current:
            return await self.close()
        if not self._over:
            self._running_loop()
            self._stop(limit)
        await self.ended()

    async def ended(self) -> None:
        """Waits for the end and raises the error that ended the endpoint, if any."""
        if not self._over:
            self._running_loop()
        elif self._loop is None:
            raise error_of("STOPPED", "the endpoint was closed before it connected")
        error = await asyncio.shield(self._ended)
        if error is not None:
            raise error

    async def run(self, drain_ms: Optional[float] = None) -> None:
        """Connects if need be and runs until the end.

        SIGTERM and SIGINT, which is Ctrl-C, drain for `drain_ms`; a second one ends at once, and so
        does one before the first registration. The same signal twice within 100 ms counts once.
        """
        limit = _limit(drain_ms)
        is_told = False

        def terminate() -> None:
            nonlocal is_told
            at_once, is_told = is_told or self._id is None, True
            try:
                self._stop(0 if at_once else limit)
            except MoorlineError:
                self._finish(None)

        with on_stop(asyncio.get_running_loop(), terminate):
            try:
                if self._loop is None:
                    await self.connect()
                await self.ended()
            except MoorlineError as error:
                if not is_told or error.code != "STOPPED":
                    raise

    async def close(self) -> None:
        """Ends at once: what runs is withdrawn, calls fail with `STOPPED`. Safe to repeat."""
        if self._loop is not None and not self._over:
            self._running_loop()
            self._flush()
        self._finish(None)

    async def snapshot(self) -> Dict[str, Any]:
        """Returns the state: link, counters, peers."""
        return cast(Dict[str, Any], await self._request("snapshot"))

    async def __aenter__(self) -> Self:
        return await self.connect()

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        if self._over:
            return
        try:
            await self.drain()
        except MoorlineError as lost:
            # What is under way already says more.
            if error is None:
                raise
            _logger.warning("%s", lost)
        finally:
            self._finish(None)

    def __del__(self) -> None:
        if getattr(self, "_unwatch", None) is not None:
            warnings.warn(f"{self!r} was never closed", ResourceWarning, source=self)

    # Commands

    async def _request(self, name: str, body: Any = None, on_part: Optional[_OnPart] = None) -> Any:
        future, call = self._begin_call(name, body)
        if on_part is not None:
            self._on_parts[call] = on_part
        try:
            answer = await future
        except asyncio.CancelledError:
            self._give_up(call)
            raise
        finally:
            if on_part is not None:
                self._on_parts.pop(call, None)
        if isinstance(answer, bytes):
            return read_value(answer)
        failed = answer.get("error")
        if failed:
            raise self._exception_of(failed) if name == "call" else exception_of(failed)
        value = answer.get("value")
        return unpack(value, answer["blobs"]) if "blobs" in answer else value

    def _begin_call(self, name: str, body: Any) -> Tuple[asyncio.Future[Answer], int]:
        loop = self._loop
        here = self._process is Process.current and not self._over
        if loop is None or not here or get_running_loop() is not loop:
            loop = self._running_loop()
        call = next(self._call_ids)
        text = self._encode(name, call, body)
        future: asyncio.Future[Answer] = loop.create_future()
        self._calls[call] = future
        self._turn.append(text)
        self._turn_calls.append(call)
        if not self._flushing:
            self._flushing = True
            loop.call_soon(self._flush)
        return future, call

    def _give_up(self, call: int) -> None:
        if self._calls.pop(call, None) is not None:
            self._send("cancel", call)

    def _exception_of(self, error: NativeError) -> Exception:
        """Makes what a failed call raises."""
        return exception_of(error)

    def _encode(self, name: str, number: int, body: Any) -> bytes:
        if self._carries_bytes:
            return encode_with_blobs(name, number, body)[0]
        return encode([name, number, body])

    def _send(self, name: str, number: int = 0, body: Any = None) -> None:
        self._send_text(self._encode(name, number, body))

    def _send_text(self, text: bytes) -> None:
        loop = self._loop
        if loop is None:
            raise error_of("NOT_STARTED", "connect first")
        if self._over:
            return
        if threading.get_ident() != self._thread:
            self._submit([text], [_KEPT])
            return
        self._turn.append(text)
        self._turn_calls.append(_KEPT)
        if not self._flushing:
            self._flushing = True
            loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        turn, calls = self._turn, self._turn_calls
        if turn:
            self._turn, self._turn_calls = [], []
            self._submit(turn, calls)

    def _submit(self, turn: List[bytes], calls: List[int]) -> None:
        try:
            self._native.submit(b"[%b]" % b",".join(turn))
        except MoorlineError as error:
            if not self._over and self._loop is not None:
                self._loop.call_soon_threadsafe(self._on_refused, turn, calls, error)

    def _on_refused(self, turn: List[bytes], calls: List[int], error: MoorlineError) -> None:
        if error.code == "ARGUMENT_INVALID" and len(turn) > 1:
            # A batch is refused as a whole; one that is wrong must not cost the others.
            for text, call in zip(turn, calls):
                self._submit([text], [call])
            return
        kept: List[bytes] = []
        for text, call in zip(turn, calls):
            if call == _KEPT:
                kept.append(text)
                continue
            future = self._calls.pop(call, None)
            if future is not None:
                _settle(future, None, error)
        if error.retryable:
            # Outcomes must not be lost; they go with the next turn that the full queue lets through.
            self._turn[:0] = kept
            self._turn_calls[:0] = [_KEPT] * len(kept)
            if self._loop is not None and not self._flushing:
                self._flushing = True
                self._loop.call_soon(self._flush)
        elif not self._over:
            _logger.error("commands refused: %s", error)
            for text in kept:
                self._on_lost_command(text, error)

    def _on_lost_command(self, text: bytes, error: MoorlineError) -> None:
        """Tells who waits for what a refused command was to bring about."""
        outcome = _OUTCOME.match(text)
        if text.startswith(b'["start",'):
            self._finish(error)
        elif outcome is not None and error.code == "ARGUMENT_INVALID":
            work = int(outcome[2])
            last = self._encode("failed", work, _LAST_WORDS)
            if outcome[1] == b"done":
                self._send("failed", work, {"message": failure_of(error)})
            elif text != last:
                self._send_text(last)

    def _stop(self, drain_ms: Optional[int]) -> None:
        body = {} if drain_ms is None else {"drain_ms": drain_ms}
        self._flush()
        # Alone and at once: who waits for the end must learn that the stop was refused.
        self._native.submit(encode([["stop", 0, body]]))
        self._is_leaving = True

    # Events

    def _on_doorbell(self) -> None:
        if self._process is not Process.current or self._over:
            # In a forked child, draining would silence the parent's doorbell.
            return
        calls, answers, batch, more, ended = self._native.drain()
        self._flushing = True
        try:
            self._answer(zip(calls, answers))
            for event in read(batch, self._on_unreadable) if batch else ():
                try:
                    hear = self._heard.get(event["event"])
                    if hear is not None:
                        hear(self, event)
                except Exception as error:
                    self._complain(f"handling the event {event['event']} failed", error)
            outcomes, self._outcomes = self._outcomes, []
            self._answer(iter(outcomes))
        finally:
            self._answer_later()
            # What callers sent when they woke crosses with the rest.
            self._flush()
            if more and self._loop is not None:
                self._loop.call_soon(self._on_doorbell)
        if ended:
            self._finish(None)

    def _answer(self, arrived: Iterator[Tuple[int, Answer]]) -> None:
        """Answers calls and hands on messages; each caller runs on before the next one is answered.

        A future wakes who awaits it by a handle of the loop's own, which costs more than all else that
        is done for an answer; and by the time the handle runs, a thousand others have driven the
        caller out of the processor's cache. We are called by the loop, as handles are.
        """
        self._arrived = arrived
        pop = self._calls.pop
        for call, answer in arrived:
            future = pop(call, None)
            if future is None:
                if call == _MESSAGE and isinstance(answer, bytes):
                    self._on_text(answer)
                continue
            waiting = getattr(future, "_callbacks", None)
            if waiting is not None and len(waiting) == 1:
                ((wake, context),) = waiting
                future.remove_done_callback(wake)
                future.set_result(answer)
                context.run(wake, future)
            else:
                _settle(future, answer)

    def _answer_later(self) -> None:
        """Answers what is left when a caller closed the endpoint or ended the loop."""
        outcomes, self._outcomes = self._outcomes, []
        for call, answer in itertools.chain(self._arrived, outcomes):
            future = self._calls.pop(call, None)
            if future is not None:
                _settle(future, answer)
            elif call == _MESSAGE and isinstance(answer, bytes) and self._loop is not None:
                self._loop.call_soon(self._on_text, answer)

    def _on_call_done(self, event: CallDoneEvent) -> None:
        # Callers find everything else done that came with the end of their calls.
        self._outcomes.append((event["call"], event))

    def _on_call_part(self, event: CallPartEvent) -> None:
        on_part = self._on_parts.get(event["call"])
        if on_part is not None:
            on_part(event["part"])

    def _on_ready(self, event: ReadyEvent) -> None:
        self._id = event["id"]
        _logger.info("ready as %s over %s", event["id"], event["transport"])
        if not self._ready.done():
            self._ready.set_result(None)
        self._tell(event)

    def _on_lost(self, event: LostEvent) -> None:
        reason = self._lost = exception_of(event["reason"])
        _logger.warning("link lost: %s; next attempt in %d ms", reason, event["retry_ms"])
        self._tell(event)

    def _on_notice(self, event: NoticeEvent) -> None:
        _logger.warning("%s", exception_of(event["error"]))
        self._tell(event)

    def _on_draining(self, event: DrainingEvent) -> None:
        self._tell(event)

    def _on_ended(self, event: EndedEvent) -> None:
        self._tell(event)
        self._finish(exception_of(event["error"]) if event["error"] else None)

    def _on_message(self, event: MessageEvent) -> None:
        payload = payload_of(event)
        if payload is not None:
            self._hear(payload)

    def _on_text(self, text: bytes) -> None:
        if "message" not in self._heard:
            return
        try:
            payload = read_value(text)
        except MoorlineError:
            # What Python cannot read is no message.
            return
        if payload is not None:
            self._hear(payload)

    def _hear(self, payload: Any) -> None:
        """Handles a message."""

    def _on_unreadable(self, kind: str, number: int, error: Exception) -> None:
        if kind == "call_done":
            future = self._calls.pop(number, None)
            if future is not None:
                _settle(future, None, error_of("PEER_PROTOCOL", f"the result: {error}"))

    def _tell(self, event: Event) -> None:
        if self.on_event is None:
            return
        try:
            self.on_event(event)
        except Exception as error:
            self._complain(f"on_event failed with the event {event['event']}", error)

    def _complain(self, message: str, error: BaseException) -> None:
        if self._loop is not None:
            self._loop.call_exception_handler({"message": message, "exception": error})

    # Beginning and end

    def _open(self) -> None:
        self._process = Process.current
        self._native = Native(self._dialect, self._role, self._options)

    def _greet(self) -> None:
        """Sends what must precede the start."""

    def _farewell(self) -> None:
        """Lets go of what a subclass holds; the endpoint has ended."""

    def _finish(self, error: Optional[MoorlineError]) -> None:
        if self._over:
            return
        self._over = True
        here = self._process is Process.current
        self._answer_later()
        if self._unwatch is not None and here:
            self._unwatch()
        self._unwatch = None
        if here:
            self._native.close()
        if self._loop is None:
            return
        stopped = error or error_of("STOPPED", "the endpoint has ended")
        _settle(self._ready, stopped)
        _settle(self._ended, error or self._cut_short)
        _settle(self._life, None)
        calls, self._calls = self._calls, {}
        for future in calls.values():
            _settle(future, None, stopped)
        self._farewell()

    async def _end_with_the_loop(self) -> None:
        # A loop that is torn down cancels this task with all others. Without it, a worker that was
        # never closed would go on taking work that nobody handles.
        try:
            await self._life
        finally:
            self._finish(None)

    @property
    def _torn_down(self) -> bool:
        return self._over or self._life.cancelled()

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        loop = self._loop
        if self._process is not Process.current:
            raise error_of("FORKED", "the handle belongs to the parent process; open a new one")
        if loop is None:
            raise error_of("NOT_STARTED", "connect first")
        if self._over:
            raise error_of("STOPPED", "the endpoint has ended")
        if asyncio.get_running_loop() is not loop:
            raise error_of("ARGUMENT_INVALID", "connected on another event loop")
        return loop


def _limit(drain_ms: Optional[float]) -> Optional[int]:
    """Checks the time for a drain."""
    if drain_ms is None:
        return None
    if drain_ms == math.inf:
        return _LONGEST_MS
    if type(drain_ms) is int and drain_ms >= 0:
        return min(drain_ms, _LONGEST_MS)
    message = f"drain takes whole milliseconds, or math.inf, not {said(drain_ms)}"
    raise error_of("ARGUMENT_INVALID", message)


def _settle(
    future: "asyncio.Future[Any]", value: Any, error: Optional[MoorlineError] = None
) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(error)


def exception_of(error: NativeError) -> MoorlineError:
    """Makes the exception for an error that crossed."""
    exception = error_of(error["code"], error["message"])
    exception.status = error.get("status")
    return exception
