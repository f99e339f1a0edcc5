"""The daemon of a team cluster: handlers for the control plane's commands, commands to it."""

from __future__ import annotations

import asyncio
import functools
import logging
from types import TracebackType
from typing import TYPE_CHECKING, Any, Awaitable, Callable, Dict, List, Mapping, Optional
from typing import Protocol, Type, TypeVar, Union, cast, overload

from .._bench import Registered, is_coroutine
from .._generated import DaemonClientErrorCode, DaemonOptions
from .._process import on_stop
from ..errors import MoorlineError, error_of
from ._listeners import Listener, Listeners
from ._session import Session
from .envelope import CommandContext, HandlerEntry
from .errors import DaemonClientError, client_error

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

__all__ = ["ClusterDaemonClient", "Handler", "HandlerObject", "PayloadFactory", "Unsubscribe"]


class HandlerObject(Protocol):
    """A handler as an object: what it returns is an envelope, its fields as a dict, or None."""

    def handle(self, payload: Any, context: CommandContext, /) -> Any: ...


Handler = Union[Callable[[Any, CommandContext], Any], Callable[[Any], Any], HandlerObject]
"""A function, plain or a coroutine, of the payload or of payload and context; or an object."""

PayloadFactory = Callable[[], Union[Mapping[str, Any], Awaitable[Mapping[str, Any]]]]
"""Makes the payload of a heartbeat."""

Unsubscribe = Callable[[], None]
"""Removes a listener; safe to repeat."""

_H = TypeVar("_H", bound=Handler)
_logger = logging.getLogger("moorline")


class ClusterDaemonClient:
    """A VOLT cluster daemon.

    ```python
    daemon = ClusterDaemonClient(
        control_socket_url="ws://127.0.0.1:7843",
        team_cluster_id="cluster-abc123",
        daemon_password="secret",
        heartbeat={"include_credentials": True},
    )

    @daemon.register_handler("jobs.run")
    async def run(payload, context):
        return {"started": payload["jobId"]}

    asyncio.run(daemon.run())
    ```

    Options are keyword arguments; wrong ones raise one `MoorlineError` that names them all.
    `heartbeat_payload` makes the payload of each heartbeat: a coroutine function on the loop, a plain
    one on a thread. `command_timeout_ms` is the time for commands that name none, heartbeats aside.
    """

    def __init__(
        self,
        *,
        heartbeat_payload: Optional[PayloadFactory] = None,
        command_timeout_ms: Optional[int] = None,
        **options: Unpack[DaemonOptions],
    ) -> None:
        self._options = cast(Dict[str, Any], {**options})
        self._timeout_ms = command_timeout_ms
        self._factory: Optional[Registered] = None
        if heartbeat_payload is not None:
            self._options["heartbeat"] = {**options.get("heartbeat", {}), "asks": True}
            self._factory = _beat_maker(heartbeat_payload)
        self._handlers: Dict[str, HandlerEntry] = {}
        self._listeners = Listeners()
        self._session = self._open()
        self._is_new = True

    @property
    def team_cluster_id(self) -> str:
        """The id under which the daemon registers."""
        return str(self._options.get("team_cluster_id", ""))

    @property
    def daemon_password(self) -> str:
        """The daemon's password: as configured, as enrolled, or as set since.

        Setting it takes effect with the next registration, on this connection or a later one.
        """
        self._learn()
        return str(self._options.get("daemon_password", ""))

    @daemon_password.setter
    def daemon_password(self, password: str) -> None:
        self._learn()
        self._options["daemon_password"] = password
        if self._session.is_open:
            self._session.emit({"password": password}, "$password")

    @property
    def is_ready(self) -> bool:
        """Whether the daemon is registered, so that commands can be sent."""
        return self._session.is_ready

    async def connect(self) -> Self:
        """Enrolls if need be, connects, registers, begins to beat, and returns.

        Raises `DaemonClientError`: `ENROLLMENT_FAILED`, `SOCKET_CONNECTION_FAILED` or
        `SOCKET_REGISTRATION_FAILED`. After the latter two it goes on trying until `disconnect`,
        unless the control plane has no such namespace. A second call replaces the session.
        """
        old, is_new = self._session, self._is_new
        self._is_new = False
        if not is_new:
            self._learn()
            self._session = self._open()
            await old.leave()
        session = self._session
        try:
            await session.connect()
        except MoorlineError as error:
            if session.has_left:
                message = "disconnected before the daemon was registered"
                code = DaemonClientErrorCode.SocketConnectionFailed
                raise DaemonClientError(code, message) from error
            raise client_error(error) from error
        return self

    async def disconnect(self) -> None:
        """Says farewell, closes and returns; listeners are told nothing any more.

        Commands that wait for their answers fail with `SOCKET_NOT_READY`. Never fails, safe to
        repeat; `connect` may be called again.
        """
        if self._is_new:
            return
        self._learn()
        await self._session.leave()

    async def drain(self, drain_ms: Optional[float] = None) -> None:
        """Refuses new commands with status 503, lets what runs finish for `drain_ms`, disconnects.

        What runs are handlers, and commands that wait for their answers. Without `drain_ms` the core's
        default applies. Raises `MoorlineError`: `DRAIN_TIMEOUT` if handlers were still running then, or
        what else ended the session. Returns at once when not connected. `connect` may be called again.
        """
        session = self._session
        if not session.is_open:
            return
        try:
            await session.drain(drain_ms)
        finally:
            if session is self._session:
                self._learn()

    async def run(self) -> None:
        """Connects and goes on until SIGTERM or SIGINT, through failed attempts; then disconnects.

        An enrollment waits for a control plane that is not there yet or is busy, unless the option
        `enrollment.retry` is False. Raises `DaemonClientError` when going on is pointless, as after an
        enrollment that was refused.
        """
        self._enroll_patiently()
        stopped = asyncio.Event()
        with on_stop(asyncio.get_running_loop(), stopped.set):
            stop = asyncio.ensure_future(stopped.wait())
            life = asyncio.ensure_future(self._connect_and_last())
            try:
                await asyncio.wait((stop, life), return_when=asyncio.FIRST_COMPLETED)
                if life.done():
                    life.result()
            except MoorlineError as error:
                raise client_error(error) from error
            finally:
                stop.cancel()
                life.cancel()
                await self.disconnect()
                # What ends with the session ends with it here.
                await asyncio.wait((life,))

    async def send_command(
        self, command: str, payload: Any = None, *, timeout_ms: Optional[int] = None
    ) -> Any:
        """Sends a command and returns the data of the answer; `None` if it has none.

        A payload of `None` is left out. Byte strings may stand anywhere in payload and answer.
        Without `timeout_ms` that of the client applies, else 30 seconds; 0 gives up at once. Raises `DaemonClientError`:
        `SOCKET_NOT_READY` when not registered or when the connection ends first, which leaves open
        whether the command was carried out; `COMMAND_TIMEOUT`; `COMMAND_REJECTED`, with `status`.
        Cancelling the task that waits gives the command up.
        """
        session = self._session
        if not session.is_ready:
            message = "the daemon is not registered at the control plane"
            raise client_error(error_of("NOT_READY", message))
        limit = self._timeout_ms if timeout_ms is None else timeout_ms
        try:
            return await session.ask(command, payload, limit)
        except MoorlineError as error:
            raise client_error(error) from error

    def emit(self, message: Any) -> None:
        """Sends a message without an answer: any JSON, byte strings included.

        While the daemon is not registered, messages wait, bounded by `max_queued`. Raises
        `DaemonClientError` `EMIT_FAILED` before `connect`, after `disconnect`, for what is too large to
        send, and while `limits.max_send_queue_bytes` wait to be sent: see `flushed`.
        """
        try:
            self._session.emit(message)
        except MoorlineError as error:
            raise client_error(error, DaemonClientErrorCode.EmitFailed) from error

    def emit_stream(
        self, stream_id: str, chunk: Union[bytes, bytearray, memoryview, str], *, request_id: Optional[str] = None
    ) -> None:
        """Sends a part of a stream that nobody has asked for, such as a log.

        The control plane knows it by `stream_id` and reads each part by itself. It goes in the form that
        the control plane's generation takes, waits until that is known, and is lost with its connection.
        Raises as `emit` does; control planes of the first generation take no such streams, which
        `on_error` tells.
        """
        data = chunk.encode() if isinstance(chunk, str) else chunk
        self._emit_part({"stream_id": stream_id, "request_id": request_id, "chunk": data})

    def end_stream(
        self, stream_id: str, message: Optional[str] = None, *, request_id: Optional[str] = None
    ) -> None:
        """Ends such a stream; `message` says why it failed."""
        part = {"stream_id": stream_id, "request_id": request_id, "end": True, "message": message}
        self._emit_part(part)

    def _emit_part(self, part: Dict[str, Any]) -> None:
        try:
            self._session.emit(part, "$stream")
        except MoorlineError as error:
            raise client_error(error, DaemonClientErrorCode.EmitFailed) from error

    async def flushed(self) -> None:
        """Returns when everything emitted so far has left this process.

        That may be long after a lost connection. Raises `DaemonClientError` `SOCKET_NOT_READY` when
        the session ends before, and when there is none.
        """
        if not self._session.is_open:
            raise client_error(error_of("NOT_READY", "the daemon is not connected"))
        try:
            await self._session.flushed()
        except MoorlineError as error:
            raise client_error(error) from error

    @overload
    def register_handler(self, command: str, handler: _H) -> _H: ...

    @overload
    def register_handler(self, command: str) -> Callable[[_H], _H]: ...

    def register_handler(self, command: str, handler: Optional[Handler] = None) -> Any:
        """Handles a command, before or after `connect`; without `handler` it is a decorator.

        A coroutine function runs as a task on the loop, a plain function on a thread. What a
        function returns is the data of the answer, unless it is an `Envelope`; an iterator or
        asynchronous iterator is a stream. A `Rejection` it raises is the answer; any other
        exception is told to `on_error` and not to the control plane.
        """


        def register(handler: _H) -> _H:
            self._handlers[command] = HandlerEntry(handler)
            self._session.offer(command, True)
            return handler

        return register if handler is None else register(handler)

    def unregister_handler(self, command: str) -> None:
        """Handles a command no longer; what runs goes on. Unknown commands are ignored."""
        if self._handlers.pop(command, None) is not None:
            self._session.offer(command, False)

    def on_message(self, listener: Listener) -> Unsubscribe:
        """Tells `listener(message)` every message that is no command, answers included."""
        unsubscribe = self._add(self._listeners.message, listener)
        if len(self._listeners.message) == 1:
            self._session.listen(True)

        def leave() -> None:
            listened = bool(self._listeners.message)
            unsubscribe()
            if listened and not self._listeners.message:
                self._session.listen(False)

        return leave

    def on_connected(self, listener: Listener) -> Unsubscribe:
        """Tells `listener()` each time the daemon is registered."""
        return self._add(self._listeners.connected, listener)

    def on_disconnected(self, listener: Listener) -> Unsubscribe:
        """Tells `listener(reason)` each time a connection ends otherwise than by `disconnect`."""
        return self._add(self._listeners.disconnected, listener)

    def on_error(self, listener: Listener) -> Unsubscribe:
        """Tells `listener(error)` what goes wrong in the background, as `DaemonClientError`."""
        return self._add(self._listeners.error, listener)

    async def snapshot(self) -> Dict[str, Any]:
        """Returns the state: link, counters. Raises `MoorlineError` when not connected."""
        return await self._session.snapshot()

    async def __aenter__(self) -> Self:
        try:
            return await self.connect()
        except BaseException:
            await self.disconnect()
            raise

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        try:
            if self._session.is_open:
                await self.drain()
        except MoorlineError as lost:
            # What is under way already says more.
            if error is None:
                raise
            _logger.warning("%s", lost)
        finally:
            await self.disconnect()

    def _enroll_patiently(self) -> None:
        enrollment = cast(Dict[str, Any], self._options.get("enrollment") or {})
        if "retry" not in enrollment:
            self._options["enrollment"] = {**enrollment, "retry": True}
            if self._is_new:
                self._session = self._open()

    def _open(self) -> Session:
        handlers = cast(Dict[str, Any], self._handlers)
        return Session(self._options, handlers, self._listeners, self._factory)

    def _learn(self) -> None:
        # A token is good for one enrollment: later sessions use the password that it returned.
        password, self._session.password = self._session.password, None
        if password is not None:
            self._options["daemon_password"] = password
            enrollment = cast(Dict[str, Any], self._options.get("enrollment", {}))
            self._options["enrollment"] = {**enrollment, "enabled": False}

    async def _connect_and_last(self) -> None:
        try:
            await self.connect()
        except DaemonClientError:
            if not self._session.is_open:
                raise
        await self._session.ended()

    @staticmethod
    def _add(listeners: List[Listener], listener: Listener) -> Unsubscribe:
        # The same listener may be registered twice; each registration has an entry of its own.
        entry = functools.partial(listener)
        listeners.append(entry)

        def unsubscribe() -> None:
            if entry in listeners:
                listeners.remove(entry)

        return unsubscribe


def _beat_maker(factory: PayloadFactory) -> Registered:
    def make(payload: Any, context: Any) -> Any:
        return factory()

    return Registered(make, {}, is_coroutine(factory))
