"""A blocked interpreter neither loses the session nor stops the heartbeat.

A daemon process holds the GIL in C code, so that no thread of Python runs in it. Judged by the official
server's own record.
"""

from __future__ import annotations

import asyncio
from typing import Any, Dict, List

import pytest
from processes import script
from volt_peer import Server

DAEMON = """
import asyncio, ctypes, sys
from moorline.volt import ClusterDaemonClient

url, interval = sys.argv[1], int(sys.argv[2])

async def main():
    daemon = ClusterDaemonClient(
        control_socket_url=url,
        team_cluster_id="cluster-abc123",
        daemon_password="rotated-pw-xyz",
        heartbeat={"interval_ms": interval, "include_credentials": True},
    )

    @daemon.register_handler("host.hold")
    async def hold(payload, context):
        # A function of `PyDLL` keeps the interpreter while it runs.
        ctypes.PyDLL(None).sleep(payload["seconds"])
        return {"held": payload["seconds"]}

    await daemon.connect()
    print("connected", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def watch(seconds: int, interval_ms: int) -> None:
    server = await Server.start(
        {
            "engine": {"pingInterval": interval_ms, "pingTimeout": 2 * interval_ms},
            "presenceMs": 4 * interval_ms,
        }
    )
    try:
        with script(DAEMON, server.url, str(interval_ms)) as daemon:
            await daemon.says("connected")
            await held(server, seconds, interval_ms)
    finally:
        await server.stop()


async def held(server: Server, seconds: int, interval_ms: int) -> None:
    payload = {"seconds": seconds}
    fields = {"requestId": "req-hold", "command": "host.hold", "payload": payload}
    await server.do("command", fields=fields)
    begin = len(server.records.entries)

    def is_answer(record: Dict[str, Any]) -> bool:
        return record["record"] == "message" and record["message"]["requestId"] == "req-hold"

    end = await server.records.find(is_answer, begin)
    presence = await server.do("presence")
    assert presence["connected"] and presence["registered"], presence
    records = server.records.entries
    assert not [record for record in records if record["record"] in ("left", "close")]
    assert len([record for record in records if record["record"] == "register"]) == 1
    meanwhile = records[begin:end]
    for kind in ("heartbeat", "pong"):
        seen: List[int] = [record["at"] for record in meanwhile if record["record"] == kind]
        assert len(seen) >= 0.8 * seconds * 1_000 / interval_ms, (kind, len(seen))
        gaps = [later - earlier for earlier, later in zip(seen, seen[1:])]
        assert max(gaps) < 2 * interval_ms, (kind, max(gaps))


def test_the_session_lives_while_c_code_holds_the_interpreter() -> None:
    asyncio.run(asyncio.wait_for(watch(3, 200), 40))


@pytest.mark.gate
def test_the_session_lives_for_a_minute() -> None:
    asyncio.run(asyncio.wait_for(watch(60, 1_000), 110))
