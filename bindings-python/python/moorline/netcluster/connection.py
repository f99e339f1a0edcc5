"""A consumer as its provider sees it."""

from __future__ import annotations

import time
from typing import Any, Awaitable, Callable, Dict, Iterable, List, Mapping, Optional, Set, Union

from .._blobs import text_of_bytes
from ..errors import error_of
from ._role import Content, Outcome

__all__ = ["Connection", "Port", "Received"]

Received = Mapping[str, Union[str, None, List[Optional[str]]]]
"""Parameters as they came: `None` without a value, a list if one was repeated."""


class Port:
    """What the connections of one provider share."""

    def __init__(
        self,
        command: Callable[[str, int, Any], None],
        deliver: Callable[[Dict[str, Any]], Awaitable[Outcome]],
        body: Callable[[Content], Dict[str, Any]],
    ) -> None:
        self.command = command
        self.deliver = deliver
        self.body = body
        self.waits = False
        """Whether messages wait for room."""
        self.peers: Dict[Connection, int] = {}
        """The numbers of those that are not over."""
        self.topics: Dict[str, Set[Connection]] = {}

    def send(self, connections: Iterable[Connection], message: Content, compress: bool) -> bool:
        """Sends one message to many; tells whether there are any."""
        peers = [self.peers[connection] for connection in connections if connection in self.peers]
        body = {**self.body(message), "peers": peers, "compress": compress}
        if peers:
            self.command("send", 0, body)
        return bool(peers)


class Connection:
    """A connected consumer. After its end, commands do nothing."""

    __slots__ = (
        "_port",
        "_topics",
        "alive",
        "buffered",
        "id",
        "ip",
        "last_ping",
        "parameters",
        "strikes",
    )

    def __init__(self, port: Port, name: str, ip: str, parameters: Received) -> None:
        self.id = name
        """A UUID that is never sent."""
        self.ip = ip
        """The address that it comes from."""
        self.parameters = parameters
        """The parameters that it came with."""
        self.alive = True
        """Whether it has answered the last heartbeat."""
        self.strikes = 0
        """How many intervals it has left one unanswered."""
        self.last_ping = time.time()
        """When it answered last, in seconds of the epoch; before that, when it connected."""
        self.buffered = 0
        """How many bytes had not left when that was told last; 0 below the limit."""
        self._port = port
        self._topics: Set[str] = set()

    def __repr__(self) -> str:
        return f"<Connection {self.id} of {self.ip}>"

    def send(self, message: Content, compress: bool = False) -> bool:
        """Sends text, or bytes; what becomes of it is not told.

        `False` if it is known to be dropped: the connection is over, or the consumer has not read
        what is before, unless `ws.on_backlog` is `block`. Raises `ARGUMENT_INVALID` for what is
        neither, and for what the protocol keeps for itself.
        """
        port = self._port
        body = {**port.body(message), "peer": port.peers.get(self), "compress": compress}
        if self not in port.peers:
            return False
        port.command("send", 0, body)
        return port.waits or self.buffered == 0

    async def deliver(self, message: Content, compress: bool = False) -> Outcome:
        """Sends text, or bytes, and returns what became of it.

        Raises `INPUT_GONE` if the connection is over, `TOO_LARGE`, and `CONNECTION_LOST` if it
        waited until then.
        """
        port = self._port
        peer = port.peers.get(self)
        if peer is None:
            raise error_of("INPUT_GONE", "the connection is over")
        return await port.deliver({**port.body(message), "peer": peer, "compress": compress})

    def end(self, code: Optional[int] = None, reason: str = "") -> None:
        """Closes it in order, behind what was sent; without a code its `on_close` is told 0."""
        self._tell("end", {"code": code, "reason": reason})

    def close(self) -> None:
        """Cuts it off, without a farewell."""
        self._tell("close", None)

    def ping(self, payload: bytes = b"") -> None:
        """Sends a ping of WebSocket with at most 125 bytes."""
        self._tell("ping", {"bytes": text_of_bytes(payload)})

    @property
    def topics(self) -> Set[str]:
        """What it subscribed to."""
        return set(self._topics)

    def subscribe(self, topic: str) -> None:
        """Gets what others publish to `topic` from now on."""
        if self in self._port.peers:
            self._port.topics.setdefault(topic, set()).add(self)
            self._topics.add(topic)

    def unsubscribe(self, topic: str) -> None:
        """Gets it no longer."""
        self._topics.discard(topic)
        members = self._port.topics.get(topic, set())
        members.discard(self)
        if not members:
            self._port.topics.pop(topic, None)

    def publish(self, topic: str, message: Content, compress: bool = False) -> bool:
        """Sends to all that subscribed to `topic` but this one; tells whether there are any."""
        others = self._port.topics.get(topic, set()) - {self}
        return self._port.send(others, message, compress)

    def _tell(self, command: str, body: Any) -> None:
        peer = self._port.peers.get(self)
        if peer is not None:
            self._port.command(command, peer, body)
