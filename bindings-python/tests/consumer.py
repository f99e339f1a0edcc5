"""What a typed program looks like; checked by mypy and pyright in their strict modes, never run."""

from __future__ import annotations

import asyncio
from typing import Any, AsyncIterator, Dict, Optional, Union, cast

from moorline import Context, DeadlineError, Dispatcher, Event, Hub, MoorlineError, Worker
from moorline import DispatcherOptions, ErrorCode, Fault, WorkerOptions
from moorline.netcluster import Connection, Consumer, Outcome, Provider, ProviderOptions, Request
from moorline.volt import ClusterDaemonClient, CommandContext, DaemonClientError
from moorline.volt import DaemonClientErrorCode, DaemonOptions, Envelope, Rejection

options: WorkerOptions = {"name": "typed", "reconnect": {"base_delay_ms": 100}}
worker = Worker(**options)
other = Worker(server_url="http://127.0.0.1:54321", transport="polling", max_concurrent=4)


@worker.handle("Echo/Say", description="Says it", settings_schema=[{"Name": "Text"}])
async def say(settings: Dict[str, Any], ctx: Context) -> Dict[str, str]:
    ctx.progress({"Percent": 50})
    ctx.log("half")
    deadline: float = ctx.deadline or 0.0
    return {"Said": str(settings["Text"]), "Left": str(deadline)}


@worker.handle("Echo/Plain")
def plain(settings: Dict[str, Any], ctx: Context) -> None:
    if ctx.cancelled and ctx.reason is not None:
        raise ctx.reason


def told(event: Event) -> None:
    if event["event"] == "lost":
        print(event["reason"]["code"], event["retry_ms"])
    elif event["event"] == "ready":
        print(event["id"])


async def main() -> None:
    async with Hub(listen="127.0.0.1:0", users=[{"name": "ada", "roles": []}]) as hub:
        dispatcher_options: DispatcherOptions = {"server_url": hub.url, "user_name": "ada"}
        worker.on_event = told
        async with Dispatcher(**dispatcher_options) as dispatcher:
            try:
                await dispatcher.call("Echo/Say", {"Text": "x"}, timeout_ms=5, affinity_key="k")
            except DeadlineError as error:
                code: ErrorCode = error.code
                fault: Fault = error.fault
                print(code, fault, error.number, error.retryable)
            except MoorlineError:
                raise
        connected: Worker = await worker.connect()
        await connected.drain(30_000)


# A handler that was decorated keeps its own type.
async def direct(ctx: Context) -> str:
    return (await say({"Text": "x"}, ctx))["Said"]



async def beat() -> Dict[str, Any]:
    return {"runtime": {}}


daemon_options: DaemonOptions = {"team_cluster_id": "c-1", "heartbeat": {"interval_ms": 500}}
daemon = ClusterDaemonClient(heartbeat_payload=beat, **daemon_options)


@daemon.register_handler("jobs.run")
async def run(payload: Dict[str, Any], context: CommandContext) -> Envelope:
    if context.response_type == "stream":
        return Envelope(status=206, stream=parts())
    raise Rejection(409, context.request_id)


@daemon.register_handler("jobs.count")
def count(payload: Any) -> int:
    return 1


async def parts() -> AsyncIterator[bytes]:
    yield b"part"


async def serve() -> None:
    unsubscribe = daemon.on_message(print)
    async with daemon:
        try:
            jobs = await daemon.send_command("jobs.list", {"blob": b""}, timeout_ms=5)
            print(jobs, await daemon.snapshot())
        except DaemonClientError as error:
            status: Optional[int] = error.status
            print(error.code is DaemonClientErrorCode.CommandTimeout, status)
        daemon.emit({"type": "exposure-snapshot", "exposures": []})
        daemon.daemon_password = daemon.daemon_password + "!"
        daemon.unregister_handler("jobs.run")
    unsubscribe()
    answer: Envelope = await run({}, cast(CommandContext, None))
    print(answer.status, count({}) + 1, daemon.is_ready, daemon.team_cluster_id)


asyncio.run(main())
asyncio.run(serve())


provider_options: ProviderOptions = {"port": 0, "ws": {"compressor": 1}}
provider = Provider(params={"key": "SECRET", "level": 5}, **provider_options)


@provider.on_message
async def echo(connection: Connection, message: Union[str, bytes]) -> None:
    outcome: Outcome = await connection.deliver(message, compress=True)
    connection.end(4000, f"{outcome} to {connection.ip}")


def decide(request: Request) -> bool:
    return request.parameters.get("user") == "ada" and "origin" not in request.headers


def lost(code: int, reason: str) -> None:
    print(code, reason)


async def consume() -> Optional[int]:
    async with Provider(port=0, admit_if=decide) as listening:
        async with Consumer({"user": "ada"}, host="127.0.0.1", port=listening.port) as consumer:
            consumer.on_disconnect(lost)
            sent: bool = consumer.send(b"bytes")
            await echo(next(iter(listening.connections.values())), str(sent))
            return consumer.heartbeat_cutoff
