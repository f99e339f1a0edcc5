"""The hub in this process, so that tests need no server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._caller import NOT_FOR_CALLERS, Caller
from ._generated import HubOptions, PeerJoinedEvent, PeerLeftEvent
from .errors import error_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Hub"]


class Hub(Caller):
    """A control plane for workers and dispatchers; its own `call` needs no network.

    ```python
    async with Hub(listen="127.0.0.1:0") as hub:
        worker = Worker(server_url=hub.url, name="under-test")
    ```
    """

    _role = "hub"
    _ignored = NOT_FOR_CALLERS

    def __init__(self, **options: Unpack[HubOptions]) -> None:
        self._scheme = "https" if options.get("runtime", {}).get("cert_file") else "http"
        super().__init__(options)

    @property
    def url(self) -> str:
        """Where workers and dispatchers reach it; known once it listens."""
        if self.id is None:
            raise error_of("NOT_STARTED", "connect first")
        return f"{self._scheme}://{self.id}"

    def _on_peer_joined(self, event: PeerJoinedEvent) -> None:
        self._tell(event)

    def _on_peer_left(self, event: PeerLeftEvent) -> None:
        self._tell(event)
