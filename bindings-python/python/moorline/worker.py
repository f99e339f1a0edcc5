"""Workers: user code that handles work items."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import sys
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Optional, Sequence, Set
from typing import TypeVar

from ._endpoint import Endpoint
from ._generated import NativeEvent, WorkEvent, WorkerOptions, WorkWithdrawnEvent
from ._threads import Threads
from .errors import MoorlineError, error_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Context", "Handler", "Worker"]

Handler = Callable[[Any, "Context"], Any]
"""A coroutine function or a plain function; what it returns must be JSON."""

_H = TypeVar("_H", bound=Handler)
_logger = logging.getLogger("moorline")


class Context:
    """What a handler knows about its work item besides the payload."""

    __slots__ = ("_item", "deadline", "key", "meta", "work")

    def __init__(self, event: WorkEvent, item: "_Item") -> None:
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
        self._item = item

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
        """Sends a report of progress on its way; which fields it may have is the dialect's."""
        if not self.cancelled:
            self._item.send("progress", self.work, report)

    def log(self, line: str) -> None:
        """Adds a line to the log that goes with the outcome."""
        self._item.lines.append(str(line))


class _Item:
    """A work item that runs, as its worker sees it."""

    __slots__ = ("context", "lines", "loop", "reason", "send", "task")

    def __init__(
        self,
        event: WorkEvent,
        loop: asyncio.AbstractEventLoop,
        send: Callable[[str, int, Any], None],
    ) -> None:
        self.lines: List[str] = []
        self.loop = loop
        self.reason: Optional[MoorlineError] = None
        self.send = send
        self.task: Optional[asyncio.Task[None]] = None
        self.context = Context(event, self)


class _Registered:
    __slots__ = ("call", "is_coroutine", "meta")

    def __init__(self, call: Handler, meta: Mapping[str, Any]) -> None:
        self.call = call
        self.meta = meta
        self.is_coroutine = inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(
            getattr(call, "__call__", None)
        )


class Worker(Endpoint):
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

    def __init__(self, **options: Unpack[WorkerOptions]) -> None:
        self._handlers: Dict[str, _Registered] = {}
        self._items: Dict[int, _Item] = {}
        self._threads = Threads()
        self._on_threads: Set[int] = set()
        super().__init__(options)

    def handle(
        self,
        key: str,
        *,
        description: Optional[str] = None,
        settings_schema: Optional[Sequence[Mapping[str, Any]]] = None,
    ) -> Callable[[_H], _H]:
        """Registers the decorated function under `key`, before or after `connect`.

        A coroutine function runs as a task on the loop, a plain function on a thread, so that it
        may block. What it returns is the item's result; what it raises, the item's failure.
        """
        given = {"description": description, "settings_schema": settings_schema}
        meta = {name: value for name, value in given.items() if value is not None}

        def register(handler: _H) -> _H:
            self._handlers[key] = _Registered(handler, meta)
            if self._loop is not None:
                self._send("handle", 0, {"key": key, "meta": meta})
            return handler

        return register

    def unhandle(self, key: str) -> None:
        """Withdraws the handler under `key`; its running items go on."""
        if self._handlers.pop(key, None) is not None and self._loop is not None:
            self._send("unhandle", 0, {"key": key})

    def _greet(self) -> None:
        for key, handler in self._handlers.items():
            self._send("handle", 0, {"key": key, "meta": handler.meta})

    def _on_event(self, event: NativeEvent) -> None:
        if event["event"] == "work":
            self._on_work(event)
        elif event["event"] == "work_withdrawn":
            self._on_withdrawn(event)
        else:
            super()._on_event(event)

    def _on_unreadable(self, kind: str, number: int, error: Exception) -> None:
        if kind == "work":
            message = str(error_of("PEER_PROTOCOL", f"the payload: {error}"))
            self._send("failed", number, {"message": message})
        else:
            super()._on_unreadable(kind, number, error)

    def _on_work(self, event: WorkEvent) -> None:
        handler = self._handlers.get(event["key"])
        if handler is None:
            error = error_of("HANDLER_UNKNOWN", f"no handler is registered under {event['key']}")
            self._send("failed", event["work"], {"message": str(error)})
            return
        item = _Item(event, asyncio.get_running_loop(), self._send)
        self._items[event["work"]] = item
        if handler.is_coroutine:
            self._spawn(handler.call, event["payload"], item)
        else:
            self._on_threads.add(event["work"])
            job = functools.partial(self._run_plain, handler.call, event["payload"], item)
            self._threads.run(job, len(self._on_threads))

    def _on_withdrawn(self, event: WorkWithdrawnEvent) -> None:
        item = self._items.get(event["work"])
        if item is not None:
            self._withdraw(item, error_of(event["error"]["code"], event["error"]["message"]))

    def _withdraw(self, item: _Item, reason: MoorlineError) -> None:
        if item.reason is not None:
            return
        item.reason = reason
        self._on_threads.discard(item.context.work)
        if item.task is not None:
            item.task.cancel()

    def _spawn(self, handler: Handler, payload: Any, item: _Item) -> None:
        run = self._run(handler, payload, item)
        if sys.version_info >= (3, 12):
            # A handler that never waits needs no turn of the loop of its own.
            item.task = asyncio.Task(run, loop=item.loop, eager_start=True)
        else:
            item.task = asyncio.Task(run, loop=item.loop)
        if item.reason is not None:
            item.task.cancel()

    async def _run(self, handler: Handler, payload: Any, item: _Item) -> None:
        try:
            value = await handler(payload, item.context)
        except asyncio.CancelledError as error:
            # A loop that is torn down says nothing about the item: the control plane gives it
            # to somebody else.
            if not self._torn_down:
                self._fail(item, error)
            raise
        except BaseException as error:
            self._fail(item, error)
            if not isinstance(error, Exception):
                raise
        else:
            self._complete(item, value)

    def _run_plain(self, handler: Handler, payload: Any, item: _Item) -> None:
        if item.reason is not None:
            self._settle(item, "cancelled", None)
            return
        try:
            value = handler(payload, item.context)
        except BaseException as error:
            self._fail(item, error)
            return
        if inspect.isawaitable(value):
            # Not recognisable as a coroutine function before it was called.
            item.loop.call_soon_threadsafe(self._spawn, _returning(value), payload, item)
        else:
            self._complete(item, value)

    def _complete(self, item: _Item, value: Any) -> None:
        try:
            self._settle(item, "done", {"value": value, "log": item.lines})
        except MoorlineError as error:
            self._fail(item, error)

    def _fail(self, item: _Item, error: BaseException) -> None:
        if item.reason is None:
            _logger.warning("handler %s failed", item.context.key, exc_info=error)
        kind = type(error).__name__
        # A KeyError's own words are the key alone.
        message = f"{kind}: {error}" if isinstance(error, KeyError) else str(error) or kind
        # What the operating system could not decode must not keep the failure from crossing.
        message = message.encode("utf-8", "replace").decode()
        self._settle(item, "failed", {"message": message})

    def _settle(self, item: _Item, outcome: str, body: Any) -> None:
        work = item.context.work
        if item.reason is not None:
            outcome, body = "cancelled", None
        if work in self._items:
            self._send(outcome, work, body)
            self._items.pop(work, None)
            self._on_threads.discard(work)

    def _farewell(self) -> None:
        items, self._items = self._items, {}
        for item in items.values():
            self._withdraw(item, error_of("STOPPED", "the worker has ended"))
        self._threads.close()


def _returning(value: Any) -> Handler:
    def handler(payload: Any, context: Context) -> Any:
        return value

    return handler
