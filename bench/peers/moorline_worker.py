"""The Python package's worker."""

import asyncio
import sys

from moorline import Worker

worker = Worker(server_url=sys.argv[1], name="python-worker", max_concurrent=int(sys.argv[2]))


@worker.handle("Bench/Echo")
async def echo(settings, ctx):
    return {"Result": settings["Text"]}


asyncio.run(worker.run())
