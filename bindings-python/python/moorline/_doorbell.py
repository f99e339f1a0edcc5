"""Watches a handle's doorbell on behalf of an event loop."""

from __future__ import annotations

import asyncio
import select
import socket
import threading
from typing import Callable, Protocol

Unwatch = Callable[[], None]


class Doorbell(Protocol):
    """What has a descriptor that is readable while it rings."""

    def fileno(self) -> int: ...


def watch(loop: asyncio.AbstractEventLoop, bell: Doorbell, ring: Callable[[], None]) -> Unwatch:
    """Calls `ring` on `loop` whenever `bell` rings, until the returned function is called.

    `ring` must silence the bell.
    """
    try:
        loop.add_reader(bell, ring)
    except NotImplementedError:
        return _watch_from_thread(loop, bell, ring)

    def unwatch() -> None:
        if not loop.is_closed():
            loop.remove_reader(bell)

    return unwatch


def _watch_from_thread(
    loop: asyncio.AbstractEventLoop, bell: Doorbell, ring: Callable[[], None]
) -> Unwatch:
    # Some loops watch no descriptors; Windows' Proactor is one.
    answered = threading.Semaphore(0)
    leave, left = socket.socketpair()

    def answer() -> None:
        try:
            ring()
        finally:
            answered.release()

    def serve() -> None:
        with left:
            while left not in select.select([bell, left], [], [])[0]:
                try:
                    loop.call_soon_threadsafe(answer)
                except RuntimeError:
                    return
                answered.acquire()

    threading.Thread(target=serve, name="moorline-doorbell", daemon=True).start()

    def unwatch() -> None:
        leave.close()
        answered.release()

    return unwatch
