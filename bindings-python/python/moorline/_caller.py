"""Calls: what dispatchers make over the network, and whoever holds a hub in its process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Dict, Optional, cast

from ._endpoint import Endpoint
from ._generated import CallOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["NOT_FOR_CALLERS", "Caller"]

NOT_FOR_CALLERS = frozenset(
    {"work", "work_withdrawn", "work_drained", "message", "enrolled", "beat_asked"}
)
"""The kinds of events that no endpoint hears that makes calls alone."""


class Caller(Endpoint):
    """An endpoint that makes calls."""

    async def call(
        self,
        name: str,
        payload: Any = None,
        *,
        on_progress: Optional[Callable[[Any], None]] = None,
        **options: Unpack[CallOptions],
    ) -> Any:
        """Makes a call and returns its result.

        It settles exactly once, at the latest when its time is over. `on_progress` is called on the
        loop with each report. Cancelling the task that waits cancels the call. Raises
        `MoorlineError`; what the handler raised arrives as `REMOTE_ERROR`.
        """
        given = cast(Dict[str, Any], options)
        if on_progress is not None:
            given["stream"] = True
        # Without a payload the core's own default applies.
        body: Dict[str, Any] = {"name": name, "options": given}
        if payload is not None:
            body["payload"] = payload
        return await self._request("call", body, on_progress)
