"""Every program in the guide to network-cluster runs as it is printed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Set

from processes import Program, script

import moorline.netcluster

GUIDE = Path(__file__).parents[2] / "docs" / "netcluster-python.md"


def said(program: Program) -> str:
    """Waits for a good end and returns what was printed."""
    assert program.wait() == 0, program.errors
    lines = ""
    while True:
        try:
            lines += program.line() + "\n"
        except AssertionError:
            return lines


def test_the_guide() -> None:
    provider, consumer, admission, messages = re.findall(
        r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL
    )
    told = "provider.on_event = lambda event: print(event['event'], provider.port, flush=True)\n"
    chosen = provider.replace("8080", "0").replace("asyncio.run", told + "asyncio.run")
    with script(chosen) as serving:
        _, port = serving.line().split()
        with script(consumer.replace("8080", port)) as program:
            assert said(program) == "Provider sent: SOME_REPLY\n"
        with script(consumer.replace("8080", port).replace("SECRET_KEY", "OTHER")) as program:
            assert program.wait() != 0
            assert "AUTHENTICATION_FAILED" in program.errors
        serving.terminate()
        heard = r"^Consumer [0-9a-f-]{36} sent: CONSUMER_READY$"
        assert re.search(heard, said(serving), re.MULTILINE)
    with script(admission) as program:
        assert said(program) == "ada is in\neve AUTHENTICATION_FAILED 403\n"
    with script(messages) as program:
        assert said(program) == "b'\\x01\\x02'\nfor all\nARGUMENT_INVALID\nsent\n"


def test_what_the_guide_names_exists() -> None:
    for table in re.split(r"\n\n", GUIDE.read_text()):
        head = re.match(r"\| (`\w+`(?: and `\w+`)?) \| \|\n", table)
        if head is None:
            continue
        rows = re.findall(r"^\| (`.*?) \|", table[head.end() :], re.MULTILINE)
        names: Set[str] = set(re.findall(r"`(\w+)", " ".join(rows)))
        assert names
        for kind in re.findall(r"\w+", head[1].replace(" and ", " ")):
            shape = getattr(moorline.netcluster, kind)
            slots = {"port": 0, "connections": 0} if kind == "Provider" else {}
            state = {"connected", "heartbeat_duration", "last_heartbeat"}
            missing = {name for name in names if not hasattr(shape, name)}
            assert missing <= {*slots, *state}, missing
