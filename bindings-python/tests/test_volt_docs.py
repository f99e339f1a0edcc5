"""Every program in the guide to VOLT daemons runs as it is printed."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any, Dict, List

import pytest
from processes import Program, script

from moorline import Hub, MoorlineError

GUIDE = Path(__file__).parents[2] / "docs" / "volt-python.md"
PRINTED = "127.0.0.1:54321"
CLUSTER = "cluster-abc123"
CREDENTIAL = {"team_cluster_id": CLUSTER, "password": "rotated-pw-xyz"}


def programs(address: str, token: str, folder: Path) -> List[str]:
    blocks: List[str] = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    replaced = {PRINTED: address, "enroll-tok-1": token, "daemon.db": str(folder / "daemon.db")}
    for printed, real in replaced.items():
        blocks = [block.replace(printed, real) for block in blocks]
    return blocks


async def ends(program: Program) -> List[str]:
    """Waits for a good end and returns what was printed."""
    code = await asyncio.to_thread(program.wait)
    assert code == 0, program.errors
    lines: List[str] = []
    while True:
        try:
            lines.append(program.line())
        except AssertionError:
            return lines


async def stops(program: Program) -> List[str]:
    program.terminate()
    return await ends(program)


def test_the_guide(tmp_path: Path) -> None:
    async def main() -> None:
        async with Hub(listen="127.0.0.1:0", volt={"daemons": [CREDENTIAL]}) as hub:

            async def call(command: str, payload: Any = None, **options: Any) -> Dict[str, Any]:
                told = {"team_cluster_id": CLUSTER, **options}
                answer: Dict[str, Any] = await hub.call(command, payload or {}, **told)
                return answer

            enroll = {"TeamClusterID": "cluster-new", "Name": "page"}
            token = (await hub.call("$enroll", enroll))["Token"]
            address = hub.url[len("http://") :]
            texts = programs(address, token, tmp_path)
            daemon, within, enrolling, handlers, streams, errors, testing = texts

            with script(daemon) as program:
                answer = await call("jobs.run", {"id": 7})
                assert answer["Data"] == {"started": 7}
                assert await stops(program) == ["registered"]
            with script(within) as program:
                assert await ends(program) == ["['teamCluster']", "True ready"]
            with script(enrolling) as program:
                assert await ends(program) == ["enrolled"]
            with script(handlers) as program:
                assert (await call("container.list"))["Data"] == ["a", "b"]
                answer = await call("container.remove", {"id": "a"})
                assert answer["Data"] == {"removed": "a", "by": "container.remove"}
                assert answer["Status"] == 202 and "x-trace" in answer["Headers"]
                with pytest.raises(MoorlineError, match="it is being removed") as raised:
                    await call("container.stop", {"id": "a"})
                assert raised.value.status == 409
                assert "Data" not in await call("container.stop", {"id": "b"})
                assert (await call("file.read", response_type="buffer"))["Body"] == "AAEC"
                assert (await call("container.status"))["Data"] == {"healthy": True}
                await stops(program)
            with script(streams) as program:
                (tmp_path / "a.txt").write_text("one\ntwo\n")
                for command, payload in (
                    ("logs.follow", {"lines": 2}),
                    ("file.download", {"path": str(tmp_path / "a.txt")}),
                ):
                    parts: List[Any] = []
                    await call(
                        command, payload, response_type="stream", on_progress=parts.append
                    )
                    assert len(parts) >= 2, parts
                await stops(program)
            with script(errors) as program:
                printed = await ends(program)
                rejected = "True 404 Unknown daemon server command: no.such.command"
                assert printed == ["True", rejected]
            with script(testing) as program:
                await ends(program)

    asyncio.run(asyncio.wait_for(main(), 90))


def test_what_the_guide_names_exists() -> None:
    from moorline.volt import ClusterDaemonClient

    table = GUIDE.read_text().split("| `ClusterDaemonClient` | |")[1].split("\n\n")[0]
    names = set(re.findall(r"`(\w+)(?=[(`])", table)) - {"SIGTERM", "None"}
    assert names
    missing = {name for name in names if not hasattr(ClusterDaemonClient, name)}
    assert missing <= {"heartbeat_payload", "command_timeout_ms"}
