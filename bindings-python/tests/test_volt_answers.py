"""How answers reach their callers: all of a drain at once, each in its own task."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any, Dict, Iterator, List, NoReturn

import pytest
from fake import FakeNative, error
from volt_fake import connected, disconnected, played, until

from moorline.volt import ClusterDaemonClient, DaemonClientError


@pytest.fixture(autouse=True)
def native(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("moorline._endpoint.Native", FakeNative)
    yield
    for fake in FakeNative.opened:
        fake.dispose()
    FakeNative.opened.clear()


def answer(call: int, value: Any = None) -> Dict[str, Any]:
    return {"event": "call_done", "call": call, "value": value}


def failure(call: int) -> Dict[str, Any]:
    return {"event": "call_done", "call": call, "error": error("REMOTE_ERROR", f"no {call}")}


class Opaque(asyncio.Future):  # type: ignore[type-arg]
    """Some loop's own future, which does not say who awaits it."""

    @property
    def _callbacks(self) -> NoReturn:  # type: ignore[override]
        raise AttributeError("_callbacks")


@pytest.mark.parametrize("kind", [asyncio.Future, asyncio.futures._PyFuture, Opaque])  # type: ignore[attr-defined]
def test_callers_wake_in_order_and_what_they_send_crosses_together(
    run: Any, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    told: List[Any] = []

    async def main(client: ClusterDaemonClient) -> None:
        loop = asyncio.get_running_loop()
        fake = await connected(client)

        async def caller(number: int) -> None:
            try:
                told.append(await client.send_command("first", number))
            except DaemonClientError as failed:
                told.append(str(failed))
            await client.send_command("second", number)

        with monkeypatch.context() as patch:
            patch.setattr(loop, "create_future", lambda: kind(loop=loop))
            callers = [asyncio.ensure_future(caller(number)) for number in range(4)]
            await until(lambda: fake.turns)
            fake.deliver(answer(2, "b"), answer(1, "a"), failure(3), answer(4, "d"))
            await until(lambda: len(fake.turns) == 2)
        assert told == ["b", "a", "no 3", "d"]
        assert [body["payload"] for _, _, body in fake.turns[1]] == [1, 0, 2, 3]
        fake.deliver(*(answer(call) for call in (5, 6, 7, 8)))
        await asyncio.gather(*callers)

    played(main, run)


def test_messages_and_answers_are_told_in_order_of_their_arrival(run: Any) -> None:
    told: List[Any] = []

    def message(payload: Any, **more: Any) -> Dict[str, Any]:
        return {"event": "message", "peer": None, "payload": payload, **more}

    async def main(client: ClusterDaemonClient) -> None:
        client.on_message(told.append)
        fake = await connected(client)

        async def caller() -> None:
            told.append(await client.send_command("a"))

        callers = [asyncio.ensure_future(caller()) for _ in range(2)]
        await until(lambda: len(fake.commands) == 2)
        fake.deliver(
            message({"n": 1}),
            answer(1, "a"),
            message(None),
            message({"n": 2}),
            answer(2, "b"),
            message({"_placeholder": True, "num": 0}, blobs=["AQI="]),
            message([3]),
        )
        await asyncio.gather(*callers)
        assert told == [{"n": 1}, "a", {"n": 2}, "b", b"\x01\x02", [3]]

    played(main, run)


@pytest.mark.parametrize("text", [b"[" * 100_000 + b"]" * 100_000, b"9" * 5_000])
def test_a_message_that_cannot_be_read_is_none(
    run: Any, monkeypatch: pytest.MonkeyPatch, text: bytes
) -> None:
    told: List[Any] = []

    async def main(client: ClusterDaemonClient) -> None:
        client.on_message(told.append)
        fake = await connected(client)
        call = asyncio.ensure_future(client.send_command("a"))
        await until(lambda: fake.commands)
        with monkeypatch.context() as patch:
            patch.setattr(fake, "drain", lambda: ([0, 1, 0], [text, b"1", b"2"], b"", False, False))
            fake.deliver()
            assert await call == 1
            await until(lambda: told)
        fake.drain()
        assert told == [2]

    played(main, run)


def test_a_caller_wakes_as_its_own_task_and_in_its_own_context(run: Any) -> None:
    mark: contextvars.ContextVar[int] = contextvars.ContextVar("mark", default=-1)

    async def main(client: ClusterDaemonClient) -> None:
        fake = await connected(client)

        async def caller(number: int) -> None:
            mark.set(number)
            task = asyncio.current_task()
            await client.send_command("a")
            assert (mark.get(), asyncio.current_task()) == (number, task)

        callers = [asyncio.ensure_future(caller(number)) for number in range(3)]
        await until(lambda: fake.turns)
        fake.deliver(*(answer(call) for call in (1, 2, 3)))
        await asyncio.gather(*callers)
        assert mark.get() == -1

    played(main, run)


def test_a_caller_may_cancel_another_whose_answer_came_with_its_own(run: Any) -> None:
    async def main(client: ClusterDaemonClient) -> None:
        fake = await connected(client)
        cancelled = asyncio.ensure_future(client.send_command("a"))

        async def canceller() -> None:
            await client.send_command("b")
            cancelled.cancel()

        both = asyncio.gather(cancelled, canceller(), return_exceptions=True)
        await until(lambda: fake.turns)
        fake.deliver(answer(2), answer(1))
        assert [type(outcome) for outcome in await both] == [asyncio.CancelledError, type(None)]
        assert len(fake.commands) == 2

    played(main, run)


def test_a_caller_that_ends_the_loop_costs_the_others_nothing() -> None:
    loop = asyncio.new_event_loop()
    client = ClusterDaemonClient()
    fake = loop.run_until_complete(connected(client))
    told: List[int] = []

    async def caller(number: int) -> None:
        told.append(await client.send_command("a"))
        if number == 2:
            raise SystemExit(number)
        await client.send_command("b")

    callers = [loop.create_task(caller(number)) for number in (1, 2, 3, 4)]
    loop.run_until_complete(until(lambda: fake.turns))
    fake.deliver(*(answer(call, call) for call in (1, 2, 3)), more=True)
    fake.deliver(answer(4, 4))
    with pytest.raises(SystemExit):
        loop.run_until_complete(until(callers[3].done))
    assert told == [1, 2]
    loop.run_until_complete(until(lambda: len(fake.commands) == 7))
    assert told == [1, 2, 3, 4]
    fake.deliver(*(answer(call) for call in (5, 6, 7)))
    outcomes = loop.run_until_complete(asyncio.gather(*callers, return_exceptions=True))
    assert [repr(outcome) for outcome in outcomes] == ["None", "SystemExit(2)", "None", "None"]
    loop.run_until_complete(disconnected(client))
    loop.close()
