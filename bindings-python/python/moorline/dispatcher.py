"""Dispatchers: programs that want work done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Dict, Optional, cast

from ._endpoint import Endpoint
from ._generated import CallOptions, DispatcherOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Dispatcher"]


class Dispatcher(Endpoint):
    """Asks a control plane for work and waits for its results.

    ```python
    async with Dispatcher(server_url="http://127.0.0.1:54321") as dispatcher:
        result = await dispatcher.call("Echo/Say", {"Text": "hello"}, timeout_ms=5_000)
    ```
    """

    _role = "dispatcher"

    def __init__(self, **options: Unpack[DispatcherOptions]) -> None:
        super().__init__(options)

    async def call(
        self,
        name: str,
        payload: Any = None,
        *,
        on_progress: Optional[Callable[[Any], None]] = None,
        **options: Unpack[CallOptions],
    ) -> Any:
        """Makes a call and returns its result. It settles exactly once, at the latest when its time
        is over.

        `on_progress` is called on the loop with each report. Cancelling the task that waits cancels
        the call. Raises `MoorlineError`; what the handler raised arrives as `REMOTE_ERROR`.
        """
        given = cast(Dict[str, Any], options)
        if on_progress is not None:
            given["stream"] = True
        body = {"name": name, "payload": payload, "options": given}
        return await self._request("call", body, on_progress)
