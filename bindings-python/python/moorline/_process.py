"""What belongs to a process: whether it is a forked child, and the signals that ask it to end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import Any, Callable, ClassVar, Dict, Generator


class Process:
    """Tells a forked child from its parent without a system call."""

    current: ClassVar[object] = object()

    @classmethod
    def renew(cls) -> None:
        """Makes whatever holds the present mark belong to another process."""
        cls.current = object()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=Process.renew)


_STOPS = (signal.SIGTERM, signal.SIGINT)
_ECHO = 0.1
"""Seconds: some programs signal a process and its group, so that one order arrives twice."""


@contextlib.contextmanager
def on_stop(
    loop: asyncio.AbstractEventLoop, act: Callable[[], None]
) -> Generator[None, None, None]:
    """Calls `act` on the loop for each SIGTERM and SIGINT, where the loop can know of signals.

    The same signal twice within 100 ms counts once. Afterwards whoever had the signals before has them again.
    """
    latest: Dict[signal.Signals, float] = {}

    def hear(number: signal.Signals) -> None:
        before, now = latest.get(number, -_ECHO), loop.time()
        latest[number] = now
        if now - before >= _ECHO:
            act()

    owners: Dict[signal.Signals, Any] = {}
    try:
        for number in _STOPS:
            owner = signal.getsignal(number)
            loop.add_signal_handler(number, hear, number)
            owners[number] = owner
    except (NotImplementedError, RuntimeError, ValueError):
        # Not the main thread, or a loop without signals: the program itself must drain.
        yield
        return
    try:
        yield
    finally:
        for number, owner in owners.items():
            loop.remove_signal_handler(number)
            if owner is not None:
                signal.signal(number, owner)
