"""Outcomes that are hard to carry: every one settles its item, and the process lives on."""

from __future__ import annotations

import asyncio
import functools
import json
import re
import subprocess
import sys
from typing import Any, Dict

import pytest
from hostile import HANDLERS, rows

from moorline import Dispatcher, Hub, MoorlineError, Worker


def test_each_row_has_a_handler_and_each_handler_a_row() -> None:
    assert sorted(HANDLERS) == sorted(row["name"] for row in rows())


async def _outcome(dispatcher: Dispatcher, key: str) -> Dict[str, Any]:
    try:
        reply = await dispatcher.call(key, {"Large": 2**64 + 1}, timeout_ms=20_000)
        outputs = reply["Outputs"]
        return {"done": outputs.get("Result", outputs)}
    except MoorlineError as error:
        assert error.code == "REMOTE_ERROR"
        return {"failed": error.message}


@pytest.mark.parametrize("awaited", [False, True], ids=["plain", "coroutine"])
def test_every_hostile_outcome_settles_its_item(run: Any, awaited: bool) -> None:
    # In a coroutine it ends the program, as it is meant to.
    mine = [row for row in rows() if not awaited or row["name"] != "failure that stops programs"]

    async def main() -> None:
        async with Hub(listen="127.0.0.1:0") as hub:
            worker = Worker(server_url=hub.url, name="hostile", max_concurrent=4)
            for number, row in enumerate(mine):
                handler = HANDLERS[row["name"]]

                async def waits(handler: Any, payload: Any, context: Any) -> Any:
                    await asyncio.sleep(0)
                    return handler(payload, context)

                worker.handle(f"Hostile/{number}")(
                    functools.partial(waits, handler) if awaited else handler
                )
            async with worker, Dispatcher(server_url=hub.url) as dispatcher:
                keys = [f"Hostile/{number}" for number in range(len(mine))]
                outcomes = [await _outcome(dispatcher, key) for key in keys]
                again = await asyncio.gather(*(_outcome(dispatcher, key) for key in keys))
        assert outcomes == again
        for row, outcome in zip(mine, outcomes):
            if "done" in row:
                assert outcome == {"done": row["done"]}, row["name"]
                continue
            message = outcome["failed"]
            assert not re.search("[\ud800-\udfff]", message), row["name"]
            for text in row["failed"] + row.get("also", {}).get("python", []):
                assert text in message, row["name"]

    run(main())


CODEC = """
import enum, json, math, sys, uuid
if sys.argv[1] == "without":
    sys.modules["orjson"] = None
from moorline._json import encode, loads
from moorline import MoorlineError

class Color(enum.Enum):
    RED = 1

class Level(enum.IntEnum):
    HIGH = 3

class Text(str):
    pass

values = [
    2**53 + 1, 2**63, 2**64, -(2**64), 1.5, -0.0, 1e16, 1e300, True, None, "\\ud83d", {"\\udcff": 1}, "\\ud83d\\ude00",
    math.nan, [math.inf], {"a": None, "b": math.nan}, uuid.UUID(int=7), Color.RED, Level.HIGH, Text("t"), {1: 2}, (1, 2),
    {1, 2}, b"x", 1j, ..., object(), [[None]], {"é": "ü"}, float(2**63), {"k": Color.RED}, [uuid.UUID(int=7)],
]
deep = []
for _ in range(100_000):
    deep = [deep]
values.append(deep)
said = []
for value in values:
    try:
        said.append(repr(json.loads(encode(value))))
    except MoorlineError as error:
        said.append(error.code)
for text in [b"18446744073709551616", b"-9223372036854775809", b"12345678901234567890.5", b'"12345678901234567890"',
             b"[9223372036854775807]", b"1E5", b'{"a":[184467440737095516160]}']:
    said.append(repr(loads(text)))
print(json.dumps(said))
"""


def test_the_codec_is_the_same_with_orjson_and_without() -> None:
    pytest.importorskip("orjson")
    with_it, without = (
        json.loads(subprocess.run([sys.executable, "-c", CODEC, way], check=True, stdout=-1).stdout)
        for way in ("with", "without")
    )
    assert with_it == without
    # Values that JSON has no form for are refused, and integers stay what they are.
    assert with_it.count("ARGUMENT_INVALID") == 13
    assert with_it[2] == str(2**64) and with_it[-7] == str(2**64)
    assert with_it[10] == repr("\ufffd")
