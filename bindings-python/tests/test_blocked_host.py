"""A blocked host cannot stop the heartbeat, and cannot hide.

A worker process holds the GIL in C code, so that no thread of Python runs in it. The hub is a process
of its own; what it saw is judged by its own record.
"""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from typing import Any, List

import pytest
from processes import start_hub, start_worker

from moorline import Dispatcher


def millis(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000


async def watch(url: str, worker: Any, seconds: int, interval_ms: int, punctual: float) -> None:
    async with Dispatcher(server_url=url) as dispatcher:
        call = asyncio.ensure_future(
            dispatcher.call("Test/HoldInterpreter", {"Seconds": seconds}, timeout_ms=600_000)
        )
        await worker.says("holding")
        beats: List[float] = []
        lags: List[int] = []
        until = time.monotonic() + seconds - 1
        while time.monotonic() < until:
            (row,) = (await dispatcher.call("$status"))["Workers"]
            beats.append(millis(row["LastHeartbeat"]))
            lags.append(row["HostLagMs"])
            # The record keeps the last beat only: look more often than beats come.
            await asyncio.sleep(interval_ms / 1000 / 8)
        assert not call.done()
        distinct = sorted(set(beats))
        gaps = [later - earlier for earlier, later in zip(distinct, distinct[1:])]
        expected = (seconds - 1) * 1000 / interval_ms
        assert len(distinct) >= expected * 0.8, (len(distinct), expected)
        # None is missed, and all are punctual but those for which the machine itself had no time.
        assert max(gaps) < 2 * interval_ms, gaps
        assert sum(gap <= 1.2 * interval_ms for gap in gaps) >= punctual * len(gaps), gaps
        assert max(lags) >= (seconds - 2) * 1000 * 0.9, max(lags)
        await worker.says("released")
        assert (await call)["Outputs"] == {}


def hold(seconds: int, interval_ms: int, punctual: float) -> None:
    with start_hub(lease_ms=5 * interval_ms) as hub:
        url = hub.line()
        with start_worker(
            server_url=url, name="blocked", heartbeat_interval_ms=interval_ms
        ) as worker:
            worker.expect("ready")
            asyncio.run(asyncio.wait_for(watch(url, worker, seconds, interval_ms, punctual), seconds + 40))


def test_beats_go_on_while_c_code_holds_the_interpreter() -> None:
    hold(5, 200, punctual=0.5)


@pytest.mark.gate
def test_beats_go_on_for_a_minute() -> None:
    hold(60, 1_000, punctual=0.9)
