"""A blocked host cannot stop the heartbeat, and cannot hide.

A worker process holds the GIL in C code, so that no thread of Python runs in it. The hub is a process
of its own; what it saw is judged by its own record.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, List

import pytest
from processes import start_hub, start_worker

from moorline import Dispatcher

INTERVAL_MS = 200


async def watch(url: str, worker: Any, seconds: int) -> None:
    async with Dispatcher(server_url=url) as dispatcher:
        call = asyncio.ensure_future(
            dispatcher.call("Test/HoldInterpreter", {"Seconds": seconds}, timeout_ms=600_000)
        )
        await asyncio.to_thread(worker.expect, "holding")
        beats: List[float] = []
        lags: List[int] = []
        until = time.monotonic() + seconds - 1
        while time.monotonic() < until:
            (row,) = (await dispatcher.call("$status"))["Workers"]
            beats.append(row["LastHeartbeat"])
            lags.append(row["HostLagMs"])
            # The record keeps the last beat only: look more often than beats come.
            await asyncio.sleep(INTERVAL_MS / 1000 / 8)
        assert not call.done()
        distinct = sorted(set(beats))
        gaps = [later - earlier for earlier, later in zip(distinct, distinct[1:])]
        expected = (seconds - 1) * 1000 / INTERVAL_MS
        assert len(distinct) >= expected * 0.8, (len(distinct), expected)
        assert max(gaps) <= 2 * INTERVAL_MS, max(gaps)
        assert sorted(gaps)[len(gaps) // 2] <= 1.2 * INTERVAL_MS, gaps
        assert max(lags) >= (seconds - 2) * 1000 * 0.9, max(lags)
        await asyncio.to_thread(worker.expect, "released")
        assert (await call)["Outputs"] == {}


def hold(seconds: int) -> None:
    with start_hub(lease_ms=1_000) as hub:
        url = hub.line()
        with start_worker(
            server_url=url, name="blocked", heartbeat_interval_ms=INTERVAL_MS
        ) as worker:
            worker.expect("ready")
            asyncio.run(asyncio.wait_for(watch(url, worker, seconds), seconds + 40))


def test_beats_go_on_while_c_code_holds_the_interpreter() -> None:
    hold(5)


@pytest.mark.gate
def test_beats_go_on_for_a_minute() -> None:
    hold(60)
