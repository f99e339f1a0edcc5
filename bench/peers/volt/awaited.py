"""Calls of Rust that are awaited by a future for each: no connection, no protocol.

The sixth argument is the extension's file, the seventh what makes the futures: `pyo3` or `hand`.
"""

import asyncio
import importlib.util
import sys

import measure
import orjson

FILE, MAKER = sys.argv[6:8]
place = importlib.util.spec_from_file_location("awaited", FILE)
awaited = importlib.util.module_from_spec(place)
place.loader.exec_module(awaited)


async def by_pyo3(payload):
    return orjson.loads(await awaited.call(orjson.dumps(payload)))


def settle(future, text):
    if not future.done():
        future.set_result(text)


async def by_hand(payload):
    loop = asyncio.get_running_loop()
    return orjson.loads(await awaited.call_by_hand(loop, settle, orjson.dumps(payload)))


asyncio.run(measure.calls(by_pyo3 if MAKER == "pyo3" else by_hand))
