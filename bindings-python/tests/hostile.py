"""The handlers of tests/vectors/hostile_outcomes.json."""

from __future__ import annotations

import functools
import json
import math
from pathlib import Path
from typing import Any, Callable, Dict, List

FILE = Path(__file__).parents[2] / "tests/vectors/hostile_outcomes.json"


def rows() -> List[Dict[str, Any]]:
    """The rows of this language."""
    table = json.loads(FILE.read_text(encoding="utf-8"))["rows"]
    return [row for row in table if "python" in row["languages"]]


class OutOfPaper(Exception):
    """A class of the program's own."""


class Untold(Exception):
    """One whose message cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("untold")


class Refusing(Dict[str, Any]):
    """A value that fails when it is written."""

    def items(self) -> Any:
        raise OutOfPaper("not today")


class NoText:
    """A value without text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


def gives(value: Any) -> Callable[[Any, Any], Any]:
    return lambda payload, context: value


def raises(make: Callable[[], BaseException]) -> Callable[[Any, Any], Any]:
    def handler(payload: Any, context: Any) -> Any:
        raise make()

    return handler


def circle() -> List[Any]:
    ring: List[Any] = []
    ring.append(ring)
    return ring


def logs(line: Any, payload: Any, context: Any) -> str:
    context.log(line)
    return "logged"


def reports(report: Any, payload: Any, context: Any) -> None:
    context.progress(report)


HANDLERS: Dict[str, Callable[[Any, Any], Any]] = {
    "lone surrogate in a failure": raises(lambda: ValueError("cut \ud83d")),
    "lone surrogate in a result": gives({"Text": "cut \ud83d", "\udc00": ["\ud83d"]}),
    "two surrogates that are a pair": gives("\ud83d" + "\ude00"),
    "text that spells an escape": gives("\\ud83d \\\\ud83d"),
    "undecodable bytes in a failure": raises(
        lambda: OSError(b"name \xff".decode("utf-8", "surrogateescape"))
    ),
    "not a number in a result": gives(math.nan),
    "an infinity deep in a result": gives({"A": [None, {"B": -math.inf}]}),
    "nulls that are meant": gives({"A": None, "B": [None, 1.5]}),
    "circle in a result": gives(circle()),
    "result that JSON has no form for": gives(object()),
    "integer beyond 64 bits in a result": lambda payload, context: str(payload["Large"]),
    "result that fails when it is written": gives(Refusing(a=1)),
    "failure with a class": raises(lambda: ValueError("wrong")),
    "failure with a class of the program's own": raises(lambda: OutOfPaper("tray 2")),
    "failure whose message cannot be had": raises(Untold),
    "failure that stops programs": raises(lambda: SystemExit(3)),
    "failure with control characters": raises(lambda: ValueError("bell \a\x1b[2J\n")),
    "failure of a megabyte": raises(lambda: ValueError("x" * (1 << 20))),
    "failure without words": raises(RuntimeError),
    "lone surrogate in a line of the log": functools.partial(logs, "cut \udcff"),
    "line of the log that has no text": functools.partial(logs, NoText()),
    "progress that is nothing": functools.partial(reports, None),
    "progress that JSON has no form for": functools.partial(reports, object()),
    "progress that is not a number": functools.partial(reports, {"Percent": math.nan}),
}
"""A handler for each row."""
