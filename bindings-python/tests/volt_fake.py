"""A VOLT daemon's client over a scripted native handle."""

from __future__ import annotations

import asyncio
from typing import Any, Callable, Dict, List, Optional

from fake import FakeNative, ended, error

from moorline.volt import ClusterDaemonClient, DaemonClientError

Failures = List[DaemonClientError]


async def until(condition: Callable[[], Any]) -> None:
    while not condition():
        await asyncio.sleep(0)


def ready(max_message: Optional[int] = None) -> Dict[str, Any]:
    told = {"event": "ready", "id": "c-1", "transport": "websocket", "max_message": max_message}
    return told


def lost() -> Dict[str, Any]:
    reason = error("CONNECTION_LOST", "transport close")
    return {"event": "lost", "reason": reason, "retry_ms": 5, "attempt": 1}


def command(number: int, payload: Any = None, form: str = "json", **more: Any) -> Dict[str, Any]:
    meta = {"request_id": f"req-{number}", "response_type": form}
    work = {"event": "work", "work": number, "key": "jobs.run", "timeout_ms": None, "meta": meta}
    return {**work, "payload": payload, **more}


def notice(code: str, message: str = "because") -> Dict[str, Any]:
    return {"event": "notice", "error": error(code, message)}


def last() -> FakeNative:
    return FakeNative.opened[-1]


async def connected(client: ClusterDaemonClient, max_message: Optional[int] = None) -> FakeNative:
    fake = last()
    fake.deliver(ready(max_message))
    await client.connect()
    fake.turns.clear()
    return fake


async def disconnected(client: ClusterDaemonClient) -> None:
    fake = last()
    leaving = asyncio.ensure_future(client.disconnect())
    await until(lambda: ["stop", 0, {"drain_ms": 0}] in fake.commands or leaving.done())
    fake.deliver(ended())
    await leaving


def played(main: Callable[[ClusterDaemonClient], Any], run: Any, **options: Any) -> None:
    async def play() -> None:
        client = ClusterDaemonClient(**options)
        await main(client)
        await disconnected(client)

    run(play())
