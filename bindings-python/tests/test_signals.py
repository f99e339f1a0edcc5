"""SIGTERM ends a program at once, however far it has come."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import Iterator

import pytest
from processes import script

AT_ONCE = 5
"""Seconds: a drain has 30, an attempt to connect 10."""

_WORKER = """
import asyncio, sys
from moorline import Worker
worker = Worker(server_url=f"http://127.0.0.1:{sys.argv[1]}", name="early")
told = lambda event: print(event["event"], flush=True)
worker.on_event = told

async def main():
    asyncio.get_running_loop().call_soon(print, "runs")
    asyncio.get_running_loop().call_soon(sys.stdout.flush)
    await worker.run()
    print("ended", flush=True)

asyncio.run(main())
"""

_DAEMON = """
import asyncio, sys
from moorline.volt import ClusterDaemonClient
address = f"//127.0.0.1:{sys.argv[1]}"
token = {"enrollment_token": "once", "server_url": f"http:{address}"} if sys.argv[2] == "enrolls" else {}
daemon = ClusterDaemonClient(
    control_socket_url=f"ws:{address}", team_cluster_id="c", daemon_password="p", **token
)
daemon.on_error(lambda error: None)

async def main():
    asyncio.get_running_loop().call_soon(print, "runs")
    asyncio.get_running_loop().call_soon(sys.stdout.flush)
    await daemon.run()
    print("ended", flush=True)

asyncio.run(main())
"""


@contextlib.contextmanager
def control_plane(kind: str) -> Iterator[socket.socket]:
    """One that nobody listens for, or one that takes connections and never says a word."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if kind == "silent":
            server.listen()
        yield server


@pytest.mark.parametrize(
    ("role", "kind"),
    [
        ("worker", "absent"),
        ("worker", "silent"),
        ("daemon", "absent"),
        ("daemon", "silent"),
        # One that cannot reach whoever enrolls it ends by itself.
        ("daemon enrolls", "silent"),
    ],
)
def test_sigterm_before_the_first_connection(role: str, kind: str) -> None:
    text = _WORKER if role == "worker" else _DAEMON
    with control_plane(kind) as server:
        port = str(server.getsockname()[1])
        with script(text, port, role.rsplit(" ", 1)[-1]) as program:
            program.expect("runs")
            if kind == "silent":
                # The attempt is under way.
                server.settimeout(30)
                link, _ = server.accept()
            told = time.monotonic()
            program.terminate()
            while program.line() != "ended":
                pass
            assert program.wait() == 0, program.errors
            assert time.monotonic() - told < AT_ONCE
            if kind == "silent":
                link.close()
