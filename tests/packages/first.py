import asyncio
from moorline import Dispatcher, Hub, Worker

async def main():
    async with Hub(listen="127.0.0.1:0") as hub:
        worker = Worker(server_url=hub.url, name="first-python")
        worker.handle("Echo/Say")(lambda settings, ctx: {"Text": settings["Text"]})
        async with worker, Dispatcher(server_url=hub.url) as dispatcher:
            print((await dispatcher.call("Echo/Say", {"Text": "hello"}))["Outputs"]["Text"])
asyncio.run(main())
