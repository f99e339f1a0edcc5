"""The VOLT daemon's handlers, against a scripted native handle."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, AsyncIterator, Dict, Iterator, List

import pytest
from fake import FakeNative, withdrawn
from volt_fake import Failures, command, connected, disconnected, played, until

from moorline.volt import ClusterDaemonClient, CommandContext, DaemonClientErrorCode, Envelope
from moorline.volt import Rejection


@pytest.fixture(autouse=True)
def native(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("moorline._endpoint.Native", FakeNative)
    yield
    for fake in FakeNative.opened:
        fake.dispose()
    FakeNative.opened.clear()


async def settled(handler: Any, form: str = "json") -> List[Any]:
    """Returns the commands with which a handler's item was settled."""
    client = ClusterDaemonClient()
    client.register_handler("jobs.run", handler)
    fake = await connected(client)
    fake.deliver(command(1, {"n": 1}, form))
    await until(lambda: any(one[0] in ("done", "failed") for one in fake.commands))
    commands = list(fake.commands)
    await disconnected(client)
    return commands


async def envelope(payload: Any, context: CommandContext) -> Envelope:
    return Envelope(data={"a": b"\x01"}, status=202, headers={"h": context.request_id})


def rejecting(payload: Any) -> None:
    raise Rejection(409, "busy")


async def failing(payload: Any) -> None:
    raise ValueError("secret detail")


class Object:
    def handle(self, payload: Any, context: CommandContext) -> Dict[str, Any]:
        return {"status": 201, "body": b"\x00\x01"}


@pytest.mark.parametrize(
    ("handler", "outcome"),
    [
        (lambda payload: {"data": payload}, {"value": {"data": {"data": {"n": 1}}}}),
        (lambda payload, context: None, {"value": {}}),
        (rejecting, {"value": {"reject": {"status": 409, "message": "busy"}}}),
        (Object(), {"value": {"status": 201, "body": "AAE="}}),
        (
            envelope,
            {
                "value": {
                    "status": 202,
                    "headers": {"h": "req-1"},
                    "data": {"a": {"_placeholder": True, "num": 0}},
                },
                "blobs": ["AQ=="],
            },
        ),
    ],
)
def test_every_form_of_answer(run: Any, handler: Any, outcome: Any) -> None:
    assert run(settled(handler)) == [["done", 1, outcome]]


@pytest.mark.parametrize("handler", [failing, lambda payload: {1, 2}, lambda payload: 1 / 0])
def test_a_handler_that_fails_is_reported_here_and_not_to_the_control_plane(
    run: Any, handler: Any
) -> None:
    failures: Failures = []

    async def main(client: ClusterDaemonClient) -> None:
        client.on_error(failures.append)
        client.register_handler("jobs.run", handler)
        fake = await connected(client)
        fake.deliver(command(1))
        await until(lambda: failures and fake.commands)
        assert fake.commands[0][0] == "failed"

    played(main, run)
    (failure,) = failures
    assert failure.code is DaemonClientErrorCode.HandlerError
    assert '"jobs.run"' in str(failure)
    assert isinstance(failure.__cause__, Exception)


class Source:
    """An endless stream that notes its end."""

    def __init__(self) -> None:
        self.given = 0
        self.closed = False

    async def __call__(self, payload: Any, context: CommandContext) -> AsyncIterator[bytes]:
        try:
            while True:
                self.given += 1
                yield b"x"
        finally:
            self.closed = True


def test_a_stream_is_read_no_faster_than_its_parts_leave(run: Any) -> None:
    source = Source()

    async def main(client: ClusterDaemonClient) -> None:
        client.register_handler("jobs.run", source.__call__)
        fake = await connected(client)
        fake.deliver(command(1, None, "stream"))
        await until(lambda: len(fake.commands) == 5)
        assert fake.commands == [["progress", 1, {"open": {}}]] + [
            ["progress", 1, {"chunk": "eA=="}]
        ] * 4
        for _ in range(20):
            await asyncio.sleep(0)
        assert (len(fake.commands), source.given) == (5, 5)
        fake.deliver({"event": "work_drained", "work": 1, "chunks": 3})
        await until(lambda: len(fake.commands) == 8)
        fake.deliver(withdrawn(1, "CONNECTION_LOST"))
        await until(lambda: source.closed)
        await until(lambda: fake.commands[-1] == ["cancelled", 1, None])

    played(main, run)


@pytest.mark.parametrize("kind", ["asynchronous", "plain", "list", "envelope"])
def test_every_kind_of_stream(run: Any, kind: str) -> None:
    async def asynchronous(payload: Any) -> AsyncIterator[bytes]:
        yield b"a"
        yield memoryview(b"b")

    def plain(payload: Any) -> Iterator[bytes]:
        yield b"a"
        yield b"b"

    handlers: Dict[str, Any] = {
        "asynchronous": asynchronous,
        "plain": plain,
        "list": lambda payload: Envelope(stream=[b"a", bytearray(b"b")]),
        "envelope": lambda payload: Envelope(stream=asynchronous(payload)),
    }
    assert run(settled(handlers[kind], "stream")) == [
        ["progress", 1, {"open": {}}],
        ["progress", 1, {"chunk": "YQ=="}],
        ["progress", 1, {"chunk": "Yg=="}],
        ["done", 1, {"value": {}}],
    ]


def test_a_stream_that_fails_ends_with_its_message(run: Any) -> None:
    async def half(payload: Any, context: CommandContext) -> AsyncIterator[bytes]:
        yield b"a"
        raise OSError("disk gone")

    commands = run(settled(lambda p, c: Envelope(status=206, stream=half(p, c)), "stream"))
    assert commands[0] == ["progress", 1, {"open": {"status": 206}}]
    assert commands[-1] == ["failed", 1, {"message": "disk gone"}]
    commands = run(settled(lambda payload: Envelope(stream=b"no iterator of bytes"), "stream"))
    assert commands[-1][0] == "failed"


def test_a_stream_that_nobody_asked_for_is_closed(run: Any) -> None:
    closed = threading.Event()

    def stream() -> Iterator[bytes]:
        try:
            yield b"a"
        finally:
            closed.set()

    def handler(payload: Any) -> Envelope:
        begun = stream()
        next(begun)
        return Envelope(status=206, stream=begun)

    assert run(settled(handler)) == [["done", 1, {"value": {"status": 206}}]]
    assert closed.wait(5)


def test_a_withdrawn_command_is_cancelled(run: Any) -> None:
    seen: List[CommandContext] = []

    async def waiting(payload: Any, context: CommandContext) -> None:
        seen.append(context)
        await asyncio.Event().wait()

    async def main(client: ClusterDaemonClient) -> None:
        client.register_handler("jobs.run", waiting)
        fake = await connected(client)
        fake.deliver(command(1))
        await until(lambda: seen)
        assert not seen[0].cancelled
        fake.deliver(withdrawn(1, "CONNECTION_LOST"))
        await until(lambda: fake.commands)
        assert fake.commands == [["cancelled", 1, None]]
        assert seen[0].reason is not None and seen[0].reason.code == "CONNECTION_LOST"
        client.unregister_handler("jobs.run")
        client.unregister_handler("never")
        fake.deliver(command(2))
        await until(lambda: len(fake.commands) == 3)
        assert fake.commands[1] == ["unhandle", 0, {"key": "jobs.run"}]
        assert fake.commands[2][2]["value"]["reject"]["status"] == 404

    played(main, run)


@pytest.mark.parametrize("kind", ["coroutine", "plain"])
def test_heartbeats_are_made_by_the_application(run: Any, kind: str) -> None:
    beats = [{"n": 1}]

    async def coroutine() -> Dict[str, Any]:
        return beats.pop()

    def plain() -> Dict[str, Any]:
        return beats.pop()

    async def play() -> None:
        failures: Failures = []
        factory: Any = {"coroutine": coroutine, "plain": plain}[kind]
        client = ClusterDaemonClient(heartbeat_payload=factory, heartbeat={"interval_ms": 5})
        client.on_error(failures.append)
        fake = await connected(client)
        assert fake.opened_with[2]["heartbeat"] == {"interval_ms": 5, "asks": True}
        fake.deliver({"event": "beat_asked", "beat": 1}, {"event": "beat_asked", "beat": 2})
        await until(lambda: len(fake.commands) == 2)
        assert sorted(fake.commands) == [
            ["done", 1, {"value": {"n": 1}}],
            ["failed", 2, {"message": "IndexError: pop from empty list"}],
        ]
        # The core tells it as a failed heartbeat.
        assert failures == []
        await disconnected(client)

    run(play())
