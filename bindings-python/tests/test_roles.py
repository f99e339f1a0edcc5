"""Worker, dispatcher and hub in one process."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import Any, AsyncIterator, Dict, List, Tuple

import pytest

import moorline
from moorline import Context, Dispatcher, Hub, MoorlineError, Worker

TRANSPORTS: List[Dict[str, Any]] = [
    {"transport": "websocket"},
    {"transport": "polling", "poll_interval_ms": 20},
]


@contextlib.asynccontextmanager
async def fleet(
    worker: Worker, hub: Hub, dispatcher_options: Any = None
) -> AsyncIterator[Dispatcher]:
    """The worker's `server_url` is not known before the hub listens, so it is given late."""
    async with Dispatcher(server_url=hub.url, **(dispatcher_options or {})) as dispatcher:
        async with worker:
            yield dispatcher


@pytest.mark.parametrize("transport", TRANSPORTS, ids=["websocket", "polling"])
def test_a_call_runs_on_a_worker(run: Any, transport: Dict[str, Any]) -> None:
    async def main() -> None:
        async with Hub(listen="127.0.0.1:0") as hub:
            worker = Worker(server_url=hub.url, name="echo", max_concurrent=4, **transport)

            @worker.handle("Echo/Say", description="Says it")
            async def say(settings: Any, ctx: Context) -> Any:
                ctx.log("heard")
                return {"Said": settings["Text"], "Attempt": ctx.meta["AttemptNumber"]}

            @worker.handle("Echo/Shout")
            def shout(settings: Any, ctx: Context) -> Any:
                return {"Said": settings["Text"].upper(), "Thread": threading.get_ident()}

            async with fleet(worker, hub) as dispatcher:
                result = await dispatcher.call("Echo/Say", {"Text": "grüß dich"}, timeout_ms=20_000)
                assert result["Outputs"] == {"Said": "grüß dich", "Attempt": 1}
                assert "heard" in result["Log"]
                result = await dispatcher.call("Echo/Shout", {"Text": "hi"}, timeout_ms=20_000)
                assert result["Outputs"]["Said"] == "HI"
                assert result["Outputs"]["Thread"] != threading.get_ident()

    run(main())


def test_a_failure_arrives_with_its_message(run: Any) -> None:
    async def main() -> None:
        async with Hub(listen="127.0.0.1:0") as hub:
            worker = Worker(server_url=hub.url, name="echo")

            @worker.handle("Echo/Say")
            async def say(settings: Any, ctx: Context) -> Any:
                raise ValueError("the text is empty")

            async with fleet(worker, hub) as dispatcher:
                with pytest.raises(moorline.PeerError) as raised:
                    await dispatcher.call("Echo/Say", {}, timeout_ms=20_000)
                assert raised.value.code == "REMOTE_ERROR"
                assert "the text is empty" in raised.value.message
                assert not raised.value.retryable

    run(main())


@pytest.mark.parametrize("way", ["through a dispatcher", "through the hub"])
def test_progress_arrives_while_the_call_runs(run: Any, way: str) -> None:
    async def main() -> None:
        async with Hub(listen="127.0.0.1:0") as hub:
            worker = Worker(server_url=hub.url, name="echo")
            seen = asyncio.Event()

            @worker.handle("Echo/Say")
            async def say(settings: Any, ctx: Context) -> Any:
                ctx.progress({"Percent": 50, "Message": "half"})
                await seen.wait()

            reports: List[Any] = []

            def report(part: Any) -> None:
                reports.append(part)
                seen.set()

            async with fleet(worker, hub) as dispatcher:
                caller = dispatcher if way == "through a dispatcher" else hub
                await caller.call("Echo/Say", {}, timeout_ms=20_000, on_progress=report)
            assert any(part.get("Message") == "half" for part in reports), reports

    run(main())


def test_an_item_that_runs_too_long_is_withdrawn(run: Any) -> None:
    async def main() -> None:
        async with Hub(listen="127.0.0.1:0") as hub:
            worker = Worker(server_url=hub.url, name="echo")
            reasons: "asyncio.Queue[Any]" = asyncio.Queue()

            @worker.handle("Echo/Say")
            async def say(settings: Any, ctx: Context) -> Any:
                assert ctx.deadline is not None
                left = ctx.deadline - asyncio.get_running_loop().time()
                try:
                    await asyncio.Event().wait()
                finally:
                    assert ctx.reason is not None
                    reasons.put_nowait((ctx.reason.code, left))

            async with fleet(worker, hub) as dispatcher:
                with pytest.raises(moorline.MoorlineError) as raised:
                    await dispatcher.call("Echo/Say", {}, timeout_ms=300)
                assert raised.value.code in ("CALL_TIMEOUT", "REMOTE_ERROR")
                code, left = await reasons.get()
                assert code in ("WORK_EXPIRED", "CALL_CANCELLED")
                assert 0 < left <= 0.3

    run(main())


def test_cancelling_the_task_reaches_the_handler(run: Any) -> None:
    async def main() -> None:
        async with Hub(listen="127.0.0.1:0") as hub:
            worker = Worker(server_url=hub.url, name="echo")
            began, reasons = asyncio.Event(), asyncio.Queue()  # type: ignore[var-annotated]

            @worker.handle("Echo/Say")
            async def say(settings: Any, ctx: Context) -> Any:
                began.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    reasons.put_nowait(ctx.reason)

            async with fleet(worker, hub) as dispatcher:
                call = asyncio.ensure_future(dispatcher.call("Echo/Say", {}))
                await began.wait()
                call.cancel()
                reason = await reasons.get()
                assert reason.code == "CALL_CANCELLED"
                with pytest.raises(asyncio.CancelledError):
                    await call

    run(main())


@pytest.mark.parametrize("plain", [False, True], ids=["coroutine", "plain"])
def test_drain_lets_running_work_finish(run: Any, plain: bool) -> None:
    async def main() -> None:
        async with Hub(listen="127.0.0.1:0") as hub:
            worker = Worker(server_url=hub.url, name="echo")
            began, release = threading.Event(), threading.Event()

            async def wait(settings: Any, ctx: Context) -> Any:
                began.set()
                await asyncio.to_thread(release.wait)
                return {"Done": True}

            def wait_plainly(settings: Any, ctx: Context) -> Any:
                began.set()
                release.wait()
                return {"Done": True}

            worker.handle("Echo/Wait")(wait_plainly if plain else wait)
            async with Dispatcher(server_url=hub.url) as dispatcher:
                await worker.connect()
                drained = asyncio.Event()

                def watch(event: moorline.Event) -> None:
                    if event["event"] == "draining":
                        drained.set()

                worker.on_event = watch
                call = asyncio.ensure_future(dispatcher.call("Echo/Wait", {}))
                await asyncio.to_thread(began.wait)
                drain = asyncio.ensure_future(worker.drain(20_000))
                await drained.wait()
                assert not call.done()
                release.set()
                assert (await call)["Outputs"] == {"Done": True}
                await drain

    run(main())


def test_a_drain_that_takes_too_long_says_so(run: Any) -> None:
    async def main() -> None:
        async with Hub(listen="127.0.0.1:0") as hub:
            worker = Worker(server_url=hub.url, name="echo")
            began, reasons = asyncio.Event(), asyncio.Queue()  # type: ignore[var-annotated]

            @worker.handle("Echo/Wait")
            async def wait(settings: Any, ctx: Context) -> Any:
                began.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    reasons.put_nowait(ctx.reason)

            async with Dispatcher(server_url=hub.url) as dispatcher:
                await worker.connect()
                call = asyncio.ensure_future(dispatcher.call("Echo/Wait", {}))
                await began.wait()
                with pytest.raises(moorline.DeadlineError) as raised:
                    await worker.drain(50)
                assert raised.value.code == "DRAIN_TIMEOUT"
                assert (await reasons.get()).code == "DRAIN_TIMEOUT"
                call.cancel()

    run(main())


def test_no_more_than_max_concurrent_run_at_once(run: Any) -> None:
    async def main() -> None:
        async with Hub(listen="127.0.0.1:0") as hub:
            worker = Worker(server_url=hub.url, name="echo", max_concurrent=3)
            running = most = 0

            @worker.handle("Echo/Say")
            async def say(settings: Any, ctx: Context) -> Any:
                nonlocal running, most
                running += 1
                most = max(most, running)
                for _ in range(10):
                    await asyncio.sleep(0)
                running -= 1

            async with fleet(worker, hub) as dispatcher:
                await asyncio.gather(*[dispatcher.call("Echo/Say", {}) for _ in range(60)])
            assert most == 3

    run(main())


def test_handlers_can_come_and_go(run: Any) -> None:
    async def main() -> None:
        async with Hub(listen="127.0.0.1:0") as hub:
            worker = Worker(server_url=hub.url, name="echo")
            async with fleet(worker, hub) as dispatcher:

                @worker.handle("Late/Comer")
                async def comer(settings: Any, ctx: Context) -> Any:
                    return {"Late": True}

                result = await dispatcher.call("Late/Comer", {}, timeout_ms=20_000)
                assert result["Outputs"] == {"Late": True}
                worker.unhandle("Late/Comer")
                with pytest.raises(MoorlineError):
                    await dispatcher.call("Late/Comer", {}, timeout_ms=300)

    run(main())


def test_one_key_is_one_item(run: Any) -> None:
    async def main() -> None:
        async with Hub(listen="127.0.0.1:0") as hub:
            worker = Worker(server_url=hub.url, name="echo", max_concurrent=8)
            count = 0

            @worker.handle("Echo/Count")
            async def say(settings: Any, ctx: Context) -> Any:
                nonlocal count
                count += 1
                return {"Count": count}

            async with fleet(worker, hub) as dispatcher:
                calls = [
                    dispatcher.call("Echo/Count", {}, idempotency_key="schlüssel-7") for _ in range(8)
                ]
                results = await asyncio.gather(*calls)
            assert {result["Outputs"]["Count"] for result in results} == {1}
            assert count == 1

    run(main())


def test_a_secured_hub_asks_for_secrets(run: Any) -> None:
    async def main() -> None:
        async with Hub(
            listen="127.0.0.1:0",
            access="secured",
            join_secret="come in",
            users=[{"name": "ada", "password": "engine"}],
        ) as hub:
            worker = Worker(
                server_url=hub.url,
                name="echo",
                user_name="ada",
                password="engine",
                join_secret="come in",
            )

            @worker.handle("Echo/Say")
            async def say(settings: Any, ctx: Context) -> Any:
                return settings

            known = {"user_name": "ada", "password": "engine"}
            async with fleet(worker, hub, known) as dispatcher:
                result = await dispatcher.call("Echo/Say", {"Text": "x"}, timeout_ms=20_000)
                assert result["Outputs"]["Text"] == "x"
            with pytest.raises(moorline.PeerError) as raised:
                async with Dispatcher(
                    server_url=hub.url, user_name="ada", password="loom"
                ) as stranger:
                    await stranger.call("Echo/Say", {"Text": "x"}, timeout_ms=5_000)
            assert raised.value.code == "AUTHENTICATION_FAILED"

    run(main())


def test_the_state_is_readable(run: Any) -> None:
    async def main() -> None:
        async with Hub(listen="127.0.0.1:0") as hub:
            worker = Worker(server_url=hub.url, name="visible")

            @worker.handle("Echo/Say")
            async def say(settings: Any, ctx: Context) -> Any:
                return settings

            async with fleet(worker, hub) as dispatcher:
                status = await dispatcher.call("$status")
                assert [row["Name"] for row in status["Workers"]] == ["visible"]
                assert isinstance(await worker.snapshot(), dict)
                assert isinstance(await hub.snapshot(), dict)

    run(main())


def test_every_wrong_option_is_named() -> None:
    options: Any = {"max_concurrent": 0, "nmae": "x", "reconnect": {"max_delay_ms": "soon"}}
    with pytest.raises(moorline.CallerError) as raised:
        Worker(**options)
    assert raised.value.code == "CONFIG_INVALID"
    for part in ("max_concurrent", "did you mean name?", "reconnect.max_delay_ms"):
        assert part in raised.value.message


def test_a_taken_address_ends_the_hub(run: Any) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            with pytest.raises(moorline.TransportError) as raised:
                await Hub(listen=f"127.0.0.1:{taken.getsockname()[1]}").connect()
            assert raised.value.code == "LISTEN_FAILED"

    run(main())


def test_a_hub_has_no_url_before_it_listens() -> None:
    with pytest.raises(moorline.CallerError) as raised:
        _ = Hub(listen="127.0.0.1:0").url
    assert raised.value.code == "NOT_STARTED"


@pytest.mark.parametrize("way", ["through a dispatcher", "through the hub"])
def test_ten_thousand_calls(way: str) -> None:
    async def main() -> None:
        async with Hub(listen="127.0.0.1:0") as hub:
            worker = Worker(server_url=hub.url, name="echo", max_concurrent=16)

            @worker.handle("Echo/Say")
            async def say(settings: Any, ctx: Context) -> Any:
                return settings

            @worker.handle("Echo/SayPlainly")
            def say_plainly(settings: Any, ctx: Context) -> Any:
                return settings

            async with fleet(worker, hub) as dispatcher:
                caller = dispatcher if way == "through a dispatcher" else hub
                names = ["Echo/Say", "Echo/SayPlainly"]
                for start in range(0, 10_000, 50):
                    numbers = list(range(start, start + 50))
                    calls = [caller.call(names[n % 2], {"Number": n}) for n in numbers]
                    results = await asyncio.gather(*calls)
                    assert [result["Outputs"]["Number"] for result in results] == numbers

    asyncio.run(asyncio.wait_for(main(), 100))


def test_several_loops_in_threads() -> None:
    finished: List[Tuple[int, int]] = []

    async def main(number: int) -> None:
        async with Hub(listen="127.0.0.1:0") as hub:
            worker = Worker(server_url=hub.url, name=f"echo-{number}", max_concurrent=8)

            @worker.handle("Echo/Say")
            async def say(settings: Any, ctx: Context) -> Any:
                return {"Number": number}

            async with fleet(worker, hub) as dispatcher:
                calls = [dispatcher.call("Echo/Say", {}) for _ in range(100)]
                for result in await asyncio.gather(*calls):
                    assert result["Outputs"] == {"Number": number}
                    finished.append((number, 1))

    def serve(number: int) -> None:
        asyncio.run(asyncio.wait_for(main(number), 60))

    threads = [threading.Thread(target=serve, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(finished) == 400
