"""A worker as a process of its own: prints `ready`, and each step of its handlers."""

import asyncio
import ctypes
import json
import os
import sys
from typing import Any

from moorline import Context, Event, Worker

worker = Worker(**json.loads(sys.argv[1]))


def say(*words: object) -> None:
    print(*words, flush=True)


@worker.handle("Test/Echo")
async def echo(settings: Any, ctx: Context) -> Any:
    return {"Text": settings["Text"], "Process": os.getpid()}


@worker.handle("Test/Plain")
def plain(settings: Any, ctx: Context) -> Any:
    return {"Text": settings["Text"], "Process": os.getpid()}


@worker.handle("Test/Wait")
async def wait(settings: Any, ctx: Context) -> Any:
    """Goes on when the test creates a file."""
    say("waiting")
    while not os.path.exists(settings["File"]):
        await asyncio.sleep(0.01)
    return {"Process": os.getpid()}


@worker.handle("Test/HoldInterpreter")
async def hold(settings: Any, ctx: Context) -> Any:
    """Holds the GIL in C code: no thread of Python runs until it returns."""
    say("holding")
    ctypes.PyDLL(None).sleep(settings["Seconds"])
    say("released")
    return {}


def told(event: Event) -> None:
    if event["event"] == "draining":
        say("draining")


async def main() -> None:
    worker.on_event = told
    await worker.connect()
    say("ready")
    await worker.run()
    say("ended")


asyncio.run(main())
