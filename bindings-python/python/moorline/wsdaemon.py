"""ws-daemons on asyncio: programs of one machine run scripts and handlers on another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, TypeVar, cast

from ._endpoint import Event
from ._generated import DaemonOrder, PeerJoinedEvent, PeerLeftEvent
from ._generated import WsdaemonDaemonOptions as DaemonOptions
from ._handlers import Context, H, Handler, Offers
from ._listeners import Listener, Listeners

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Context", "Daemon", "DaemonOptions", "Event", "Handler"]

_Take = TypeVar("_Take", bound=Callable[[Any], Any])


class Daemon(Offers):
    """A ws-daemon, client or server.

    ```python
    daemon = Daemon(mode="client", server_url="wss://far.example", token="secret")

    @daemon.handle("backup")
    async def backup(params, ctx):
        return 0

    asyncio.run(daemon.run())
    ```

    Options are keyword arguments; wrong ones raise one `MoorlineError` that names them all.
    `connect` returns once a client is connected, however many attempts that takes, or a server
    listens.
    """

    _dialect = "wsdaemon"
    _role = "daemon"
    _ignored = frozenset({"enrolled", "beat_asked"})

    def __init__(self, **options: Unpack[DaemonOptions]) -> None:
        super().__init__(options, {})
        self._listeners = Listeners()
        self._message_listeners: List[Listener] = []

    def handle(self, name: str) -> Callable[[H], H]:
        """Registers the decorated function under `name`, in the place of a script of that name.

        It gets the parameters, or `None`, and a context. A coroutine function runs as a task on the
        loop, a plain function on a thread. The status is what it returns: a whole number, or the
        member `status` of a dict, else 0; what it raises is 1.
        """
        return self._register(name, {})

    def on_message(self, listener: _Take) -> _Take:
        """Calls the decorated function with what is said to local programs while there is none."""
        self._message_listeners.append(listener)
        return listener

    async def call(
        self, name: str, params: Any = None, *, timeout_ms: Optional[int] = None
    ) -> Optional[int]:
        """Has the other side run a script or handler, with `params` unless they are `None`.

        Returns the exit code; `None` if a signal ended it, a negative number for what the other
        side could not run. A server asks its clients in turn; a client keeps what it asks until it
        is connected. Raises `NOT_READY` if a server has no client, `CALL_TIMEOUT`,
        `CONNECTION_LOST` or `STOPPED` if the status cannot come any more, `OVERLOADED`.
        """
        body: Dict[str, Any] = {"name": name, "options": {}}
        if params is not None:
            body["payload"] = params
        if timeout_ms is not None:
            body["options"]["timeout_ms"] = timeout_ms
        answer = await self._request("call", body)
        return cast(Optional[int], answer["status"])

    def tell(self, data: Any) -> None:
        """Writes `data` to the programs of the other side; nothing answers."""
        self._order(DaemonOrder.Remote, DaemonOrder.Status, data)

    def send_away(self, ms: int) -> None:
        """Sends the client at the other end away for a while, if it honours that."""
        self._order(DaemonOrder.Remote, DaemonOrder.Pause, ms)

    def pause(self, ms: int) -> None:
        """Disconnects this client for a while; a server goes on."""
        self._order(DaemonOrder.Local, DaemonOrder.Pause, ms)

    def _order(self, name: DaemonOrder, code: DaemonOrder, data: Any) -> None:
        payload = {"code": code.value, "data": data}
        self._send("emit", 0, {"name": name.value, "payload": payload})

    def _hear(self, payload: Any) -> None:
        self._listeners.tell(self._message_listeners, payload)

    def _on_peer_joined(self, event: PeerJoinedEvent) -> None:
        self._tell(event)

    def _on_peer_left(self, event: PeerLeftEvent) -> None:
        self._tell(event)
