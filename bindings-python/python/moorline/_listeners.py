"""Who is told what happens; one that fails costs the others nothing."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any, Callable, List, Set

__all__ = ["Listener", "Listeners"]

Listener = Callable[..., Any]
"""A plain function, or one that makes a coroutine, which then runs as a task."""


class Listeners:
    """Tells listeners, in order of their registration."""

    def __init__(self) -> None:
        self._tasks: Set[asyncio.Task[None]] = set()

    def tell(self, listeners: List[Listener], *news: Any) -> None:
        """Tells everybody who is registered now."""
        for listener in list(listeners):
            try:
                result = listener(*news)
                if result is not None and inspect.isawaitable(result):
                    self._run(listeners, result)
            except Exception as error:
                self._on_failed(listeners, error)

    def _run(self, listeners: List[Listener], told: Any) -> None:
        async def run() -> None:
            try:
                await told
            except Exception as error:
                self._on_failed(listeners, error)

        task = asyncio.get_running_loop().create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _on_failed(self, listeners: List[Listener], error: Exception) -> None:
        context = {"message": "a listener failed", "exception": error}
        asyncio.get_running_loop().call_exception_handler(context)
