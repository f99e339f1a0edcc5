"""What belongs to a process: whether it is a forked child, and its termination signal."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import Callable, ClassVar, Generator


class Process:
    """Tells a forked child from its parent without a system call."""

    current: ClassVar[object] = object()

    @classmethod
    def renew(cls) -> None:
        """Makes whatever holds the present mark belong to another process."""
        cls.current = object()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=Process.renew)


@contextlib.contextmanager
def on_sigterm(
    loop: asyncio.AbstractEventLoop, act: Callable[[], None]
) -> Generator[None, None, None]:
    """Calls `act` on the loop for each SIGTERM, where the loop can know of signals."""
    try:
        loop.add_signal_handler(signal.SIGTERM, act)
    except (NotImplementedError, RuntimeError, ValueError):
        # Not the main thread, or a loop without signals: the program itself must drain.
        yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
