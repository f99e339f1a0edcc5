"""More than a connection takes at once, to the official socket.io server: nothing is lost."""

import asyncio
import contextlib
import json
from pathlib import Path

import pytest

from moorline.volt import ClusterDaemonClient, DaemonClientError

SERVER = Path(__file__).parents[2] / "tests/peers/volt/flood.mjs"
PAD = "x" * 64_000


@contextlib.asynccontextmanager
async def connected(**options):
    """A daemon, how its server counts, and what went wrong."""
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec("node", str(SERVER), stdin=pipe, stdout=pipe)
    port = json.loads(await child.stdout.readline())["port"]

    async def until(kind, least):
        line = json.dumps({"id": 1, "do": "until", "kind": kind, "least": least})
        child.stdin.write(f"{line}\n".encode())
        return json.loads(await child.stdout.readline())["counts"]

    daemon = ClusterDaemonClient(
        control_socket_url=f"ws://127.0.0.1:{port}",
        team_cluster_id="c",
        daemon_password="p",
        heartbeat={"enabled": False},
        **options,
    )
    errors = []
    daemon.on_error(errors.append)
    try:
        await daemon.connect()
        yield daemon, until, errors
    finally:
        await daemon.disconnect()
        child.kill()
        await child.wait()


def run(scene):
    asyncio.run(asyncio.wait_for(scene, 60))


def test_200_messages_in_one_turn_arrive():
    async def scene():
        async with connected() as (daemon, until, errors):
            for _ in range(200):
                daemon.emit({"type": "flood", "pad": PAD})
            await daemon.flushed()
            assert (await until("flood", 200), errors) == ({"flood": 200}, [])

    run(scene())


def test_30_commands_of_5_mb_are_held_and_answered():
    async def scene():
        async with connected() as (daemon, until, errors):
            payload = {"large": "x" * 5_000_000}
            await asyncio.gather(*(daemon.send_command("a", payload) for _ in range(30)))
            assert (await until("command", 30), errors) == ({"command": 30}, [])

    run(scene())


def test_what_is_too_much_is_refused_at_the_call_and_nothing_else_is_lost():
    async def scene():
        limits = {"max_send_queue_bytes": 4_194_304}
        async with connected(limits=limits) as (daemon, until, errors):
            taken = 0
            with pytest.raises(DaemonClientError, match="max_send_queue_bytes") as refused:
                while True:
                    daemon.emit({"type": "flood", "pad": PAD})
                    taken += 1
            assert refused.value.code == "EMIT_FAILED"
            await daemon.flushed()
            daemon.emit({"type": "flood", "pad": PAD})
            assert (await until("flood", taken + 1), errors) == ({"flood": taken + 1}, [])

    run(scene())


def test_bytes_above_the_limit_are_refused_at_the_call():
    async def scene():
        async with connected() as (daemon, _, errors):
            with pytest.raises(DaemonClientError, match="takes 10000000 bytes") as refused:
                daemon.emit({"type": "flood", "bytes": b"x" * 10_000_001})
            assert (refused.value.code, errors) == ("EMIT_FAILED", [])

    run(scene())


def test_run_waits_for_a_control_plane_that_is_not_there_and_connect_does_not():
    async def scene():
        def make():
            address = "127.0.0.1:9"
            return ClusterDaemonClient(
                control_socket_url=f"ws://{address}",
                server_url=f"http://{address}",
                team_cluster_id="c",
                enrollment_token="t",
                reconnect={"base_delay_ms": 1, "max_delay_ms": 2},
            )

        with pytest.raises(DaemonClientError) as refused:
            await make().connect()
        assert refused.value.code == "ENROLLMENT_FAILED"
        daemon = make()
        told = asyncio.Queue()
        daemon.on_error(told.put_nowait)
        life = asyncio.ensure_future(daemon.run())
        codes = {(await told.get()).code, (await told.get()).code}
        assert (codes, life.done()) == ({"ENROLLMENT_FAILED"}, False)
        life.cancel()
        await asyncio.wait((life,))

    run(scene())
