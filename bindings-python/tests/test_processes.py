"""Workers and hubs as processes of their own: loss, restart, signals, exit."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from pathlib import Path
from typing import Any, Dict, List

import pytest
from processes import Program, script, start_hub, start_worker

from moorline import Dispatcher


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def test_a_lost_worker_s_item_goes_to_another(run: Any, tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    async def main(url: str, workers: List[Program]) -> None:
        async with Dispatcher(server_url=url) as dispatcher:
            workers.append(start_worker(server_url=url, name="first"))
            await workers[0].says("ready")
            call = asyncio.ensure_future(dispatcher.call("Test/Wait", {"File": str(gate)}))
            await workers[0].says("waiting")
            workers.append(start_worker(server_url=url, name="second"))
            await workers[1].says("ready")
            workers[0].kill()
            await workers[1].says("waiting")
            gate.touch()
            result = await call
            assert result["Outputs"]["Process"] == workers[1].process.pid

    workers: List[Program] = []
    with start_hub() as hub:
        try:
            run(main(hub.line(), workers))
        finally:
            for worker in workers:
                worker.__exit__(None, None, None)


def test_a_killed_hub_loses_nothing(tmp_path: Path) -> None:
    options: Dict[str, Any] = {
        "listen": f"127.0.0.1:{free_port()}",
        "runtime": {"store_path": str(tmp_path / "hub.sqlite")},
    }
    reconnect = {"base_delay_ms": 50, "max_delay_ms": 200}

    async def main(hubs: List[Program]) -> None:
        url = hubs[0].line()
        worker = start_worker(
            server_url=url, name="steady", max_concurrent=8, reconnect=reconnect
        )
        with worker:
            await worker.says("ready")
            async with Dispatcher(server_url=url, reconnect=reconnect) as dispatcher:
                calls = [
                    asyncio.ensure_future(
                        dispatcher.call("Test/Echo", {"Text": str(number)}, timeout_ms=60_000)
                    )
                    for number in range(300)
                ]
                await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
                hubs[0].kill()
                hubs.append(start_hub(**options))
                assert await asyncio.to_thread(hubs[1].line) == url
                results = await asyncio.gather(*calls)
                texts = [result["Outputs"]["Text"] for result in results]
                assert texts == [str(number) for number in range(300)]

    hubs = [start_hub(**options)]
    try:
        asyncio.run(asyncio.wait_for(main(hubs), 90))
    finally:
        for hub in hubs:
            hub.__exit__(None, None, None)


def test_sigterm_drains_a_worker(run: Any, tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    async def main(url: str, worker: Program) -> None:
        async with Dispatcher(server_url=url) as dispatcher:
            call = asyncio.ensure_future(dispatcher.call("Test/Wait", {"File": str(gate)}))
            await worker.says("waiting")
            worker.terminate()
            await worker.says("draining")
            gate.touch()
            assert (await call)["Outputs"]["Process"] == worker.process.pid
        while await asyncio.to_thread(worker.line) != "ended":
            pass
        assert await asyncio.to_thread(worker.wait) == 0

    with start_hub() as hub:
        url = hub.line()
        with start_worker(server_url=url, name="drained") as worker:
            worker.expect("ready")
            run(main(url, worker))


def test_a_second_signal_ends_at_once(run: Any, tmp_path: Path) -> None:
    async def main(url: str, worker: Program) -> None:
        async with Dispatcher(server_url=url) as dispatcher:
            call = asyncio.ensure_future(
                dispatcher.call("Test/Wait", {"File": str(tmp_path / "never")})
            )
            await worker.says("waiting")
            worker.terminate()
            await worker.says("draining")
            worker.process.send_signal(signal.SIGINT)
            assert await asyncio.to_thread(worker.wait) != 0
            assert "DRAIN_TIMEOUT" in worker.errors
            call.cancel()

    with start_hub() as hub:
        url = hub.line()
        with start_worker(server_url=url, name="drained") as worker:
            worker.expect("ready")
            run(main(url, worker))


LEAVE_OPEN = """
import asyncio, os, sys, threading, time
from moorline import Hub, Worker, Dispatcher

kept = []

async def main(how):
    hub = Hub(listen="127.0.0.1:0")
    await hub.connect()
    worker = Worker(server_url=hub.url, name="left open")
    began = asyncio.Event()
    loop = asyncio.get_running_loop()

    @worker.handle("Test/Forever")
    def forever(settings, ctx):
        loop.call_soon_threadsafe(began.set)
        threading.Event().wait()

    await worker.connect()
    dispatcher = Dispatcher(server_url=hub.url)
    await dispatcher.connect()
    call = asyncio.ensure_future(dispatcher.call("Test/Forever", {}))
    await began.wait()
    kept.extend([hub, worker, dispatcher, call])
    if how == "sys.exit":
        sys.exit(0)
    if how == "exception":
        raise SystemExit("as wanted")

how = sys.argv[1]
if how == "loop left open":
    loop = asyncio.new_event_loop()
    loop.run_until_complete(main(how))
elif how == "daemon thread":
    thread = threading.Thread(target=lambda: asyncio.run(main("run on")), daemon=True)
    thread.start()
    thread.join(10)
else:
    asyncio.run(main(how))
print("left", flush=True)
"""


@pytest.mark.parametrize(
    "how", ["return", "sys.exit", "exception", "loop left open", "daemon thread"]
)
def test_the_interpreter_exits_with_open_handles(how: str) -> None:
    with script(LEAVE_OPEN, how) as program:
        code = program.wait(20)
        assert code == (1 if how == "exception" else 0), program.errors
        assert "Fatal" not in program.errors
        assert "panicked" not in program.errors


def test_importing_is_quick_and_starts_nothing() -> None:
    text = """
import sys, threading
import moorline
assert threading.active_count() == 1
assert "asyncio" in sys.modules
print(len(open("/proc/self/status").read().split("Threads:")[1].split()[0]))
"""
    with script(text) as program:
        program.expect("1")
        assert program.wait() == 0


def test_hours_do_not_pass_in_a_wait() -> None:
    began = time.monotonic()
    text = """
import asyncio
from moorline import Worker

async def main():
    worker = Worker(server_url="http://127.0.0.1:9", name="nobody there")
    try:
        await asyncio.wait_for(worker.connect(), 0.2)
    except asyncio.TimeoutError:
        print("gave up", flush=True)

asyncio.run(main())
"""
    with script(text) as program:
        program.expect("gave up")
        assert program.wait(10) == 0
    assert time.monotonic() - began < 10
