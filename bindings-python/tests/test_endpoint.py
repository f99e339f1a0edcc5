"""The engine under all endpoints, against a scripted native handle."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from typing import Any, Callable, Iterator, List, cast

import pytest
from fake import FakeNative, ended, error, ready, withdrawn, work

import moorline
from moorline import Dispatcher, MoorlineError, Worker
from moorline._endpoint import Endpoint


@pytest.fixture(autouse=True)
def native(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("moorline._endpoint.Native", FakeNative)
    yield
    for fake in FakeNative.opened:
        fake.dispose()
    FakeNative.opened.clear()


async def until(condition: Callable[[], Any]) -> None:
    while not condition():
        await asyncio.sleep(0)


async def connected(endpoint: Any) -> FakeNative:
    fake = FakeNative.opened[-1]
    fake.deliver(ready())
    await endpoint.connect()
    return fake


def test_handlers_and_start_cross_together(run: Any) -> None:
    async def main() -> None:
        worker = Worker(name="a", max_concurrent=2)

        @worker.handle("Echo/Say", description="Says it")
        async def say(settings: Any, ctx: moorline.Context) -> Any:
            return settings

        fake = await connected(worker)
        assert fake.opened_with == ("beacon", "worker", {"name": "a", "max_concurrent": 2})
        assert fake.turns == [
            [
                ["handle", 0, {"key": "Echo/Say", "meta": {"description": "Says it"}}],
                ["start", 0, None],
            ]
        ]
        assert worker.id == "bcn-1"
        await worker.close()
        assert fake.closed

    run(main())


def test_outcomes_of_one_turn_cross_once(run: Any) -> None:
    async def main() -> None:
        worker = Worker()

        @worker.handle("Echo/Say")
        async def say(settings: Any, ctx: moorline.Context) -> Any:
            ctx.log("said")
            return settings

        fake = await connected(worker)
        fake.deliver(*[work(number, {"n": number}) for number in range(1, 51)])
        await until(lambda: len(fake.commands) == 52)
        assert len(fake.turns) == 2
        assert fake.turns[1][0] == ["done", 1, {"value": {"n": 1}, "log": ["said"]}]
        await worker.close()

    run(main())


def test_a_caller_that_closes_takes_no_answer_from_the_others(run: Any) -> None:
    async def main() -> None:
        dispatcher = Dispatcher()
        fake = await connected(dispatcher)

        async def closer() -> None:
            await dispatcher.call("Echo/Say")
            await dispatcher.close()

        calls = [asyncio.ensure_future(dispatcher.call("Echo/Say")) for _ in range(3)]
        closing = asyncio.ensure_future(closer())
        await until(lambda: len(fake.commands) == 5)
        answers = [{"event": "call_done", "call": call, "value": call} for call in (4, 1, 2)]
        fake.deliver(*answers, {"event": "call_done", "call": 3, "error": error("REMOTE_ERROR")})
        outcomes = await asyncio.gather(closing, *calls, return_exceptions=True)
        assert [str(outcome) for outcome in outcomes] == ["None", "1", "2", "STOPPED: the endpoint has ended"]

    run(main())


def test_the_loop_breathes_between_drains(run: Any) -> None:
    async def main() -> None:
        dispatcher = Dispatcher()
        fake = await connected(dispatcher)
        calls = [asyncio.ensure_future(dispatcher.call("Echo/Say")) for _ in range(2)]
        await until(lambda: len(fake.commands) == 3)
        fake.deliver({"event": "call_done", "call": 1, "value": 1}, more=True)
        fake.deliver({"event": "call_done", "call": 2, "value": 2})
        assert await calls[0] == 1
        assert not calls[1].done()
        assert await calls[1] == 2
        await dispatcher.close()

    run(main())


def test_a_full_queue_fails_calls_and_keeps_outcomes(run: Any) -> None:
    async def main() -> None:
        worker = Worker()

        @worker.handle("Echo/Say")
        async def say(settings: Any, ctx: moorline.Context) -> Any:
            return settings

        fake = await connected(worker)
        fake.refuse_with = moorline.errors.error_of("OVERLOADED", "full")
        fake.deliver(work(1, "x"))
        snapshot = asyncio.ensure_future(worker.snapshot())
        with pytest.raises(MoorlineError) as raised:
            await snapshot
        assert raised.value.code == "OVERLOADED"
        fake.refuse_with = None
        fake.deliver()
        await until(lambda: fake.commands[-1] == ["done", 1, {"value": "x", "log": []}])
        await worker.close()

    run(main())


def test_a_command_that_is_refused_costs_no_other(run: Any) -> None:
    async def main() -> None:
        worker = Worker()
        fake = await connected(worker)
        fake.refuse = lambda turn: any(command[0] == "handle" for command in turn)
        worker.handle("Echo/Say")(lambda settings, ctx: None)
        snapshot = asyncio.ensure_future(worker.snapshot())
        await until(lambda: fake.commands[-1][0] == "snapshot")
        fake.deliver({"event": "call_done", "call": 1, "value": {"state": "ready"}})
        assert await snapshot == {"state": "ready"}
        await worker.close()

    run(main())


def test_a_refused_drain_raises(run: Any) -> None:
    async def main() -> None:
        worker = Worker()
        fake = await connected(worker)
        fake.refuse = lambda turn: turn[0][0] == "stop"
        with pytest.raises(moorline.CallerError) as raised:
            await worker.drain(-1)
        assert raised.value.code == "ARGUMENT_INVALID"
        await worker.close()

    run(main())


def test_the_end_can_be_asked_for_again(run: Any) -> None:
    async def main() -> None:
        worker = Worker()
        fake = await connected(worker)

        def fail(event: moorline.Event) -> None:
            raise ZeroDivisionError

        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        worker.on_event = fail
        fake.deliver(ended("DRAIN_TIMEOUT"))
        for _ in range(2):
            with pytest.raises(moorline.DeadlineError) as raised:
                await worker.ended()
            assert raised.value.code == "DRAIN_TIMEOUT"

    run(main())


def test_cancelling_the_task_cancels_the_call(run: Any) -> None:
    async def main() -> None:
        dispatcher = Dispatcher()
        fake = await connected(dispatcher)
        call = asyncio.ensure_future(dispatcher.call("Echo/Say", {"Text": "x"}, timeout_ms=5))
        await until(lambda: len(fake.commands) == 2)
        assert fake.commands[1] == [
            "call",
            1,
            {"name": "Echo/Say", "options": {"timeout_ms": 5}, "payload": {"Text": "x"}},
        ]
        call.cancel()
        await until(lambda: fake.commands[-1] == ["cancel", 1, None])
        fake.deliver({"event": "call_done", "call": 1, "error": error("CALL_CANCELLED")})
        with pytest.raises(asyncio.CancelledError):
            await call
        await dispatcher.close()

    run(main())


def test_a_withdrawn_coroutine_is_cancelled_and_says_so(run: Any) -> None:
    async def main() -> None:
        worker = Worker()
        contexts: List[moorline.Context] = []

        @worker.handle("Echo/Say")
        async def say(settings: Any, ctx: moorline.Context) -> Any:
            contexts.append(ctx)
            await asyncio.Event().wait()

        fake = await connected(worker)
        fake.deliver(work(7))
        await until(lambda: contexts)
        assert not contexts[0].cancelled
        fake.deliver(withdrawn(7))
        await until(lambda: fake.commands[-1] == ["cancelled", 7, None])
        assert contexts[0].cancelled
        assert contexts[0].reason is not None
        assert contexts[0].reason.code == "WORK_EXPIRED"
        await worker.close()

    run(main())


def test_the_first_reason_stands(run: Any) -> None:
    async def main() -> None:
        worker = Worker()
        began, codes = asyncio.Event(), []

        @worker.handle("Echo/Say")
        async def say(settings: Any, ctx: moorline.Context) -> Any:
            began.set()
            try:
                await asyncio.Event().wait()
            finally:
                assert ctx.reason is not None
                codes.append(ctx.reason.code)

        fake = await connected(worker)
        fake.deliver(work(7))
        await began.wait()
        fake.deliver(withdrawn(7, "DRAIN_TIMEOUT"), ended("DRAIN_TIMEOUT"))
        await until(lambda: codes)
        assert codes == ["DRAIN_TIMEOUT"]

    run(main())


def test_a_withdrawn_plain_function_sees_it(run: Any) -> None:
    async def main() -> None:
        worker = Worker()
        began = threading.Event()

        @worker.handle("Echo/Say")
        def say(settings: Any, ctx: moorline.Context) -> Any:
            began.set()
            while not ctx.cancelled:
                pass
            return "too late"

        fake = await connected(worker)
        fake.deliver(work(7))
        await until(began.is_set)
        fake.deliver(withdrawn(7))
        await until(lambda: fake.commands[-1] == ["cancelled", 7, None])
        await worker.close()

    run(main())


def test_stuck_functions_do_not_grow_the_threads(run: Any) -> None:
    async def main() -> None:
        worker = Worker()
        release = threading.Event()

        @worker.handle("Echo/Say")
        def say(settings: Any, ctx: moorline.Context) -> Any:
            release.wait()

        fake = await connected(worker)
        before = set(threading.enumerate())
        for number in range(1, 21):
            fake.deliver(work(number))
            await until(lambda: not fake.batches)
            fake.deliver(withdrawn(number))
            await until(lambda: not fake.batches)
        assert len(set(threading.enumerate()) - before) == 1
        release.set()
        await until(lambda: len(fake.commands) == 22)
        assert fake.commands[2:] == [["cancelled", number, None] for number in range(1, 21)]
        await worker.close()

    run(main())


@pytest.mark.parametrize("kind", ["coroutine", "plain", "lambda"])
def test_every_kind_of_handler_settles(run: Any, kind: str) -> None:
    async def coroutine(settings: Any, ctx: moorline.Context) -> Any:
        await asyncio.sleep(0)
        return _act(settings)

    def plain(settings: Any, ctx: moorline.Context) -> Any:
        return _act(settings)

    handlers = {
        "coroutine": coroutine,
        "plain": plain,
        "lambda": lambda settings, ctx: coroutine(settings, ctx),
    }

    async def main() -> None:
        worker = Worker()
        worker.handle("Echo/Say")(handlers[kind])
        fake = await connected(worker)
        fake.deliver(*[work(number, act) for number, act in enumerate(_ACTS, 1)])
        await until(lambda: len(fake.commands) == 2 + len(_ACTS))
        outcomes = {command[1]: command for command in fake.commands[2:]}
        assert outcomes[1] == ["done", 1, {"value": {"n": 1}, "log": []}]
        assert outcomes[2] == ["done", 2, {"value": None, "log": []}]
        assert outcomes[3] == ["failed", 3, {"message": "OSError: no such file"}]
        assert outcomes[4] == ["failed", 4, {"message": "StopAsyncIteration"}]
        assert outcomes[5][2]["message"].startswith("ARGUMENT_INVALID: not JSON")
        assert outcomes[6] == ["failed", 6, {"message": "ValueError: \ufffd"}]
        assert outcomes[7] == ["failed", 7, {"message": "KeyError: 'Text'"}]
        await worker.close()

    run(main())


_ACTS = ["value", "nothing", "raise", "raise without words", "not JSON", "surrogate", "raise a key"]


def _act(settings: str) -> Any:
    if settings == "value":
        return {"n": 1}
    if settings == "raise":
        raise OSError("no such file")
    if settings == "raise without words":
        raise StopAsyncIteration
    if settings == "raise a key":
        raise KeyError("Text")
    if settings == "not JSON":
        return object()
    if settings == "surrogate":
        raise ValueError("\udcff")
    return None


def test_an_unknown_key_fails_the_item(run: Any) -> None:
    async def main() -> None:
        worker = Worker()
        fake = await connected(worker)
        fake.deliver(work(1, key="Nobody/Home"))
        await until(lambda: fake.commands[-1][0] == "failed")
        assert "Nobody/Home" in fake.commands[-1][2]["message"]
        await worker.close()

    run(main())


def test_a_callback_that_raises_stops_nothing(run: Any) -> None:
    async def main() -> None:
        complaints: List[Any] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda loop, context: complaints.append(context["exception"])
        )
        dispatcher = Dispatcher()

        def fail(event: moorline.Event) -> None:
            raise ZeroDivisionError

        fake = await connected(dispatcher)
        dispatcher.on_event = fail
        call = asyncio.ensure_future(dispatcher.call("Echo/Say"))
        await until(lambda: len(fake.commands) == 2)
        fake.deliver(
            {"event": "notice", "error": error("WORK_LOST")},
            {"event": "call_done", "call": 1, "value": "here"},
        )
        assert await call == "here"
        assert [type(complaint) for complaint in complaints] == [ZeroDivisionError]
        await dispatcher.close()

    run(main())


def test_connect_raises_what_ended_it(run: Any) -> None:
    async def main() -> None:
        worker = Worker()
        FakeNative.opened[-1].deliver(ended("PEER_REFUSED"))
        with pytest.raises(moorline.PeerError) as raised:
            await worker.connect()
        assert raised.value.code == "PEER_REFUSED"
        assert FakeNative.opened[-1].closed

    run(main())


def test_a_cancelled_connect_leaves_nothing(run: Any) -> None:
    async def main() -> None:
        worker = Worker()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(worker.connect(), 0.01)
        assert FakeNative.opened[-1].closed

    run(main())


def test_a_handler_that_comes_in_a_drain_comes_too_late(run: Any) -> None:
    async def main() -> None:
        worker = Worker()
        fake = await connected(worker)
        drain = asyncio.ensure_future(worker.drain(1_000))
        await until(lambda: any(command[0] == "stop" for command in fake.commands))
        with pytest.raises(MoorlineError) as raised:
            worker.handle("Echo/Late")
        assert raised.value.code == "STOPPED"
        fake.deliver(ended())
        await drain
        await worker.drain()

    run(main())


def test_the_end_settles_every_call(run: Any) -> None:
    async def main() -> None:
        dispatcher = Dispatcher()
        fake = await connected(dispatcher)
        calls = [asyncio.ensure_future(dispatcher.call("Echo/Say")) for _ in range(3)]
        await until(lambda: len(fake.commands) == 4)
        fake.deliver(ended())
        for call in calls:
            with pytest.raises(MoorlineError) as raised:
                await call
            assert raised.value.code == "STOPPED"
        with pytest.raises(MoorlineError) as raised:
            await dispatcher.call("Echo/Say")
        assert raised.value.code == "STOPPED"

    run(main())


def test_a_loop_that_is_torn_down_reports_no_failures() -> None:
    worker = Worker()

    @worker.handle("Echo/Say")
    async def say(settings: Any, ctx: moorline.Context) -> Any:
        await asyncio.Event().wait()

    async def main() -> FakeNative:
        fake = await connected(worker)
        fake.deliver(work(1))
        await until(lambda: not fake.batches)
        return fake

    fake = asyncio.run(main())
    assert fake.closed
    assert [command[0] for command in fake.commands] == ["handle", "start"]


def test_a_drain_before_connect_ends_the_endpoint(run: Any) -> None:
    async def main() -> None:
        dispatcher = Dispatcher()
        await dispatcher.drain()
        await dispatcher.drain()
        with pytest.raises(moorline.CallerError) as raised:
            await dispatcher.connect()
        assert raised.value.code == "STOPPED"

    run(main())


def test_misuse_has_codes(run: Any) -> None:
    async def main() -> None:
        dispatcher = Dispatcher()
        with pytest.raises(moorline.CallerError) as raised:
            await dispatcher.call("Echo/Say")
        assert raised.value.code == "NOT_STARTED"
        await connected(dispatcher)
        with pytest.raises(moorline.CallerError) as raised:
            await dispatcher.connect()
        assert raised.value.code == "ALREADY_STARTED"
        with pytest.raises(moorline.CallerError) as raised:
            await dispatcher.call("Echo/Say", {1, 2})
        assert raised.value.code == "ARGUMENT_INVALID"
        other = await asyncio.to_thread(_call_elsewhere, dispatcher)
        assert other.code == "ARGUMENT_INVALID"
        await dispatcher.close()
        await dispatcher.close()

    run(main())


def _call_elsewhere(dispatcher: Dispatcher) -> MoorlineError:
    with pytest.raises(MoorlineError) as raised:
        asyncio.run(dispatcher.call("Echo/Say"))
    return raised.value


class _WithoutReaders(asyncio.SelectorEventLoop):
    def add_reader(self, *args: Any) -> Any:
        raise NotImplementedError


def test_loops_that_watch_no_descriptors_work() -> None:
    async def main() -> None:
        worker = Worker()

        @worker.handle("Echo/Say")
        async def say(settings: Any, ctx: moorline.Context) -> Any:
            return settings

        fake = await connected(worker)
        for number in range(1, 101):
            fake.deliver(work(number, number))
            await until(lambda: fake.commands[-1][:2] == ["done", number])
        await worker.close()

    before = set(threading.enumerate())
    loop = _WithoutReaders()
    loop.run_until_complete(asyncio.wait_for(main(), 30))
    loop.close()
    started = set(threading.enumerate()) - before
    for thread in started:
        thread.join(5)
    assert not any(thread.is_alive() for thread in started)


def test_errors_survive_pickling() -> None:
    import pickle

    error = pickle.loads(pickle.dumps(moorline.errors.error_of("CALL_TIMEOUT", "late")))
    assert (error.code, error.number, error.retryable, error.fault) == (
        "CALL_TIMEOUT",
        200,
        True,
        "deadline",
    )
    assert isinstance(error, moorline.DeadlineError)
    assert str(error) == "CALL_TIMEOUT: late"


def test_a_role_says_of_each_kind_of_event_what_becomes_of_it() -> None:
    with pytest.raises(AttributeError, match="_on_(work|message|peer_)"):

        class Forgetful(Endpoint):  # pyright: ignore[reportUnusedClass]
            _role = "worker"
            _ignored = frozenset({"work_withdrawn", "work_drained", "enrolled", "beat_asked"})


@pytest.mark.parametrize("wrong", [1.5, -1, math.nan, -math.inf, "5", True, [], object()])
def test_what_is_no_time_for_a_drain_ends_nothing(run: Any, wrong: Any) -> None:
    async def main() -> None:
        worker = Worker()
        fake = await connected(worker)
        for end in (worker.drain, worker.run):
            with pytest.raises(MoorlineError) as raised:
                await end(wrong)
            assert raised.value.code == "ARGUMENT_INVALID"
        assert [command[0] for command in fake.commands] == ["start"]
        await worker.close()

    run(main())


def test_a_drain_may_take_as_long_as_it_needs(run: Any) -> None:
    async def main() -> None:
        for limit in (math.inf, 2**80):
            worker = Worker()
            fake = await connected(worker)
            fake.deliver(ended())
            await worker.drain(limit)
            assert fake.commands[-1] == ["stop", 0, {"drain_ms": 2**53 - 1}]

    run(main())


def test_a_refused_start_ends_connect(run: Any) -> None:
    async def main() -> None:
        worker = Worker()
        FakeNative.opened[-1].refuse = lambda turn: turn[0][0] == "start"
        with pytest.raises(MoorlineError) as raised:
            await worker.connect()
        assert raised.value.code == "ARGUMENT_INVALID"

    run(main())


def test_a_failure_that_is_refused_is_followed_by_one_that_cannot_be(run: Any) -> None:
    async def main() -> None:
        worker = Worker()

        @worker.handle("Echo/Say")
        def say(settings: Any, ctx: Any) -> Any:
            raise ValueError("unspeakable")

        fake = await connected(worker)
        fake.refuse = lambda turn: any("unspeakable" in str(body) for _, _, body in turn)
        fake.deliver(work(7))
        await until(lambda: any(command[0] == "failed" for command in fake.commands))
        last = {"message": "the handler failed, and what it said cannot be carried"}
        assert fake.commands[-1] == ["failed", 7, last]
        await worker.close()

    run(main())


def test_an_item_that_cannot_begin_fails(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_thread(*given: Any) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> None:
        worker = Worker()
        worker.handle("Echo/Say")(lambda settings, ctx: None)
        fake = await connected(worker)
        monkeypatch.setattr("moorline._threads.Threads.run", no_thread)
        fake.deliver(work(7))
        await until(lambda: any(command[0] == "failed" for command in fake.commands))
        assert fake.commands[-1] == ["failed", 7, {"message": "RuntimeError: can't start new thread"}]
        await worker.close()

    run(main())


def test_a_thread_that_could_not_start_once_holds_up_nothing(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        ran = []
        worker = Worker()
        worker.handle("Echo/Say")(lambda settings, ctx: ran.append(settings))
        fake = await connected(worker)
        start, attempts = threading.Thread.start, []

        def fail_once(thread: threading.Thread) -> None:
            if thread.name.startswith("moorline-handler") and not attempts:
                attempts.append(thread)
                raise RuntimeError("can't start new thread")
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", fail_once)
        for number in [7, 8]:
            fake.deliver(work(number))
            await until(lambda: any(command[1] == number for command in fake.commands))
        assert [command[0] for command in fake.commands[-2:]] == ["failed", "done"]
        assert len(ran) == 1, "what was reported as failed does not run later"
        await worker.close()

    run(main())


def test_an_outcome_is_settled_though_the_logging_of_the_program_fails(run: Any) -> None:
    class Broken(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            raise RuntimeError("a filter")

    async def main() -> None:
        worker = Worker()

        @worker.handle("Echo/Say")
        def say(settings: Any, ctx: Any) -> Any:
            raise ValueError("no luck")

        fake = await connected(worker)
        broken = Broken()
        logging.getLogger("moorline").addFilter(broken)
        try:
            fake.deliver(work(7))
            await until(lambda: any(command[0] == "failed" for command in fake.commands))
        finally:
            logging.getLogger("moorline").removeFilter(broken)
        assert fake.commands[-1] == ["failed", 7, {"message": "ValueError: no luck"}]
        await worker.close()

    run(main())


def test_leaving_the_scope_drains(run: Any) -> None:
    async def main() -> None:
        worker = Worker()
        fake = FakeNative.opened[-1]
        fake.deliver(ready())
        async with worker:
            fake.deliver(ended())
        assert fake.commands[-1] == ["stop", 0, {}] and fake.closed
        worker = Worker()
        fake = FakeNative.opened[-1]
        fake.deliver(ready())
        with pytest.raises(MoorlineError) as raised:
            async with worker:
                fake.deliver({**withdrawn(1), "why": "draining"}, ended())
        assert raised.value.code == "WORK_EXPIRED"
        worker = Worker()
        fake = FakeNative.opened[-1]
        fake.deliver(ready())
        with pytest.raises(KeyError):
            async with worker:
                fake.deliver({**withdrawn(1), "why": "draining"}, ended())
                raise KeyError("the body's own error is what is told")

    run(main())


@pytest.mark.parametrize("key", ["", "Echo", "/Say", "Echo/", 5, None, b"A/B"])
def test_what_no_handler_can_have_for_a_key_is_refused_at_the_call(key: Any) -> None:
    with pytest.raises(MoorlineError) as raised:
        Worker().handle(key)
    assert raised.value.code == "ARGUMENT_INVALID"
    assert "Capability/Action" in raised.value.message


def test_what_is_no_handler_is_refused_at_the_call(run: Any) -> None:
    worker = Worker()
    bare: Any = worker.handle
    with pytest.raises(MoorlineError) as raised:

        @bare
        def say(settings: Any, ctx: Any) -> None: ...

    assert '@worker.handle("Capability/Action")' in raised.value.message
    with pytest.raises(MoorlineError) as raised:
        worker.handle("A/B")(cast(Any, 5))
    assert raised.value.code == "ARGUMENT_INVALID"

    async def main() -> None:
        await connected(worker)
        await worker.close()
        with pytest.raises(MoorlineError) as raised:
            worker.handle("A/B")
        assert raised.value.code == "STOPPED"

    run(main())


def test_a_connect_that_is_given_up_tells_what_it_waited_for(run: Any) -> None:
    async def main() -> None:
        worker = Worker()
        fake = FakeNative.opened[-1]
        lost = {"event": "lost", "reason": error("CONNECT_FAILED"), "retry_ms": 5, "attempt": 1}
        fake.deliver(lost)
        heard: List[Any] = []
        worker.on_event = heard.append
        connecting = asyncio.ensure_future(worker.connect())
        await until(lambda: heard)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError) as raised:
            await connecting
        chain: List[Any] = [raised.value]
        while chain[-1] is not None:
            chain.append(chain[-1].__cause__ or chain[-1].__context__)
        assert any(getattr(link, "code", None) == "CONNECT_FAILED" for link in chain)

    run(main())
