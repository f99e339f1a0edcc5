"""A worker written by hand on `websockets`: the frames of the protocol and nothing else."""

import asyncio
import json
import sys

import websockets


async def echo(settings):
    return {"Result": settings["Text"]}


async def run(socket, item):
    outputs = await echo(item["Settings"])
    await socket.send(
        json.dumps(
            {"Action": "WorkComplete", "WorkItemHash": item["WorkItemHash"], "Outputs": outputs, "Log": []}
        )
    )


async def main(url, max_concurrent):
    tasks = set()
    async with websockets.connect(url.replace("http", "ws", 1), compression=None) as socket:
        await socket.send(
            json.dumps(
                {
                    "Action": "BeaconRegister",
                    "Name": "websockets-worker",
                    "Capabilities": ["Bench"],
                    "ActionSchemas": [
                        {"Capability": "Bench", "Action": "Echo", "Description": "", "SettingsSchema": []}
                    ],
                    "MaxConcurrent": max_concurrent,
                    "Tags": {},
                    "HostID": "bench",
                    "SharedMounts": [],
                }
            )
        )
        async for text in socket:
            frame = json.loads(text)
            if frame["EventType"] == "WorkItem":
                task = asyncio.create_task(run(socket, frame["WorkItem"]))
                tasks.add(task)
                task.add_done_callback(tasks.discard)


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
