"""Every program in the guide runs as it is printed."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
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


@pytest.mark.timeout(300)
def test_the_guide_installs_as_it_is_printed(tmp_path: Path) -> None:
    wheels = os.environ.get("MOORLINE_WHEELS")
    if wheels is None:
        pytest.skip("MOORLINE_WHEELS names no folder with the wheel")
    (commands,) = re.findall(r"```sh\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    extra = tmp_path / "extra"
    subprocess.run([*pip, "download", "--dest", str(extra), "orjson"], check=True)
    fresh = tmp_path / "fresh"
    subprocess.run([sys.executable, "-m", "venv", str(fresh)], check=True)
    found = f"{wheels} {extra}"
    environment = {
        "PATH": f"{fresh / 'bin'}{os.pathsep}{os.environ['PATH']}",
        # From these folders alone: the registry may have another package of the name.
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": found,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    subprocess.run(["sh", "-euc", commands], check=True, env=environment)
    program = "import moorline, orjson, importlib.metadata as m; print(m.version('moorline'))"
    said = subprocess.run(
        [str(fresh / "bin" / "python"), "-c", program], check=True, capture_output=True, text=True
    )
    assert said.stdout.strip() == metadata.version("moorline")


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
