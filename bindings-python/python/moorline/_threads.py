"""Threads for plain functions.

A thread stays attached to the interpreter between jobs: attaching costs far more than a job's way
here and back. Threads are daemons, so that a function that never returns cannot hold up the exit.
"""

from __future__ import annotations

import queue
import threading
from typing import Callable, Optional

_Job = Callable[[], None]


class Threads:
    """Runs jobs on as many threads as were ever wanted at once."""

    def __init__(self) -> None:
        self._jobs: "queue.SimpleQueue[Optional[_Job]]" = queue.SimpleQueue()
        self._count = 0

    def run(self, job: _Job, wanted: int) -> None:
        """Queues a job; `wanted` is how many jobs should run at once now, this one included.

        Raises `RuntimeError` if there is no thread for it: then it does not run at all.
        """
        if self._count < wanted:
            name = f"moorline-handler-{self._count + 1}"
            # Jobs wait for a thread, so a thread that cannot start must leave neither behind.
            threading.Thread(target=self._serve, name=name, daemon=True).start()
            self._count += 1
        self._jobs.put(job)

    def close(self) -> None:
        """Ends each thread after its present job."""
        for _ in range(self._count):
            self._jobs.put(None)
        self._count = 0

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
