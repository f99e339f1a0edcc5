"""Handlers under names, and what each knows of its work item."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Optional, TypeVar, cast

from ._bench import Bench, Item, Registered, is_coroutine
from ._generated import WorkEvent
from ._json import encode
from ._native import check_handler
from ._text import said, sound
from .errors import MoorlineError, error_of

__all__ = ["Context", "H", "Handler", "Offers"]

Handler = Callable[[Any, "Context"], Any]
"""A coroutine function or a plain function; what it returns must be JSON."""

H = TypeVar("H", bound=Handler)


class Context:
    """What a handler knows about its work item besides the payload."""

    __slots__ = ("_item", "_send", "deadline", "key", "lines", "meta", "work")

    def __init__(self, event: WorkEvent, item: Item, send: Callable[[str, int, Any], None]) -> None:
        timeout_ms = event["timeout_ms"]
        self.work: int = event["work"]
        """The item's number, unique in this worker."""
        self.key: str = event["key"]
        """The handler key that it came for."""
        self.meta: Dict[str, Any] = event["meta"]
        """The envelope without the payload."""
        self.deadline: Optional[float] = (
            None if timeout_ms is None else item.loop.time() + timeout_ms / 1000
        )
        """When the item expires on the clock of the loop, as `asyncio.timeout_at` takes it; `None`
        without a limit. For asyncio's own loops that clock is `time.monotonic`."""
        self.lines: List[str] = []
        """The log that goes with the outcome so far."""
        self._item = item
        self._send = send

    @property
    def cancelled(self) -> bool:
        """Whether the item is no longer wanted: stop working on it, its outcome is ignored.

        A coroutine is cancelled besides. A plain function has to look.
        """
        return self._item.reason is not None

    @property
    def reason(self) -> Optional[MoorlineError]:
        """Why the item is no longer wanted."""
        return self._item.reason

    def progress(self, report: Mapping[str, Any]) -> None:
        """Sends a report of progress on its way; which fields it may have is the dialect's.

        Raises `ARGUMENT_INVALID` for what is no object of JSON.
        """
        if not encode(report).startswith(b"{"):
            raise error_of("ARGUMENT_INVALID", "progress takes a mapping")
        if not self.cancelled:
            self._send("progress", self.work, report)

    def log(self, line: str) -> None:
        """Adds a line to the log that goes with the outcome."""
        self.lines.append(said(line))


class Offers(Bench):
    """An endpoint that offers handlers by name."""

    def _register(self, key: str, meta: Mapping[str, Any]) -> Callable[[H], H]:
        """Returns what registers a handler under `key`, once the key was found to be one."""
        if not isinstance(cast(object, key), str):
            message = 'name what the function handles: @worker.handle("Capability/Action")'
            raise error_of("ARGUMENT_INVALID", message)
        if self._over or self._is_leaving:
            raise error_of("STOPPED", f"handle comes too late: the {self._role} was told to end")
        check_handler(self._dialect, self._role, sound(key), encode(meta).decode())

        def register(handler: H) -> H:
            if not callable(handler):
                raise error_of("ARGUMENT_INVALID", f"a handler is a function, not {said(handler)}")
            self._handlers[key] = Registered(handler, meta, is_coroutine(handler))
            self._offer(key, meta)
            return handler

        return register

    def unhandle(self, key: str) -> None:
        """Withdraws the handler under `key`; its running items go on."""
        if self._handlers.pop(key, None) is not None:
            self._take_back(key)

    def _context(self, event: WorkEvent, item: Item) -> Context:
        return Context(event, item, self._send)

    def _complete(self, item: Item, value: Any) -> None:
        self._settle(item, "done", {"value": value, "log": item.context.lines})
