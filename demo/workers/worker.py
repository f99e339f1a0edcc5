"""The worker in Python: sums digits. Started as `python worker.py URL NAME`."""

import asyncio
import sys

from moorline import Worker

URL, NAME = sys.argv[1:3]

worker = Worker(
    server_url=URL,
    name=NAME,
    max_concurrent=16,
    reconnect={"base_delay_ms": 200, "max_delay_ms": 1000},
)


@worker.handle("Number/DigitSum")
async def digit_sum(settings, context):
    await asyncio.sleep(0.01)
    answer = sum(int(digit) for digit in str(settings["Number"]))
    return {"Answer": answer, "Worker": NAME, "Attempt": context.meta["AttemptNumber"]}


async def main():
    await worker.connect()
    print("ready", flush=True)
    await worker.run(drain_ms=5000)


asyncio.run(main())
