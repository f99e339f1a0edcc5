"""Messages from a thread to the loop by `call_soon_threadsafe`, one call for each, and nothing else."""

import asyncio
import threading

import measure
import orjson

TEXT = (
    '{"type":"session-input","sessionId":"s-0001","chunkBase64":"bHMgLWxhCg==","isBinary":false,"n":111111}'
)


async def main():
    loop = asyncio.get_running_loop()
    asked = threading.Semaphore(0)
    listeners = []

    def deliver(text):
        message = orjson.loads(text)
        for listener in listeners:
            listener(message)

    def run():
        while True:
            asked.acquire()
            for _ in range(measure.IN_FLIGHT):
                loop.call_soon_threadsafe(deliver, TEXT)

    threading.Thread(target=run, daemon=True).start()
    await measure.events(listeners.append, asked.release)


asyncio.run(main())
