"""Starts the programs that tests talk to, and reads what they print."""

from __future__ import annotations

import asyncio
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, List, Optional, Type

PROGRAMS = Path(__file__).parent / "programs"


class Program:
    """A Python program; killed at the end of a `with` block."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-X", "dev", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lines: "queue.Queue[Optional[str]]" = queue.Queue()
        self._errors: List[str] = []
        self._readers = [
            threading.Thread(target=self._read, daemon=True),
            threading.Thread(target=self._read_errors, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def line(self, seconds: float = 30) -> str:
        """Waits for the next line that the program prints."""
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            raise AssertionError(f"nothing was printed within {seconds} s\n{self.errors}") from None
        if line is None:
            raise AssertionError(f"the program ended\n{self.errors}")
        return line

    def expect(self, line: str, seconds: float = 30) -> None:
        """Waits for the next line, which must be `line`."""
        got = self.line(seconds)
        assert got == line, f"{got!r}\n{self.errors}"

    async def says(self, line: str) -> None:
        """Like `expect`, while the loop goes on."""
        await asyncio.to_thread(self.expect, line)

    def wait(self, seconds: float = 30) -> int:
        """Waits for the end and returns the exit code."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds} s\n{self.errors}") from None
        for reader in self._readers:
            reader.join()
        return code

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def errors(self) -> str:
        return "".join(self._errors)

    def __enter__(self) -> "Program":
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.kill()
        for reader in self._readers:
            reader.join()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        self._errors.extend(self.process.stderr)


def script(text: str, *arguments: str) -> Program:
    """Starts a program given as text."""
    return Program("-c", text, *arguments)


def start_hub(**options: Any) -> Program:
    """Starts a hub; its first line is its URL."""
    options.setdefault("listen", "127.0.0.1:0")
    return Program(os.fspath(PROGRAMS / "hub.py"), json.dumps(options))


def start_worker(**options: Any) -> Program:
    """Starts a worker; its first line is `ready`."""
    return Program(os.fspath(PROGRAMS / "worker.py"), json.dumps(options))
