"""ws-daemons with each other, with scripts, with plain `websockets` and with a program."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any, List

import pytest
from processes import script
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from moorline import MoorlineError
from moorline.wsdaemon import Daemon

GUIDE = Path(__file__).parents[2] / "docs" / "wsdaemon-libraries.md"


def raises(code: str) -> Any:
    return pytest.raises(MoorlineError, match=f"^{code}: ")


def server(**options: Any) -> Daemon:
    return Daemon(mode="server", listen="127.0.0.1:0", **options)


def client(of: Daemon, **options: Any) -> Daemon:
    return Daemon(server_url=f"ws://{of.id}", **options)


def test_handlers_run_beside_scripts_on_either_side(run: Any, tmp_path: Path) -> None:
    for name, text in (("three", "exit 3"), ("taken", "exit 9"), ("plain", "test $1 = undefined")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)

    async def main() -> None:
        serving = server(scripts={"folder": str(tmp_path)})

        @serving.handle("taken")
        async def taken(params: Any, ctx: Any) -> Any:
            assert (ctx.key, params) == ("taken", {"a": 1})
            return {"status": 4}

        @serving.handle("fails")
        def fails(params: Any, ctx: Any) -> None:
            raise ValueError("no")

        async with serving, client(serving) as asking:

            @asking.handle("nothing")
            def nothing(params: Any, ctx: Any) -> Any:
                return int(params is not None)

            assert await asking.call("three") == 3
            assert await asking.call("plain") == 0
            assert await asking.call("taken", {"a": 1}, timeout_ms=20_000) == 4
            assert await asking.call("fails") == 1
            assert await asking.call("unknown") == -1
            assert await serving.call("nothing") == 0
            assert (await asking.snapshot())["mode"] == "client"

    run(main())


def test_what_nobody_is_there_for_is_the_application_s(run: Any, tmp_path: Path) -> None:
    async def main() -> None:
        path = str(tmp_path / "x.sock")
        serving = server()
        messages: asyncio.Queue[Any] = asyncio.Queue()
        serving.on_message(messages.put_nowait)
        async with serving, client(serving, local={"socket_path": path}) as asking:
            asking.tell({"free": [1]})
            assert await messages.get() == {"free": [1]}
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(b'{"name":"unknown","id":7}')
            assert await reader.readline() == b'{"status":-1,"id":7}\n'
            serving.tell("to the program")
            assert await reader.readline() == b'"to the program"\n'
            writer.close()

    run(main())


def test_pauses_come_from_either_side_and_end(run: Any) -> None:
    async def main() -> None:
        async with server() as serving, client(serving) as asking:
            told: asyncio.Queue[Any] = asyncio.Queue()
            asking.on_event = told.put_nowait
            for pause in (asking.pause, serving.send_away):
                pause(0)
                assert "paused" in (await told.get())["reason"]["message"]
                assert (await told.get())["event"] == "ready"

    run(main())


def test_a_plain_program_is_a_client_and_a_server(run: Any) -> None:
    status = {"code": "STATUS", "data": {"status": 5, "id": "x"}}

    async def main() -> None:
        serving = server()
        serving.handle("five")(lambda params, ctx: params)
        async with serving:
            async with connect(f"ws://{serving.id}/") as plain:
                await plain.send(json.dumps({"name": "five", "id": "x", "params": 5}))
                assert json.loads(await plain.recv()) == {"name": "&cmd", "params": status}
                asked = asyncio.ensure_future(serving.call("there", [1]))
                request = json.loads(await plain.recv())
                assert (request["name"], request["params"]) == ("there", [1])
                answer = {"code": "STATUS", "data": {"status": None, "id": request["id"]}}
                await plain.send(json.dumps({"name": "&cmd", "params": answer}))
                assert await asked is None
                lost = asyncio.ensure_future(serving.call("there"))
                await plain.recv()
            with raises("CONNECTION_LOST"):
                await lost

        heard: List[Any] = []

        async def provide(connection: ServerConnection) -> None:
            heard.append(json.loads(await connection.recv()))
            answer = {"code": "STATUS", "data": {"status": 0, "id": heard[0]["id"]}}
            await connection.send(json.dumps({"name": "&cmd", "params": answer}))
            await connection.wait_closed()

        async with serve(provide, "127.0.0.1", 0) as plain_server:
            port = plain_server.sockets[0].getsockname()[1]
            async with Daemon(server_url=f"ws://127.0.0.1:{port}") as asking:
                assert await asking.call("there") == 0
        assert "params" not in heard[0]

    run(main())


def test_what_this_side_decides_raises(run: Any) -> None:
    async def main() -> None:
        async with server(token="right") as serving:
            with raises("NOT_READY"):
                await serving.call("any")
            with raises("ARGUMENT_INVALID"):
                serving.handle("&cmd")
            with raises("LISTEN_FAILED"):
                await Daemon(mode="server", listen=str(serving.id)).connect()
            with raises("AUTHENTICATION_FAILED"):
                await client(serving, token="wrong").connect()
            seen: List[str] = []
            serving.on_event = lambda event: seen.append(event["event"])
            async with client(serving, token="right"):
                pass
            assert "peer_joined" in seen

        serving = server()
        began = asyncio.Event()

        @serving.handle("slow")
        async def slow(params: Any, ctx: Any) -> None:
            began.set()
            await asyncio.Event().wait()

        await serving.connect()
        asking = client(serving)
        await asking.connect()
        asked = asyncio.ensure_future(asking.call("slow"))
        await began.wait()
        with raises("DRAIN_TIMEOUT"):
            await serving.drain(0)
        assert await asked == -4
        with raises("CALL_TIMEOUT"):
            await asking.call("any", timeout_ms=50)
        # Its request still waits for a link that does not come back.
        with raises("DRAIN_TIMEOUT"):
            await asking.drain(0)

    run(main())


def test_wrong_options_are_named() -> None:
    with pytest.raises(MoorlineError, match="asks.max_pending"):
        Daemon(asks={"max_pending": 0})
    with pytest.raises(MoorlineError, match="nonsense"):
        Daemon(nonsense=1)  # type: ignore[call-arg]


def test_the_guide(tmp_path: Path) -> None:
    (tmp_path / "backup").write_text("#!/bin/sh\nexit 7\n")
    (tmp_path / "backup").chmod(0o755)
    (text,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    with script(text.replace('"scripts"}', f'"{tmp_path}"}}')) as program:
        assert program.wait() == 0, program.errors
        for line in ("told {'load': 0.5}", "hello Ada", "greet: 0", "backup: 7", "unknown: -1"):
            program.expect(line)
