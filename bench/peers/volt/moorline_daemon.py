"""A daemon on the Python package."""

import asyncio

import measure

from moorline.volt import ClusterDaemonClient


async def main():
    client = ClusterDaemonClient(
        control_socket_url=measure.URL,
        team_cluster_id="cluster-abc123",
        daemon_password="rotated-pw-xyz",
        heartbeat={"include_credentials": True},
    )

    @client.register_handler("bench.echo")
    async def echo(payload, context):
        measure.Tick.count += 1
        return {"job": payload["job"]}

    async def call(payload):
        return await client.send_command("jobs.list", payload)

    await client.connect()
    if measure.MODE == "calls":
        await measure.calls(call)
    elif measure.MODE == "settle":
        await measure.settle(call)
    elif measure.MODE == "commands":
        await measure.commands()
    elif measure.MODE == "events":
        await measure.events(client.on_message, lambda: client.emit({"type": "more"}))
    elif measure.MODE == "block":
        await measure.block()
    else:
        raise SystemExit(f"no such mode: {measure.MODE}")


asyncio.run(main())
