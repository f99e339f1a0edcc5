"""A daemon written by hand: the frames of the protocol, a dict of pending calls, and nothing else.

The sixth argument names the library that carries the frames: `websockets` or `aiohttp`.
"""

import asyncio
import sys
from uuid import uuid4

import measure
import orjson

LIBRARY = sys.argv[6]
HEAD = '42["team-cluster-daemon:message",'
TIMEOUT = 30


class Daemon:
    def __init__(self, send):
        self.send = send
        self.pending = {}
        self.listeners = []
        self.registered = asyncio.get_running_loop().create_future()
        self.jobs = set()

    async def say(self, message):
        await self.send(HEAD + orjson.dumps(message).decode() + "]")

    async def call(self, payload):
        loop = asyncio.get_running_loop()
        request_id, future = str(uuid4()), loop.create_future()
        self.pending[request_id] = future
        timer = loop.call_later(TIMEOUT, self.expire, request_id)
        await self.say(
            {
                "type": "command",
                "requestId": request_id,
                "command": "jobs.list",
                "responseType": "json",
                "payload": payload,
            }
        )
        try:
            return await future
        finally:
            timer.cancel()

    def expire(self, request_id):
        future = self.pending.pop(request_id, None)
        if future is not None and not future.done():
            future.set_exception(TimeoutError(request_id))

    async def handle(self, message):
        measure.Tick.count += 1
        data = {"status": "success", "data": {"job": message["payload"]["job"]}}
        await self.say(
            {"type": "response", "requestId": message["requestId"], "ok": True, "status": 200, "data": data}
        )

    async def receive(self, frame):
        if frame == "2":
            await self.send("3")
        elif frame.startswith("0"):
            await self.send("40")
        elif frame.startswith("40"):
            credentials = '{"teamClusterId":"cluster-abc123","daemonPassword":"rotated-pw-xyz"}'
            await self.send(f'42["team-cluster-daemon:register",{credentials}]')
        elif frame.startswith(HEAD):
            self.message(orjson.loads(frame[2:])[1])
        elif not self.registered.done() and "daemon:registered" in frame:
            self.registered.set_result(None)

    def message(self, message):
        for listener in self.listeners:
            listener(message)
        kind = message["type"]
        if kind == "response":
            future = self.pending.pop(message["requestId"], None)
            if future is None or future.done():
                return
            if message.get("ok"):
                future.set_result(message["data"]["data"])
            else:
                future.set_exception(RuntimeError(message.get("message")))
        elif kind == "command":
            job = asyncio.ensure_future(self.handle(message))
            self.jobs.add(job)
            job.add_done_callback(self.jobs.discard)


async def over_websockets(url):
    import websockets

    socket = await websockets.connect(url, compression=None, max_size=None, ping_interval=None)
    daemon = Daemon(socket.send)

    async def read():
        async for frame in socket:
            await daemon.receive(frame)

    return daemon, asyncio.ensure_future(read())


async def over_aiohttp(url):
    import aiohttp

    session = aiohttp.ClientSession()
    socket = await session.ws_connect(url, max_msg_size=0)
    daemon = Daemon(socket.send_str)

    async def read():
        async for frame in socket:
            await daemon.receive(frame.data)

    return daemon, asyncio.ensure_future(read())


async def main():
    url = f"{measure.URL.replace('http', 'ws', 1)}/socket.io/?EIO=4&transport=websocket"
    connect = over_websockets if LIBRARY == "websockets" else over_aiohttp
    daemon, reader = await connect(url)
    await daemon.registered
    if measure.MODE == "calls":
        await measure.calls(daemon.call)
    elif measure.MODE == "commands":
        await measure.commands()
    elif measure.MODE == "block":
        await measure.block()
    else:
        raise SystemExit(f"no such mode: {measure.MODE}")
    await reader


asyncio.run(main())
