"""Where handlers run: what workers and daemons share.

A coroutine function runs as a task on the loop, a plain function on a thread, so that it may block.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import sys
from typing import Any, Callable, Coroutine, Dict, Mapping, Optional, Set

from ._blobs import payload_of, text_of_bytes
from ._endpoint import Endpoint, exception_of
from ._generated import MAX_CHUNKS_IN_FLIGHT, WorkDrainedEvent, WorkEvent, WorkWithdrawnEvent
from ._streams import Stream, chunks, close
from ._text import failure_of, message_of
from ._threads import Threads
from .errors import MoorlineError, error_of

__all__ = ["Bench", "Call", "Item", "Registered", "is_coroutine"]

Call = Callable[[Any, Any], Any]
"""A handler as it is called: payload and context."""

_Rest = Optional[Coroutine[Any, Any, None]]
_logger = logging.getLogger("moorline")


def is_coroutine(call: Callable[..., Any]) -> bool:
    """Tells whether calling it makes a coroutine."""
    return inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(
        getattr(call, "__call__", None)
    )


class Registered:
    """A handler with what is said of it."""

    __slots__ = ("call", "is_coroutine", "meta")

    def __init__(self, call: Call, meta: Mapping[str, Any], awaited: bool) -> None:
        self.call = call
        self.meta = meta
        self.is_coroutine = awaited


class Item:
    """Work that runs, as its endpoint sees it."""

    __slots__ = (
        "context",
        "drained",
        "handler",
        "key",
        "loop",
        "reason",
        "room",
        "sent",
        "task",
        "work",
    )

    def __init__(
        self, work: int, key: str, loop: asyncio.AbstractEventLoop, handler: Registered
    ) -> None:
        self.work = work
        self.key = key
        self.handler = handler
        self.loop = loop
        self.reason: Optional[MoorlineError] = None
        self.task: Optional[asyncio.Task[None]] = None
        self.context: Any = None
        self.sent = 0
        """The chunks of a streamed result that were handed over, and of those the ones that left."""
        self.drained = 0
        self.room: Optional[asyncio.Future[None]] = None


class Bench(Endpoint):
    """An endpoint that runs handlers."""

    def __init__(self, options: Mapping[str, Any], handlers: Dict[str, Any]) -> None:
        self._handlers: Dict[str, Registered] = handlers
        self._items: Dict[int, Item] = {}
        self._threads = Threads()
        self._on_threads: Set[int] = set()
        super().__init__(options)

    def _greet(self) -> None:
        for key, handler in self._handlers.items():
            self._send("handle", 0, {"key": key, "meta": handler.meta})

    def _offer(self, key: str, meta: Mapping[str, Any]) -> None:
        """Tells of a handler; those of before `connect` are told with the start."""
        if self._loop is not None:
            self._send("handle", 0, {"key": key, "meta": meta})

    def _take_back(self, key: str) -> None:
        """Tells that a handler is gone."""
        if self._loop is not None:
            self._send("unhandle", 0, {"key": key})

    def _on_work(self, event: WorkEvent) -> None:
        handler = self._handlers.get(event["key"])
        if handler is None:
            self._on_unknown(event)
            return
        item = Item(event["work"], event["key"], asyncio.get_running_loop(), handler)
        self._items[item.work] = item
        try:
            item.context = self._context(event, item)
            self._begin(item, payload_of(event))
        except Exception as error:
            # It could not begin, for want of a thread perhaps.
            self._fail(item, error)

    def _wire_id(self, item: Item) -> str:
        """Returns by what the control plane knows an item, for the log."""
        return str(item.work)

    def _on_unknown(self, event: WorkEvent) -> None:
        """Answers work whose handler was withdrawn while it was on its way."""
        error = error_of("HANDLER_UNKNOWN", f"no handler is registered under {event['key']}")
        self._send("failed", event["work"], {"message": str(error)})

    def _context(self, event: WorkEvent, item: Item) -> Any:
        """Makes what the handler gets besides the payload."""
        raise NotImplementedError

    def _on_unreadable(self, kind: str, number: int, error: Exception) -> None:
        if kind == "work":
            message = str(error_of("PEER_PROTOCOL", f"the payload: {error}"))
            self._send("failed", number, {"message": message})
        else:
            super()._on_unreadable(kind, number, error)

    def _begin(self, item: Item, payload: Any) -> None:
        self._items[item.work] = item
        handler = item.handler
        if handler.is_coroutine:
            self._spawn(self._run(handler.call, payload, item), item)
        else:
            self._on_threads.add(item.work)
            job = functools.partial(self._run_plain, handler.call, payload, item)
            self._threads.run(job, len(self._on_threads))

    def _on_work_withdrawn(self, event: WorkWithdrawnEvent) -> None:
        reason = exception_of(event["error"])
        if event["why"] == "draining":
            self._cut_short = reason
        item = self._items.get(event["work"])
        if item is not None:
            self._withdraw(item, reason)

    def _on_work_drained(self, event: WorkDrainedEvent) -> None:
        item = self._items.get(event["work"])
        if item is not None:
            item.drained = event["chunks"]
            if item.room is not None and not item.room.done():
                item.room.set_result(None)

    def _withdraw(self, item: Item, reason: MoorlineError) -> None:
        if item.reason is not None:
            return
        item.reason = reason
        self._on_threads.discard(item.work)
        if item.task is not None:
            item.task.cancel()

    def _spawn(self, run: Coroutine[Any, Any, None], item: Item) -> None:
        if sys.version_info >= (3, 12):
            # A handler that never waits needs no turn of the loop of its own.
            item.task = asyncio.Task(run, loop=item.loop, eager_start=True)
        else:
            item.task = asyncio.Task(run, loop=item.loop)
        if item.reason is not None:
            item.task.cancel()

    async def _run(self, handler: Call, payload: Any, item: Item) -> None:
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
            rest = self._try_complete(item, value)
            if rest is not None:
                await rest

    def _run_plain(self, handler: Call, payload: Any, item: Item) -> None:
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
            run = self._run(_returning(value), payload, item)
            item.loop.call_soon_threadsafe(self._spawn, run, item)
            return
        rest = self._try_complete(item, value)
        if rest is not None:
            item.loop.call_soon_threadsafe(self._spawn, rest, item)

    def _try_complete(self, item: Item, value: Any) -> _Rest:
        try:
            return self._complete(item, value)
        except BaseException as error:
            self._fail(item, error)
            return None

    def _complete(self, item: Item, value: Any) -> _Rest:
        """Settles an item with what its handler returned; what is still to be done is returned."""
        raise NotImplementedError

    async def _stream(self, item: Item, head: Mapping[str, Any], stream: Stream) -> None:
        """Streams a result: `head` first, then chunks, no faster than they leave."""
        try:
            self._send("progress", item.work, {"open": head})
            async for chunk in chunks(stream):
                while item.sent - item.drained >= MAX_CHUNKS_IN_FLIGHT:
                    item.room = item.loop.create_future()
                    await item.room
                self._send("progress", item.work, {"chunk": text_of_bytes(chunk)})
                item.sent += 1
            self._settle(item, "done", {"value": {}})
        except asyncio.CancelledError as error:
            if not self._torn_down:
                self._settle(item, "failed", {"message": message_of(error)})
            raise
        except Exception as error:
            # The answer has begun: all that is left is to end it with what went wrong.
            self._settle(item, "failed", {"message": message_of(error)})
        finally:
            await close(stream)

    def _fail(self, item: Item, error: BaseException) -> None:
        is_wanted = item.reason is None
        self._settle(item, "failed", {"message": failure_of(error)})
        if not is_wanted:
            return
        try:
            _logger.warning("handler %s failed (%s)", item.key, self._wire_id(item), exc_info=error)
        except Exception:
            # The application's own logging fails; the item is settled all the same.
            pass

    def _settle(self, item: Item, outcome: str, body: Any) -> None:
        if item.reason is not None:
            outcome, body = "cancelled", None
        if item.work in self._items:
            self._send(outcome, item.work, body)
            self._items.pop(item.work, None)
            self._on_threads.discard(item.work)

    def _farewell(self) -> None:
        items, self._items = self._items, {}
        for item in items.values():
            self._withdraw(item, error_of("STOPPED", "the endpoint has ended"))
        self._threads.close()


def _returning(value: Any) -> Call:
    def handler(payload: Any, context: Any) -> Any:
        return value

    return handler
