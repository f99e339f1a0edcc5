"""A Python worker as a user would write it."""

import asyncio
import json
import os

from moorline import Worker

worker = Worker(**json.loads(os.environ.get("FLEET_OPTIONS", "{}")))


@worker.handle("Python/Echo")
async def echo(settings, ctx):
    return {"from": "python", "text": settings["text"]}


async def main():
    await worker.connect()
    print("ready", flush=True)
    await worker.run()


asyncio.run(main())
