"""Consumers: one connection to a provider, which comes back by itself."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Callable, List, Optional, TypeVar

from .._generated import BacklogEvent, ClosedEvent, ConsumerOptions, HeartbeatEvent
from .._generated import ReadyEvent, ReceivedEvent, ReservedText
from .._listeners import Listener
from ..errors import MoorlineError
from ._role import NOT_FOR_PEERS, Content, Message, Outcome, Params, Role, listed

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Consumer"]

_Open = TypeVar("_Open", bound=Callable[[], Any])
_Take = TypeVar("_Take", bound=Callable[[Any], Any])
_Lose = TypeVar("_Lose", bound=Callable[[int, str], Any])


class Consumer(Role):
    """A consumer of a provider.

    ```python
    async with Consumer(host="127.0.0.1", port=8080, params={"key": "SECRET"}) as consumer:
        consumer.on_message(print)
        consumer.send("CONSUMER_READY")
        await consumer.ended()
    ```

    Options are keyword arguments; wrong ones raise one `MoorlineError` that names them all.
    `params` are parameters to come with. `connect` returns once there is a connection and raises
    `AUTHENTICATION_FAILED` if the provider refuses it, or why the last attempt failed.
    """

    _role = "consumer"
    _ignored = NOT_FOR_PEERS | {"peer_joined", "admission_asked"}

    def __init__(self, params: Optional[Params] = None, **options: Unpack[ConsumerOptions]) -> None:
        parameters = [*options.get("parameters", []), *listed(params)]
        super().__init__({"tells_heartbeats": True, **options, "parameters": parameters}, "")
        self.connected = False
        """Whether there is a connection."""
        self.heartbeat_duration: Optional[int] = None
        """Milliseconds between heartbeats, as the provider announced them last."""
        self.last_heartbeat = time.time()
        """When the last heartbeat came, or the connection opened, in seconds of the epoch."""
        self._backlog = 0
        self._disconnect_listeners: List[Listener] = []

    @property
    def heartbeat_cutoff(self) -> Optional[int]:
        """Milliseconds without a heartbeat after which the connection is closed."""
        return self.heartbeat_duration and self.heartbeat_duration * 2

    def on_open(self, listener: _Open) -> _Open:
        """Calls the decorated function when there is a connection.

        Any number of functions, called in order; coroutine functions run as tasks.
        """
        self._open_listeners.append(listener)
        return listener

    def on_message(self, listener: _Take) -> _Take:
        """Calls the decorated function with each message: `str`, or `bytes`."""
        self._message_listeners.append(listener)
        return listener

    def on_disconnect(self, listener: _Lose) -> _Lose:
        """Calls the decorated function with code and reason of each connection or attempt that ends."""
        self._disconnect_listeners.append(listener)
        return listener

    def send(self, message: Content) -> bool:
        """Sends text, or bytes; what becomes of it is not told.

        `False` if it is known to be dropped: there is no connection, or the provider has not read
        what is before, unless `on_backlog` is `block`. Raises `ARGUMENT_INVALID` for what is
        neither, and for what the protocol keeps for itself.
        """
        body = self._body(message)
        if not self.connected:
            return False
        self._send("send", 0, body)
        return self._waits or self._backlog == 0

    async def deliver(self, message: Content) -> Outcome:
        """Sends text, or bytes, and returns what became of it.

        Raises `NOT_READY` without a connection, `TOO_LARGE`, and `CONNECTION_LOST` if it waited
        until then.
        """
        return await self._deliver(self._body(message))

    def _is_kept(self, message: Message) -> bool:
        return message == ReservedText.Pong.value

    def _on_ready(self, event: ReadyEvent) -> None:
        self.connected = True
        self.last_heartbeat = time.time()
        super()._on_ready(event)
        self._listeners.tell(self._open_listeners)

    def _on_received(self, event: ReceivedEvent) -> None:
        self._listeners.tell(self._message_listeners, self._content(event))

    def _on_closed(self, event: ClosedEvent) -> None:
        self.connected = False
        self._backlog = 0
        self._listeners.tell(self._disconnect_listeners, event["code"], event["reason"])

    def _on_backlog(self, event: BacklogEvent) -> None:
        self._backlog = event["bytes"]

    def _on_heartbeat(self, event: HeartbeatEvent) -> None:
        if event["sign"] == "announced":
            self.heartbeat_duration = event["value"]
        else:
            self.last_heartbeat = time.time()

    def _finish(self, error: Optional[MoorlineError]) -> None:
        self.connected = False
        super()._finish(error)
