"""Workers: user code that handles work items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Mapping, Optional, Sequence

from ._bench import Item
from ._generated import SubjectField, WorkerOptions
from ._handlers import Context, H, Handler, Offers

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Context", "Handler", "Worker"]


class Worker(Offers):
    """Offers handlers to a control plane.

    ```python
    worker = Worker(server_url="http://127.0.0.1:54321", name="echo")

    @worker.handle("Echo/Say")
    async def say(settings, ctx):
        return {"Said": settings["Text"]}

    asyncio.run(worker.run())
    ```
    """

    _role = "worker"
    _ignored = frozenset({"message", "peer_joined", "peer_left", "enrolled", "beat_asked"})

    def __init__(self, **options: Unpack[WorkerOptions]) -> None:
        super().__init__(options, {})

    def handle(
        self,
        key: str,
        *,
        description: Optional[str] = None,
        settings_schema: Optional[Sequence[Mapping[str, Any]]] = None,
    ) -> Callable[[H], H]:
        """Registers the decorated function under `key`, before or after `connect`.

        A coroutine function runs as a task on the loop, a plain function on a thread, so that it
        may block. What it returns is the item's result; what it raises, the item's failure.
        """
        given = {"description": description, "settings_schema": settings_schema}
        meta = {name: value for name, value in given.items() if value is not None}
        return self._register(key, meta)

    def _wire_id(self, item: Item) -> str:
        return str(item.context.meta.get(SubjectField.WorkItem.value)) if item.context else ""
