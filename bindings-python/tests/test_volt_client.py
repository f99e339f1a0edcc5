"""The VOLT daemon's connections, commands, messages and listeners, against a scripted native handle."""

from __future__ import annotations

import asyncio
from typing import Any, Dict, Iterator, List

import pytest
from fake import FakeNative, ended, error
from volt_fake import Failures, connected, disconnected, last, lost, notice, played, ready, until

from moorline import MoorlineError
from moorline.volt import ClusterDaemonClient, DaemonClientError, DaemonClientErrorCode


@pytest.fixture(autouse=True)
def native(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("moorline._endpoint.Native", FakeNative)
    yield
    for fake in FakeNative.opened:
        fake.dispose()
    FakeNative.opened.clear()


def test_what_precedes_the_start_crosses_with_it(run: Any) -> None:
    async def main(client: ClusterDaemonClient) -> None:
        client.register_handler("jobs.run", lambda payload: payload)
        client.on_message(print)
        fake = last()
        assert fake.opened_with == ("volt", "daemon", {"team_cluster_id": "c-1"})
        fake.deliver(ready())
        assert not client.is_ready
        await client.connect()
        assert client.is_ready
        assert fake.commands == [
            ["handle", 0, {"key": "jobs.run", "meta": {}}],
            ["handle", 0, {"key": "*", "meta": {"messages": True}}],
            ["start", 0, None],
        ]

    played(main, run, team_cluster_id="c-1")


def test_a_command_crosses_and_its_answer_comes_back(run: Any) -> None:
    async def main(client: ClusterDaemonClient) -> None:
        fake = await connected(client)
        calls = [
            asyncio.ensure_future(client.send_command("a", {"n": 1}, timeout_ms=5)),
            asyncio.ensure_future(client.send_command("b")),
        ]
        await until(lambda: fake.turns)
        assert fake.turns == [
            [
                ["call", 1, {"name": "a", "payload": {"n": 1}, "options": {"timeout_ms": 5}}],
                ["call", 2, {"name": "b"}],
            ]
        ]
        fake.deliver(
            {"event": "call_done", "call": 1, "value": {"ok": 1}},
            {"event": "call_done", "call": 2},
        )
        assert await asyncio.gather(*calls) == [{"ok": 1}, None]

    played(main, run)


def test_the_client_may_have_a_timeout_of_its_own(run: Any) -> None:
    async def main(client: ClusterDaemonClient) -> None:
        fake = await connected(client)
        calls = [asyncio.ensure_future(client.send_command("a", timeout_ms=own)) for own in (None, 0)]
        await until(lambda: fake.turns)
        options = [command[2]["options"] for command in fake.commands]
        assert options == [{"timeout_ms": 5_000}, {"timeout_ms": 0}]
        for call in calls:
            call.cancel()

    played(main, run, command_timeout_ms=5_000)


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("CALL_TIMEOUT", "COMMAND_TIMEOUT"),
        ("REMOTE_ERROR", "COMMAND_REJECTED"),
        ("NOT_READY", "SOCKET_NOT_READY"),
    ],
)
def test_a_failed_command_has_the_clients_code(run: Any, code: str, name: str) -> None:
    async def main(client: ClusterDaemonClient) -> None:
        fake = await connected(client)
        call = asyncio.ensure_future(client.send_command("a"))
        await until(lambda: fake.commands)
        failed = {**error(code, 'the command "a"'), "status": 404}
        fake.deliver({"event": "call_done", "call": 1, "error": failed})
        with pytest.raises(DaemonClientError) as raised:
            await call
        assert raised.value.code == name == raised.value.code.value
        assert (raised.value.status, str(raised.value)) == (404, 'the command "a"')
        assert isinstance(raised.value.__cause__, MoorlineError)

    played(main, run)


def test_a_command_is_refused_while_not_registered(run: Any) -> None:
    async def main(client: ClusterDaemonClient) -> None:
        for registered in (False, True):
            if registered:
                fake = await connected(client)
                fake.deliver(lost())
                await until(lambda: not client.is_ready)
                fake.turns.clear()
            with pytest.raises(DaemonClientError) as raised:
                await client.send_command("a")
            assert raised.value.code is DaemonClientErrorCode.SocketNotReady
            assert last().commands == []

    played(main, run)


def test_a_cancelled_command_is_given_up(run: Any) -> None:
    async def main(client: ClusterDaemonClient) -> None:
        fake = await connected(client)
        call = asyncio.ensure_future(client.send_command("a"))
        await until(lambda: fake.commands)
        call.cancel()
        await until(lambda: len(fake.commands) == 2)
        assert fake.commands[1] == ["cancel", 1, None]

    played(main, run)


def test_bytes_travel_beside_the_text(run: Any) -> None:
    async def main(client: ClusterDaemonClient) -> None:
        heard: List[Any] = []
        client.on_message(heard.append)
        fake = await connected(client)
        call = asyncio.ensure_future(client.send_command("a", {"b": [b"\x01\x02", {"c": b""}]}))
        client.emit({"type": "t", "x": memoryview(b"\xff"), "y": bytearray(b"\x00")})
        await until(lambda: fake.turns)
        place = {"_placeholder": True}
        packed = {"b": [{**place, "num": 0}, {"c": {**place, "num": 1}}]}
        emitted = {"type": "t", "x": {**place, "num": 0}, "y": {**place, "num": 1}}
        assert sorted(fake.commands) == [
            ["call", 1, {"name": "a", "payload": packed, "blobs": ["AQI=", ""]}],
            ["emit", 0, {"name": "", "payload": emitted, "blobs": ["/w==", "AA=="]}],
        ]
        blobs = ["AQI=", "/w=="]
        value = {"k": {**place, "num": 1}, "other": {"num": 7}}
        fake.deliver(
            {"event": "call_done", "call": 1, "value": value, "blobs": blobs},
            {"event": "message", "peer": None, "payload": [{**place, "num": 0}], "blobs": blobs},
        )
        assert await call == {"k": b"\xff", "other": {"num": 7}}
        assert heard == [[b"\x01\x02"]]

    played(main, run)


def test_what_cannot_be_emitted_is_refused_at_once(run: Any) -> None:
    async def main(client: ClusterDaemonClient) -> None:
        def refused(message: Any) -> bool:
            with pytest.raises(DaemonClientError) as raised:
                client.emit(message)
            return raised.value.code is DaemonClientErrorCode.EmitFailed

        assert refused({"type": "early"})
        fake = await connected(client, max_message=200)
        assert refused({"type": "long", "text": "x" * 200})
        assert refused({"type": "blobs", "list": [b""] * 11})
        assert refused({"type": "set", "set": {1}})
        assert fake.commands == []
        client.emit({"type": "fits", "list": [b"x" * 150] * 2})
        await until(lambda: fake.commands)
        await disconnected(client)
        assert refused({"type": "late"})

    played(main, run)


def test_listeners_are_told_in_order_and_may_leave(run: Any) -> None:
    told: List[Any] = []

    async def slowly() -> None:
        told.append("connected 2")

    async def main(client: ClusterDaemonClient) -> None:
        client.on_connected(lambda: told.append(f"connected {client.is_ready}"))
        client.on_connected(slowly)
        client.on_disconnected(lambda reason: told.append((reason, client.is_ready)))
        leave = client.on_message(lambda message: told.append(message))
        again = client.on_message(lambda message: told.append(message))
        fake = await connected(client)
        message = {"event": "message", "peer": None, "payload": {"type": "x"}}
        fake.deliver(message, {"event": "message", "peer": None}, lost(), ready())
        await until(lambda: len(told) == 7)
        leave()
        leave()
        assert fake.commands == []
        again()
        await until(lambda: fake.commands == [["unhandle", 0, {"key": "*"}]])
        fake.deliver(message)
        await until(lambda: not fake.batches)

    played(main, run)
    assert told[:2] == ["connected True", "connected 2"]
    assert told[2:] == [
        {"type": "x"},
        {"type": "x"},
        ("transport close", False),
        "connected True",
        "connected 2",
    ]


def test_a_listener_that_fails_costs_nobody_else(run: Any) -> None:
    failures: Failures = []
    told: List[str] = []

    def failing() -> None:
        raise ValueError("mine")

    async def failing_later() -> None:
        raise KeyError("later")

    async def main(client: ClusterDaemonClient) -> None:
        client.on_connected(failing)
        client.on_connected(failing_later)
        client.on_connected(lambda: told.append("told"))
        client.on_error(failures.append)
        await connected(client)
        await until(lambda: len(failures) == 2)
        # One that fails at being told of a failure reaches the loop's own handler.
        loose: List[Any] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: loose.append(context["exception"]))
        client.on_error(lambda error: 1 / 0)
        last().deliver(notice("OVERLOADED"))
        await until(lambda: loose)
        assert isinstance(loose[0], ZeroDivisionError)

    played(main, run)
    assert told == ["told"]
    assert isinstance(failures[0].__cause__, ValueError)
    assert failures[2].code is DaemonClientErrorCode.EmitFailed


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("CONNECT_FAILED", "SOCKET_CONNECTION_FAILED"),
        ("REGISTRATION_FAILED", "SOCKET_REGISTRATION_FAILED"),
    ],
)
def test_the_first_attempt_rejects_connect_and_retries_go_on(
    run: Any, code: str, name: str
) -> None:
    failures: Failures = []

    async def main(client: ClusterDaemonClient) -> None:
        client.on_error(failures.append)
        fake = last()
        fake.deliver(notice("OVERLOADED"), notice(code, "as scripted"))
        with pytest.raises(DaemonClientError, match="as scripted") as raised:
            await client.connect()
        assert raised.value.code == name
        assert [failure.code.value for failure in failures] == ["EMIT_FAILED", name]
        fake.deliver(ready())
        await until(lambda: client.is_ready)

    played(main, run)


def test_a_fatal_end_rejects_connect_and_is_told_once(run: Any) -> None:
    failures: Failures = []

    async def main(client: ClusterDaemonClient) -> None:
        client.on_error(failures.append)
        last().deliver(ended("ENROLLMENT_FAILED"))
        with pytest.raises(DaemonClientError) as raised:
            await client.connect()
        assert raised.value.code is DaemonClientErrorCode.EnrollmentFailed
        assert failures == []
        connecting = asyncio.ensure_future(client.connect())
        await until(lambda: len(FakeNative.opened) == 2)
        end = {"event": "ended", "error": error("CONNECT_FAILED", "Invalid namespace")}
        last().deliver(notice("CONNECT_FAILED", "Invalid namespace"), end)
        with pytest.raises(DaemonClientError, match="Invalid namespace"):
            await connecting
        await until(lambda: not last().batches)
        assert len(failures) == 1

    played(main, run)


def test_an_enrolled_password_outlives_the_session(run: Any) -> None:
    async def main(client: ClusterDaemonClient) -> None:
        assert client.daemon_password == "old"
        last().deliver({"event": "enrolled", "password": "new"}, ready())
        await client.connect()
        assert client.daemon_password == "new"
        await disconnected(client)
        await asyncio.gather(client.connect(), until_opened(2))
        options = last().opened_with[2]
        assert options["daemon_password"] == "new"
        assert options["enrollment"] == {"timeout_ms": 500, "enabled": False}
        client.daemon_password = "newest"
        await until(lambda: len(last().commands) == 2)
        body = {"name": "$password", "payload": {"password": "newest"}}
        assert last().commands[1] == ["emit", 0, body]
        assert client.daemon_password == "newest"

    async def until_opened(count: int) -> None:
        await until(lambda: len(FakeNative.opened) == count)
        last().deliver(ready())

    options = {"daemon_password": "old", "enrollment": {"timeout_ms": 500}}
    played(main, run, enrollment_token="t", **options)


def test_a_second_connect_replaces_the_session(run: Any) -> None:
    async def main(client: ClusterDaemonClient) -> None:
        told: List[str] = []
        client.on_disconnected(told.append)
        first = await connected(client)
        second = asyncio.ensure_future(client.connect())
        await until(lambda: ["stop", 0, {"drain_ms": 0}] in first.commands)
        first.deliver(lost(), ended())
        await until(lambda: first.closed)
        last().deliver(ready())
        await second
        assert (client.is_ready, told) == (True, [])

    played(main, run)


def test_disconnect_settles_a_connect_and_may_be_repeated(run: Any) -> None:
    async def main(client: ClusterDaemonClient) -> None:
        await client.disconnect()
        connecting = asyncio.ensure_future(client.connect())
        await until(lambda: last().commands)
        await disconnected(client)
        with pytest.raises(DaemonClientError) as raised:
            await connecting
        assert raised.value.code is DaemonClientErrorCode.SocketConnectionFailed
        await client.disconnect()
        assert not client.is_ready

    played(main, run)


def test_after_disconnect_no_listener_is_told_anything(run: Any) -> None:
    async def main(client: ClusterDaemonClient) -> None:
        told: List[Any] = []
        client.on_disconnected(told.append)
        client.on_error(told.append)
        client.on_message(told.append)
        fake = await connected(client)
        call = asyncio.ensure_future(client.send_command("a"))
        await until(lambda: fake.commands)
        leaving = asyncio.ensure_future(client.disconnect())
        await until(lambda: len(fake.commands) == 2)
        assert not client.is_ready
        gone = {"event": "call_done", "call": 1, "error": error("NOT_READY")}
        message = {"event": "message", "peer": None, "payload": {"type": "x"}}
        fake.deliver(message, gone, lost(), notice("CONNECT_FAILED"), ended())
        await leaving
        with pytest.raises(DaemonClientError) as raised:
            await call
        assert raised.value.code is DaemonClientErrorCode.SocketNotReady
        assert told == []

    played(main, run)


def test_a_context_connects_and_leaves_nothing_behind(run: Any) -> None:
    async def main(client: ClusterDaemonClient) -> None:
        fake = last()
        fake.deliver(ready())
        async with client:
            assert client.is_ready
            fake.deliver(ended())
        assert fake.closed
        failing = asyncio.ensure_future(client.__aenter__())
        await until(lambda: len(FakeNative.opened) == 2)
        last().deliver(notice("CONNECT_FAILED"))
        await until(lambda: ["stop", 0, {"drain_ms": 0}] in last().commands)
        last().deliver(ended())
        with pytest.raises(DaemonClientError):
            await failing
        assert last().closed

    played(main, run)
