"""Every scenario of `tests/peers/volt` with the official socket.io server."""

from __future__ import annotations

import asyncio
from typing import Any, AsyncIterator, Callable, Dict, Optional

import pytest
from volt_peer import SCENARIOS, run as run_scenario

from moorline.volt import ClusterDaemonClient, CommandContext, Envelope, Rejection

Hear = Callable[[Dict[str, Any]], None]


class Daemon:
    def __init__(self, options: Dict[str, Any], hear: Hear) -> None:
        self.client = ClusterDaemonClient(**nested(options))
        self._released = asyncio.Event()
        self._hear = hear
        self._register()
        self.client.on_connected(lambda: hear({"kind": "connected"}))
        self.client.on_disconnected(lambda reason: hear({"kind": "disconnected", "reason": reason}))
        self.client.on_error(
            lambda error: hear({"kind": "error", "code": error.code, "message": error.message})
        )
        self.client.on_message(lambda message: hear({"kind": "message", "message": message}))

    def _register(self) -> None:
        register = self.client.register_handler

        def data(payload: Any, ctx: CommandContext) -> Any:
            return {"echo": payload, "ctx": {"command": ctx.command, "requestId": ctx.request_id}}

        async def wait(payload: Any, ctx: CommandContext) -> None:
            self._hear({"kind": "handler", "command": ctx.command})
            await self._released.wait()

        def throw(payload: Any, ctx: CommandContext) -> None:
            raise ValueError("secret detail")

        async def reject(payload: Any, ctx: CommandContext) -> None:
            raise Rejection(409, "job already runs")

        register("h.data", data)
        register("h.status", lambda *_: Envelope({"removed": True}, 202, {"x-trace": "1"}))
        register("h.empty", lambda *_: None)
        register("h.throw", throw)
        register("h.reject", reject)
        octets = {"content-type": "application/octet-stream"}
        register("h.buffer", lambda *_: Envelope(headers=octets, body=b"\0\1\2\xfd\xfe\xff"))
        text = {"content-type": "text/plain"}
        register(
            "h.stream",
            lambda *_: Envelope(status=206, headers=text, stream=chunks(b"hello ", b"world")),
        )
        register("h.streamerr", lambda *_: Envelope(stream=chunks(b"\1\2\3", failure="disk gone")))
        register(
            "h.large",
            lambda payload, _: Envelope(stream=chunks(*[bytes(65_536)] * payload["parts"])),
        )
        register("h.bin", lambda payload, ctx: {"len": len(payload["chunk"]), "back": payload["chunk"]})
        register("h.big", lambda *_: "x" * 5_000)
        register("h.wait", wait)
        register("h.function", lambda *_: {"data": 1})

    async def connect(self, _: Any) -> None:
        await self.client.connect()

    async def disconnect(self, _: Any) -> None:
        await self.client.disconnect()

    async def ready(self, _: Any) -> bool:
        return self.client.is_ready

    async def password(self, _: Any) -> str:
        return self.client.daemon_password

    async def call(self, step: Dict[str, Any]) -> Any:
        more = {"payload": step["payload"]} if "payload" in step else {}
        if "timeout_ms" in step:
            more["timeout_ms"] = step["timeout_ms"]
        return await self.client.send_command(step["command"], **more)

    async def emit(self, step: Dict[str, Any]) -> None:
        self.client.emit(step["message"])

    async def stream(self, step: Dict[str, Any]) -> None:
        self.client.emit_stream(step["stream"], step["chunk"])

    async def endstream(self, step: Dict[str, Any]) -> None:
        self.client.end_stream(step["stream"])

    async def unhandle(self, step: Dict[str, Any]) -> None:
        self.client.unregister_handler(step["command"])

    async def release(self, _: Any) -> None:
        self._released.set()


def nested(options: Dict[str, Any]) -> Dict[str, Any]:
    whole: Dict[str, Any] = {}
    for name, value in options.items():
        *path, last = name.split(".")
        place = whole
        for part in path:
            place = place.setdefault(part, {})
        place[last] = value
    return whole


async def chunks(*parts: bytes, failure: Optional[str] = None) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
    if failure is not None:
        raise OSError(failure)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario["name"])
def test_with_the_official_server(
    scenario: Dict[str, Any], run: Callable[[Any], Any]
) -> None:
    run(run_scenario(scenario, Daemon))
