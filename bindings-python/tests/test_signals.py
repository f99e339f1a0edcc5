"""SIGTERM and Ctrl-C end a program at once before it is connected, and let running work finish after."""

from __future__ import annotations

import contextlib
import signal
import socket
import time
from typing import Iterator

import pytest
from processes import script, start_hub

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


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT])
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
def test_a_signal_before_the_first_connection(
    role: str, kind: str, told: signal.Signals
) -> None:
    text = _WORKER if role == "worker" else _DAEMON
    with control_plane(kind) as server:
        port = str(server.getsockname()[1])
        with script(text, port, role.rsplit(" ", 1)[-1]) as program:
            program.expect("runs")
            if kind == "silent":
                # The attempt is under way.
                server.settimeout(30)
                link, _ = server.accept()
            began = time.monotonic()
            program.process.send_signal(told)
            while program.line() != "ended":
                pass
            assert program.wait() == 0, program.errors
            assert time.monotonic() - began < AT_ONCE
            if kind == "silent":
                link.close()


_BUSY = """
import asyncio, sys
from moorline import Worker
worker = Worker(server_url=sys.argv[1], name="busy")
worker.on_event = lambda event: print(event["event"], flush=True)

@worker.handle("Busy/Work")
async def work(settings, ctx):
    print("works", flush=True)
    return {"Line": await asyncio.to_thread(sys.stdin.readline)}

asyncio.run(worker.run())
print("ended", flush=True)
"""

_ASKS = """
import asyncio, sys
from moorline import Dispatcher

async def main():
    async with Dispatcher(server_url=sys.argv[1]) as dispatcher:
        try:
            print((await dispatcher.call("Busy/Work"))["Outputs"]["Line"], flush=True)
        except Exception as error:
            print(error, flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_running_work_finish(told: signal.Signals) -> None:
    with start_hub() as hub:
        url = hub.line()
        with script(_BUSY, url) as worker:
            worker.expect("ready")
            with script(_ASKS, url) as caller:
                worker.expect("works")
                worker.process.send_signal(told)
                # One order that arrives twice is one.
                worker.process.send_signal(told)
                worker.expect("draining")
                assert worker.process.stdin is not None
                worker.process.stdin.write("finished\n")
                worker.process.stdin.flush()
                assert caller.line() == "finished"
            while worker.line() != "ended":
                pass
            assert worker.wait() == 0, worker.errors
            assert "Traceback" not in worker.errors
