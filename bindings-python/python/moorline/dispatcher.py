"""Dispatchers: programs that want work done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._caller import NOT_FOR_CALLERS, Caller
from ._generated import DispatcherOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Dispatcher"]


class Dispatcher(Caller):
    """Asks a control plane for work and waits for its results.

    ```python
    async with Dispatcher(server_url="http://127.0.0.1:54321") as dispatcher:
        result = await dispatcher.call("Echo/Say", {"Text": "hello"}, timeout_ms=5_000)
    ```
    """

    _role = "dispatcher"
    _ignored = NOT_FOR_CALLERS | {"peer_joined", "peer_left"}

    def __init__(self, **options: Unpack[DispatcherOptions]) -> None:
        super().__init__(options)
