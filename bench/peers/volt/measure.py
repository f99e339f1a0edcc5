"""What the contestants of Python share: the mode, the closed loop, the clock.

Arguments: URL MODE IN_FLIGHT WARM_MS MEASURE_MS. Every mode ends with one line of JSON.
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path

URL, MODE = sys.argv[1:3]
IN_FLIGHT, WARM_MS, MEASURE_MS = map(int, sys.argv[3:6])
IO = "moorline-io\n"
PAYLOAD = {"job": "j-12345", "page": 1, "filter": "running"}


def finish(result):
    print(json.dumps(result), flush=True)
    os._exit(0)


async def window(count):
    """Counts what `count` counts between the end of the warm-up and that of the measurement."""
    await asyncio.sleep(WARM_MS / 1e3)
    begin, cpu, before = time.perf_counter(), time.process_time(), count()
    main, io = time.thread_time(), io_thread()
    await asyncio.sleep(MEASURE_MS / 1e3)
    while count() - before < 200 and time.perf_counter() - begin < 20:
        await asyncio.sleep(0.05)
    done = count() - before
    cpu, main, io = time.process_time() - cpu, time.thread_time() - main, io_thread() - io
    finish({"done": done, "seconds": time.perf_counter() - begin, "cpu": cpu, "main": main, "io": io})


def io_thread():
    """Processor time of the threads on which Moorline speaks with its peers, in seconds."""
    threads = [task for task in Path("/proc/self/task").iterdir() if task.joinpath("comm").read_text() == IO]
    return sum(int(task.joinpath("schedstat").read_text().split()[0]) for task in threads) / 1e9


async def calls(call):
    """`await call(payload)` is one call; so many are kept in flight."""
    done = 0

    async def loop():
        nonlocal done
        while True:
            await call(PAYLOAD)
            done += 1

    tasks = [asyncio.ensure_future(loop()) for _ in range(IN_FLIGHT)]
    for task in tasks:
        task.add_done_callback(lambda ended: fail(ended.exception()))
    await window(lambda: done)


async def settle(call):
    """Sends the calls, none of which is answered; tells when the last was settled, in Unix milliseconds."""
    outcomes = await asyncio.gather(*(call(PAYLOAD) for _ in range(IN_FLIGHT)), return_exceptions=True)
    assert all(isinstance(outcome, Exception) for outcome in outcomes), outcomes[:3]
    finish({"at": time.time() * 1e3})


class Tick:
    """Counts what a handler is asked to do."""

    count = 0


async def commands():
    await window(lambda: Tick.count)


async def events(subscribe, more):
    """Asks for messages by `more` and counts those that come: asks again after each `IN_FLIGHT`."""
    count = 0

    def listener(_message):
        nonlocal count
        count += 1
        if count % IN_FLIGHT == 0:
            more()

    subscribe(listener)
    more()
    await window(lambda: count)


async def block():
    """Blocks the event loop once the daemon is ready."""
    await asyncio.sleep(WARM_MS / 1e3)
    end = time.perf_counter() + MEASURE_MS / 1e3
    while time.perf_counter() < end:
        pass
    await asyncio.sleep(1)
    finish({"blocked": MEASURE_MS})


def fail(error):
    print(repr(error), file=sys.stderr, flush=True)
    os._exit(1)
