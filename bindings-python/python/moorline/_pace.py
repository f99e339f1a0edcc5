"""How much was handed over and is not known to have left: what is too much is refused, or held."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, Callable, List, Optional

from ._generated import ASK_UNSENT_BYTES, MAX_UNSENT_BYTES, UNSENT_OVERHEAD_BYTES
from .errors import error_of

__all__ = ["Pace"]


class Pace:
    """Counts what a session was handed, on any thread; room is waited for on the loop."""

    def __init__(self, most: Optional[int], ask: Callable[[Callable[[Any], None]], None]) -> None:
        """`ask` calls its argument, on the loop, when all has left that was handed over before."""
        self._most = MAX_UNSENT_BYTES if most is None else most
        self._due = min(ASK_UNSENT_BYTES, self._most // 2)
        """How much may wait before somebody asks."""
        self._ask = ask
        self._lock = threading.Lock()
        self._total = 0
        """The bytes of all messages so far."""
        self._gone = 0
        """Up to how many of these bytes all has left."""
        self._is_asking = False
        self._waiting: List[asyncio.Future[None]] = []

    @property
    def has_room(self) -> bool:
        """Whether more may wait; one message always may, however large."""
        return self._total - self._gone < self._most

    @property
    def total(self) -> int:
        """The bytes of all messages so far, for `left`."""
        return self._total

    def check(self) -> None:
        """Refuses a message that had to wait behind too much."""
        unsent = self._total - self._gone
        if unsent >= self._most:
            limit = f"limits.max_send_queue_bytes is {self._most}: await flushed()"
            raise error_of("OVERLOADED", f"{unsent} bytes wait to be sent, and {limit}")

    async def room(self) -> None:
        """Returns as soon as there is room, to those first who asked first."""
        while not self.has_room:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            await future

    def add(self, size: int) -> None:
        """Counts a message of so many bytes."""
        with self._lock:
            self._total = total = self._total + size + UNSENT_OVERHEAD_BYTES
            if total - self._gone < self._due or self._is_asking:
                return
        self._ask_if_due()

    def left(self, total: int) -> None:
        """All has left that had been counted when `total` was read."""
        with self._lock:
            self._gone = max(self._gone, total)
        self.release()

    def _ask_if_due(self) -> None:
        with self._lock:
            if self._is_asking or self._total - self._gone < self._due:
                return
            self._is_asking = True
            asked = self._total

        def answered(_: Any) -> None:
            self._is_asking = False
            self.left(asked)
            self._ask_if_due()

        self._ask(answered)

    def release(self) -> None:
        """Lets those look again who wait for room."""
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def end(self) -> None:
        """The connection is lost, and with it the reason to wait."""
        self.left(self._total)
