"""Who is told what a daemon learns."""

from __future__ import annotations

from typing import List

from .. import _listeners
from .._generated import DaemonClientErrorCode
from .._listeners import Listener
from .._text import failure_of
from .errors import DaemonClientError

__all__ = ["Listener", "Listeners"]


class Listeners(_listeners.Listeners):
    """Listeners by what they are told."""

    def __init__(self) -> None:
        super().__init__()
        self.message: List[Listener] = []
        self.connected: List[Listener] = []
        self.disconnected: List[Listener] = []
        self.error: List[Listener] = []

    def report(self, error: DaemonClientError) -> None:
        """Tells an error."""
        self.tell(self.error, error)

    def _on_failed(self, listeners: List[Listener], error: Exception) -> None:
        if listeners is self.error or not self.error:
            super()._on_failed(listeners, error)
            return
        told = DaemonClientError(DaemonClientErrorCode.HandlerError, f"a listener failed: {failure_of(error)}")
        told.__cause__ = error
        self.report(told)
