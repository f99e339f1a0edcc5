"""A hub as a process of its own: prints its URL, ends when its standard input does."""

import asyncio
import json
import sys

from moorline import Hub


async def main() -> None:
    async with Hub(**json.loads(sys.argv[1])) as hub:
        print(hub.url, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
