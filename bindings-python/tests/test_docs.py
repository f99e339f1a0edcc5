"""Every program in the guide runs as it is printed."""

from __future__ import annotations

import asyncio
import re
from importlib import metadata
from pathlib import Path
from typing import List

import pytest
from processes import script, start_hub

from moorline import Dispatcher

GUIDE = Path(__file__).parents[2] / "docs" / "python.md"
PRINTED_URL = "http://127.0.0.1:54321"


def programs(url: str) -> List[str]:
    blocks: List[str] = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert len(blocks) >= 8
    return [block.replace(PRINTED_URL, url) for block in blocks]


async def registered(url: str) -> None:
    async with Dispatcher(server_url=url) as dispatcher:
        while not (await dispatcher.call("$status"))["Workers"]:
            pass


def test_what_the_guide_installs_exists() -> None:
    (commands,) = re.findall(r"```sh\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    wanted = re.findall(r'pip install "?(\w+)(?:\[(\w+)\])?', commands)
    assert wanted == [("moorline", ""), ("moorline", "fast")]
    try:
        installed = metadata.metadata("moorline")
    except metadata.PackageNotFoundError:
        pytest.skip("runs from the sources, not from a wheel")
    assert "fast" in installed.get_all("Provides-Extra", [])


def test_the_guide() -> None:
    with start_hub() as hub:
        url = hub.line()
        worker, *others = programs(url)
        # The first program serves until it is told to end; the others talk to it.
        with script(worker) as serving:
            asyncio.run(asyncio.wait_for(registered(url), 30))
            for number, text in enumerate(others, 2):
                with script(text) as program:
                    assert program.wait() == 0, f"program {number}\n{program.errors}"
            assert serving.process.poll() is None, serving.errors
            serving.terminate()
            assert serving.wait() == 0, serving.errors
