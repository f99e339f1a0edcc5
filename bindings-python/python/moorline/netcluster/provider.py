"""Providers: many consumers, whose messages are text or bytes."""

from __future__ import annotations

import inspect
import time
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional
from typing import TypeVar, cast

from .._generated import AdmissionAskedEvent, BacklogEvent, ClosedEvent, HeartbeatEvent
from .._generated import PeerJoinedEvent, ProviderOptions, ReceivedEvent, ReservedText
from .._listeners import Listener
from ..errors import error_of
from ._role import NOT_FOR_PEERS, Content, Message, Params, Role, listed
from .connection import Connection, Port, Received

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Provider", "Request"]

_Open = TypeVar("_Open", bound=Callable[[Connection], Any])
_Take = TypeVar("_Take", bound=Callable[[Connection, Any], Any])
_Lose = TypeVar("_Lose", bound=Callable[[Connection, int, str], Any])


class Request(NamedTuple):
    """What someone asks to be let in with."""

    method: str
    url: str
    """Path and query."""
    path: str
    query: str
    ip: str
    headers: Mapping[str, str]
    """By their names in lower case."""
    cookies: Mapping[str, str]
    parameters: Received
    """Those of the query, decoded."""


class Provider(Role):
    """Listens for consumers.

    ```python
    provider = Provider(port=8080, params={"key": "SECRET"})

    @provider.on_message
    def reply(consumer, message):
        consumer.send("SOME_REPLY")

    asyncio.run(provider.run())
    ```

    Options are keyword arguments; wrong ones raise one `MoorlineError` that names them all.
    `params` are what consumers must come with. `admit_if` is asked after those, with a `Request`:
    only `True`, also of a coroutine, lets in. `connect` returns once it listens.
    """

    _role = "provider"
    _ignored = NOT_FOR_PEERS

    def __init__(
        self,
        params: Optional[Params] = None,
        admit_if: Optional[Callable[[Request], Any]] = None,
        **options: Unpack[ProviderOptions],
    ) -> None:
        auth: Dict[str, Any] = {**options.get("auth", {})}
        auth["parameters"] = [*auth.get("parameters", []), *listed(params)]
        auth["asks"] = admit_if is not None
        heartbeat = {"tells": True, **options.get("heartbeat", {}), "awaits_greet": True}
        super().__init__({**options, "auth": auth, "heartbeat": heartbeat}, "ws")
        self.connections: Dict[str, Connection] = {}
        """The connected consumers by their ids."""
        self._peers: Dict[int, Connection] = {}
        self._port = Port(self._send, self._deliver, self._body)
        self._port.waits = self._waits
        self._admit_if = admit_if
        self._close_listeners: List[Listener] = []

    @property
    def port(self) -> int:
        """The port that it listens on; known once it listens."""
        if self.id is None:
            raise error_of("NOT_STARTED", "connect first")
        return int(self.id.rpartition(":")[2])

    def on_open(self, listener: _Open) -> _Open:
        """Calls the decorated function with each consumer that was let in.

        Any number of functions, called in order; coroutine functions run as tasks.
        """
        self._open_listeners.append(listener)
        return listener

    def on_message(self, listener: _Take) -> _Take:
        """Calls the decorated function with a connection and its message: `str`, or `bytes`."""
        self._message_listeners.append(listener)
        return listener

    def on_close(self, listener: _Lose) -> _Lose:
        """Calls the decorated function with a connection that is over, code and reason.

        1006 is one without a farewell, 0 our own end without a code.
        """
        self._close_listeners.append(listener)
        return listener

    def send_to(
        self, connections: Iterable[Connection], message: Content, compress: bool = False
    ) -> None:
        """Sends one message to many: it is kept once for all of them."""
        self._port.send(connections, message, compress)

    def publish(self, topic: str, message: Content, compress: bool = False) -> bool:
        """Sends to every consumer that subscribed to `topic`; tells whether there are any."""
        return self._port.send(self._port.topics.get(topic, set()), message, compress)

    def _is_kept(self, message: Message) -> bool:
        # Consumers take it for one of the protocol also as bytes.
        text = message if isinstance(message, str) else message.decode("utf-8", "replace")
        return text == ReservedText.Ping.value or text.startswith(ReservedText.Announcement.value)

    def _on_peer_joined(self, event: PeerJoinedEvent) -> None:
        meta = event["meta"]
        parameters = _received(meta["parameters"])
        connection = Connection(self._port, event["name"], meta["ip"], parameters)
        self._peers[event["peer"]] = self.connections[connection.id] = connection
        self._port.peers[connection] = event["peer"]
        self._listeners.tell(self._open_listeners, connection)
        # Behind what was sent there.
        self._send("greet", event["peer"])

    def _on_received(self, event: ReceivedEvent) -> None:
        connection = self._peers.get(event["peer"] or 0)
        if connection is not None:
            self._listeners.tell(self._message_listeners, connection, self._content(event))

    def _on_closed(self, event: ClosedEvent) -> None:
        connection = self._peers.pop(event["peer"] or 0, None)
        if connection is not None:
            del self.connections[connection.id], self._port.peers[connection]
            for topic in connection.topics:
                connection.unsubscribe(topic)
            connection.buffered = 0
            self._listeners.tell(
                self._close_listeners, connection, event["code"], event["reason"]
            )

    def _on_backlog(self, event: BacklogEvent) -> None:
        connection = self._peers.get(event["peer"] or 0)
        if connection is not None:
            connection.buffered = event["bytes"]

    def _on_heartbeat(self, event: HeartbeatEvent) -> None:
        connection = self._peers.get(event["peer"] or 0)
        if connection is None:
            return
        if event["sign"] == "pong":
            connection.alive, connection.strikes = True, 0
            connection.last_ping = time.time()
        elif event["sign"] == "ping":
            connection.alive = False
        elif event["sign"] == "strike":
            connection.strikes = event["value"]

    def _on_admission_asked(self, event: AdmissionAskedEvent) -> None:
        self._listeners.tell([self._decide], event["peer"], event["request"])

    async def _decide(self, peer: int, asked: Dict[str, Any]) -> None:
        verdict: Any = False
        try:
            asked["parameters"] = _received(asked["parameters"])
            for name in ("headers", "cookies"):
                asked[name] = _joined(asked[name])
            if self._admit_if is not None:
                verdict = self._admit_if(Request(*(asked[name] for name in Request._fields)))
                if inspect.isawaitable(verdict):
                    verdict = await cast(Any, verdict)
        finally:
            self._send("admit" if verdict is True else "refuse", peer)


def _received(pairs: List[Dict[str, Any]]) -> Received:
    found: Dict[str, List[Optional[str]]] = {}
    for pair in pairs:
        found.setdefault(pair["name"], []).append(pair["value"])
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def _joined(pairs: List[Dict[str, Any]]) -> Dict[str, str]:
    found: Dict[str, List[str]] = {}
    for pair in pairs:
        found.setdefault(pair["name"], []).append(pair["value"] or "")
    return {name: ", ".join(values) for name, values in found.items()}
