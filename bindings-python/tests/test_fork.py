"""After a fork: a clear error at once, or a new handle that works; never a hang."""

from __future__ import annotations

import os

import pytest
from processes import script

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")

FORK_WHILE_CONNECTED = """
import asyncio, os, warnings
from moorline import Dispatcher, Hub, MoorlineError, Worker
warnings.simplefilter("ignore", DeprecationWarning)

async def in_child(dispatcher):
    try:
        await dispatcher.call("Test/Echo", {})
    except MoorlineError as error:
        assert error.code == "FORKED", error
    for act in (dispatcher.close, dispatcher.snapshot, dispatcher.ended):
        try:
            await act()
        except MoorlineError as error:
            assert error.code == "FORKED", error

async def anew(url):
    worker = Worker(server_url=url, name="born in the child")

    @worker.handle("Test/Echo")
    async def echo(settings, ctx):
        return {"Process": os.getpid()}

    async with worker, Dispatcher(server_url=url) as dispatcher:
        result = await dispatcher.call("Test/Echo", {}, timeout_ms=10_000)
        assert result["Outputs"]["Process"] == os.getpid()

async def main():
    async with Hub(listen="127.0.0.1:0") as hub, Dispatcher(server_url=hub.url) as dispatcher:
        await dispatcher.call("$status")
        child = os.fork()
        if child == 0:
            code = 1
            try:
                asyncio.events._set_running_loop(None)
                asyncio.run(in_child(dispatcher))
                asyncio.run(anew(hub.url))
                code = 0
            finally:
                os._exit(code)
        _, status = await asyncio.to_thread(os.waitpid, child, 0)
        assert status == 0, status
        # The child touched nothing of its parent's.
        for _ in range(50):
            await dispatcher.call("$status")

asyncio.run(asyncio.wait_for(main(), 30))
print("both well", flush=True)
"""


def test_the_child_of_a_connected_process() -> None:
    with script(FORK_WHILE_CONNECTED) as program:
        program.expect("both well")
        assert program.wait() == 0, program.errors


FORK_BEFORE_CONNECT = """
import asyncio, os, warnings
from moorline import Dispatcher, Hub, Worker
warnings.simplefilter("ignore", DeprecationWarning)

def prefork(url):
    worker = Worker(server_url=url, name="made before the fork")

    @worker.handle("Test/Echo")
    def echo(settings, ctx):
        return {"Process": os.getpid()}

    return worker, Dispatcher(server_url=url)

async def use(worker, dispatcher):
    async with worker, dispatcher:
        result = await dispatcher.call("Test/Echo", {}, timeout_ms=10_000)
        assert result["Outputs"]["Process"] == os.getpid()

async def main():
    async with Hub(listen="127.0.0.1:0") as hub:
        made = prefork(hub.url)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                asyncio.events._set_running_loop(None)
                asyncio.run(asyncio.wait_for(use(*made), 20))
                code = 0
            finally:
                os._exit(code)
        _, status = await asyncio.to_thread(os.waitpid, child, 0)
        assert status == 0, status
        await use(*made)

asyncio.run(asyncio.wait_for(main(), 30))
print("both well", flush=True)
"""


def test_what_was_made_before_the_fork_works_after_it() -> None:
    with script(FORK_BEFORE_CONNECT) as program:
        program.expect("both well")
        assert program.wait() == 0, program.errors


MULTIPROCESSING = """
import asyncio, multiprocessing, os, warnings
from moorline import Dispatcher, Hub
warnings.simplefilter("ignore", DeprecationWarning)

async def status(url):
    async with Dispatcher(server_url=url) as dispatcher:
        return bool(await dispatcher.call("$status"))

def ask(url):
    return asyncio.run(asyncio.wait_for(status(url), 20))

async def main():
    async with Hub(listen="127.0.0.1:0") as hub, Dispatcher(server_url=hub.url) as dispatcher:
        context = multiprocessing.get_context("fork")
        with context.Pool(3) as pool:
            answer = pool.map_async(ask, [hub.url] * 6)
            assert await asyncio.to_thread(answer.get, 30) == [True] * 6
        await dispatcher.call("$status")

asyncio.run(asyncio.wait_for(main(), 60))
print("all answered", flush=True)
"""


def test_a_pool_of_forked_processes() -> None:
    with script(MULTIPROCESSING) as program:
        program.expect("all answered", 60)
        assert program.wait() == 0, program.errors
