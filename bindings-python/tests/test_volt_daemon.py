"""The VOLT daemon over the real core, against a scripted server."""

from __future__ import annotations

import asyncio
import base64
import urllib.error
import urllib.request
from typing import Any, AsyncIterator, Dict, List

import pytest
from volt_server import Peer

from moorline import MoorlineError
from moorline.volt import ClusterDaemonClient, CommandContext, DaemonClientError, Envelope
from moorline.volt import DaemonClientErrorCode, EnrollmentClient, Rejection

CODES = DaemonClientErrorCode


async def until(condition: Any) -> None:
    while not condition():
        await asyncio.sleep(0)


def test_a_daemon_registers_and_says_farewell(run: Any) -> None:
    async def main() -> None:
        async with Peer() as peer:
            async with ClusterDaemonClient(**peer.options()) as daemon:
                link = await peer.links.get()
                assert link.registration == {"teamClusterId": "c-1", "daemonPassword": "secret"}
                assert daemon.is_ready and daemon.team_cluster_id == "c-1"
                assert (await daemon.snapshot())["state"] == "ready"
            assert await link.frame() == "41"
            assert await link.frame() is None
            assert not daemon.is_ready

    run(main())


def test_commands_go_out_and_answers_come_back(run: Any) -> None:
    async def main() -> None:
        async with Peer() as peer, ClusterDaemonClient(**peer.options()) as daemon:
            link = await peer.links.get()
            heard: List[Any] = []
            unsubscribe = daemon.on_message(heard.append)
            first = asyncio.ensure_future(daemon.send_command("jobs.list", {"page": 1}))
            second = asyncio.ensure_future(daemon.send_command("jobs.count"))
            asked = [await link.message(), await link.message()]
            assert asked[0] is not None and asked[1] is not None
            assert asked[0]["payload"] == {"page": 1} and "payload" not in asked[1]
            link.answer(asked[1], 0)
            link.answer(asked[0], [{"id": 1}])
            assert await asyncio.gather(first, second) == [[{"id": 1}], 0]
            assert [message["type"] for message in heard] == ["response", "response"]
            unsubscribe()
            third = asyncio.ensure_future(daemon.send_command("jobs.none"))
            asked[0] = await link.message()
            assert asked[0] is not None
            link.answer(asked[0], None)
            assert (await third, len(heard)) == (None, 2)

    run(main())


def test_what_becomes_of_commands_that_fail(run: Any) -> None:
    async def main() -> None:
        async with Peer() as peer, ClusterDaemonClient(**peer.options()) as daemon:
            link = await peer.links.get()
            with pytest.raises(DaemonClientError, match='"slow"') as raised:
                await daemon.send_command("slow", timeout_ms=0)
            assert raised.value.code is CODES.CommandTimeout
            call = asyncio.ensure_future(daemon.send_command("nope"))
            while (asked := await link.message()) is not None and asked["command"] != "nope":
                pass
            assert asked is not None
            refusal = {"ok": False, "status": 404, "message": "Unknown daemon server command: nope"}
            link.emit(
                "team-cluster-daemon:message",
                {"type": "response", "requestId": asked["requestId"], **refusal},
            )
            with pytest.raises(DaemonClientError) as raised:
                await call
            assert raised.value.code is CODES.CommandRejected
            assert (raised.value.status, str(raised.value)) == (404, refusal["message"])
            lost = asyncio.ensure_future(daemon.send_command("lost"))
            await link.message()
            link.close()
            with pytest.raises(DaemonClientError, match="unknown") as raised:
                await lost
            assert raised.value.code is CODES.SocketNotReady

    run(main())


def test_handlers_answer_in_every_form(run: Any) -> None:
    async def main() -> None:
        async with Peer() as peer:
            daemon = ClusterDaemonClient(**peer.options())

            @daemon.register_handler("echo")
            async def echo(payload: Any, context: CommandContext) -> Dict[str, Any]:
                return {"payload": payload, "id": context.request_id}

            @daemon.register_handler("body")
            def body(payload: Any) -> Envelope:
                return Envelope(status=201, headers={"a": "b"}, body=b"\x00\xff")

            @daemon.register_handler("busy")
            def busy(payload: Any) -> None:
                raise Rejection(409, "busy")

            @daemon.register_handler("broken")
            async def broken(payload: Any) -> None:
                raise ValueError("secret detail")

            failures: List[DaemonClientError] = []
            daemon.on_error(failures.append)
            async with daemon:
                link = await peer.links.get()

                async def ask(name: str, payload: Any = None, form: str = "json") -> Any:
                    link.command(1, name, payload, form)
                    answer = await link.message()
                    assert answer is not None and answer.pop("requestId") == "req-1"
                    assert answer.pop("type") == "response"
                    return answer

                data = {"payload": {"n": 1.5}, "id": "req-1"}
                ok = {"ok": True, "status": 200}
                assert await ask("echo", {"n": 1.5}) == {
                    **ok,
                    "data": {"status": "success", "data": data},
                }
                assert await ask("body", None, "buffer") == {
                    "ok": True,
                    "status": 201,
                    "headers": {"a": "b"},
                    "bodyBase64": "AP8=",
                }
                assert await ask("busy") == {"ok": False, "status": 409, "message": "busy"}
                text = 'Handler for command "broken" threw an unhandled error'
                assert await ask("broken") == {"ok": False, "status": 500, "message": text}
                assert (await ask("nope"))["status"] == 404
                daemon.unregister_handler("echo")
                await asyncio.sleep(0)
                assert (await ask("echo"))["status"] == 404
            (failure,) = failures
            assert (failure.code, str(failure)) == (CODES.HandlerError, text)

    run(main())


def test_a_stream_flows_and_ends(run: Any) -> None:
    async def main() -> None:
        async with Peer() as peer:
            daemon = ClusterDaemonClient(**peer.options())

            @daemon.register_handler("logs")
            async def logs(payload: Any) -> AsyncIterator[bytes]:
                for number in range(payload["count"]):
                    yield bytes([number])
                if payload["fails"]:
                    raise OSError("disk gone")

            async with daemon:
                link = await peer.links.get()
                for fails in (False, True):
                    link.command(1, "logs", {"count": 20, "fails": fails}, "stream")
                    opened = await link.message()
                    assert opened is not None and opened["ok"]
                    data = b""
                    while (part := await link.message()) is not None and part["type"] == "stream":
                        assert part["streamId"] == opened["streamId"]
                        data += base64.b64decode(part["chunkBase64"])
                    assert data == bytes(range(20))
                    assert part is not None and part["type"] == "stream-end"
                    assert part.get("message") == ("disk gone" if fails else None)

    run(main())


def test_bytes_go_both_ways(run: Any) -> None:
    async def main() -> None:
        async with Peer() as peer:
            daemon = ClusterDaemonClient(**peer.options())
            daemon.register_handler("swap", lambda payload: {"back": payload["blob"], "n": b""})
            heard: List[Any] = []
            daemon.on_message(heard.append)
            async with daemon:
                link = await peer.links.get()
                place = {"_placeholder": True, "num": 0}
                name = "team-cluster-daemon:message"
                command = {"type": "command", "requestId": "r", "command": "swap"}
                link.emit(name, {**command, "payload": {"blob": place}}, b"\x01\x02")
                answer = await link.message()
                assert answer is not None
                assert answer["data"]["data"] == {"back": b"\x01\x02", "n": b""}
                daemon.emit({"type": "tunnel-data", "chunk": bytearray(b"\x07")})
                assert await link.message() == {"type": "tunnel-data", "chunk": b"\x07"}
                link.emit(name, {"type": "tunnel-data", "chunk": place}, b"\x08")
                await until(lambda: heard)
                assert heard == [{"type": "tunnel-data", "chunk": b"\x08"}]

    run(main())


def test_after_a_lost_connection_everything_goes_on(run: Any) -> None:
    async def main() -> None:
        async with Peer() as peer:
            daemon = ClusterDaemonClient(**peer.options())
            told: List[Any] = []
            daemon.on_connected(lambda: told.append("connected"))
            daemon.on_disconnected(told.append)
            ended = asyncio.Event()

            @daemon.register_handler("wait")
            async def wait(payload: Any, context: CommandContext) -> None:
                try:
                    await asyncio.Event().wait()
                finally:
                    assert context.cancelled
                    ended.set()

            async with daemon:
                link = await peer.links.get()
                daemon.daemon_password = "rotated"
                link.command(1, "wait")
                await asyncio.sleep(0)
                link.close()
                await until(lambda: len(told) == 2)
                daemon.emit({"type": "kept"})
                link = await peer.links.get()
                assert link.registration["daemonPassword"] == "rotated"
                assert await link.message() == {"type": "kept"}
                link.command(2, "nope")
                answer = await link.message()
                assert answer is not None and answer["requestId"] == "req-2"
                await until(lambda: len(told) == 3)
            assert told == ["connected", "transport close", "connected"]

    run(main())


def test_enrollment_happens_once(run: Any) -> None:
    async def main() -> None:
        answer = {"data": {"teamCluster": {"id": "c-1"}, "daemonPassword": "given"}}
        async with Peer((200, answer)) as peer:
            options = peer.options(enrollment_token="t", installed_version="1.4", daemon_password="")
            daemon = ClusterDaemonClient(**options)
            for _ in range(2):
                await daemon.connect()
                link = await peer.links.get()
                assert link.registration["daemonPassword"] == "given" == daemon.daemon_password
                await daemon.disconnect()
            path = "/api/team-clusters/c-1/healthcheck"
            assert peer.enrolled == [(path, {"enrollmentToken": "t", "installedVersion": "1.4"})]

    run(main())


def test_a_failed_enrollment_rejects_connect(run: Any) -> None:
    async def main() -> None:
        failures: List[Any] = []
        async with Peer((401, {"code": "TeamCluster::EnrollmentInvalid"})) as peer:
            daemon = ClusterDaemonClient(**peer.options(enrollment_token="t"))
            daemon.on_error(failures.append)
            with pytest.raises(DaemonClientError, match="401") as raised:
                await daemon.connect()
            assert raised.value.code is CODES.EnrollmentFailed
            assert failures == []
            with pytest.raises(DaemonClientError):
                daemon.emit({"type": "x"})

    run(main())


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ((200, {"data": {"teamCluster": {"id": "c"}, "daemonPassword": ""}}), ""),
        ((401, {"code": "A::B", "message": "no"}), "HTTP 401: A::B no"),
        ((200, {}), "no data"),
        ((200, {"data": {"daemonPassword": "x"}}), "teamCluster"),
        ((307, None), "could not be reached"),
    ],
)
def test_an_enrollment_by_itself(run: Any, answer: Any, found: str) -> None:
    async def main() -> None:
        async with Peer(answer) as peer:
            client = EnrollmentClient(peer.url + "/enroll")
            if found:
                with pytest.raises(DaemonClientError, match=found) as raised:
                    await client.enroll("t", "1.4")
                assert raised.value.code is CODES.EnrollmentFailed
            else:
                assert await client.enroll("t", "1.4") == ("", {"id": "c"})
            assert peer.enrolled == [("/enroll", {"enrollmentToken": "t", "installedVersion": "1.4"})]

    run(main())


@pytest.mark.parametrize("code", [302, 307, 308])
def test_an_enrollment_follows_no_redirect_into_the_clear(code: int) -> None:
    from moorline.volt._http import _Redirects

    def lead(start: str, to: str) -> Any:
        request = urllib.request.Request(start, b"token", method="POST")
        return _Redirects().redirect_request(request, None, code, "", {}, to)

    with pytest.raises(urllib.error.URLError, match="unencrypted"):
        lead("https://hub.test/enroll", "http://hub.test/enroll")
    for start, to in [("https://a.test/", "https://b.test/"), ("http://a.test/", "http://b.test/")]:
        assert lead(start, to).full_url == to


def test_a_first_attempt_that_fails_rejects_connect_and_the_daemon_tries_on(run: Any) -> None:
    async def main() -> None:
        async with Peer() as gone:
            options = gone.options()
        daemon = ClusterDaemonClient(**options)
        failures: List[DaemonClientError] = []
        daemon.on_error(failures.append)
        with pytest.raises(DaemonClientError, match="^Control socket connection error: ") as raised:
            await daemon.connect()
        assert raised.value.code is CODES.SocketConnectionFailed
        await until(lambda: len(failures) > 1)
        await daemon.disconnect()

    run(main())


def test_heartbeats_carry_what_the_application_makes(run: Any) -> None:
    async def main() -> None:
        async with Peer() as peer:
            heartbeat = {"interval_ms": 1, "include_credentials": True}

            def metrics() -> Dict[str, Any]:
                return {"metrics": {"n": 1}}

            options = peer.options(heartbeat=heartbeat)
            async with ClusterDaemonClient(heartbeat_payload=metrics, **options):
                link = await peer.links.get()
                for _ in range(2):
                    beat = await link.message()
                    assert beat is not None and beat["command"] == "runtime.heartbeat"
                    assert beat["payload"] == {
                        "teamClusterId": "c-1",
                        "daemonPassword": "secret",
                        "metrics": {"n": 1},
                    }
                    link.answer(beat, {})

    run(main())


def test_run_goes_on_until_it_is_pointless(run: Any) -> None:
    async def main() -> None:
        async with Peer((404, {})) as peer:
            daemon = ClusterDaemonClient(**peer.options(enrollment_token="t"))
            with pytest.raises(DaemonClientError, match="404"):
                await daemon.run()
            daemon = ClusterDaemonClient(**peer.options())
            running = asyncio.ensure_future(daemon.run())
            link = await peer.links.get()
            link.command(1, "nope")
            await link.message()
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            assert await link.frame() == "41"

    run(main())


def test_wrong_options_are_one_error() -> None:
    with pytest.raises(MoorlineError, match="control_socket_url.*team_cluster_id"):
        ClusterDaemonClient()


def test_a_drain_lets_what_runs_finish(run: Any) -> None:
    async def main() -> None:
        async with Peer() as peer:
            daemon = ClusterDaemonClient(**peer.options())
            await daemon.drain(60_000)
            told: List[Any] = []
            daemon.on_disconnected(told.append)
            daemon.on_error(told.append)
            begun, go = asyncio.Event(), asyncio.Event()

            @daemon.register_handler("slow")
            async def slow(payload: Any) -> int:
                begun.set()
                await go.wait()
                return 7

            await daemon.connect()
            link = await peer.links.get()
            link.command(1, "slow")
            await begun.wait()
            own = asyncio.ensure_future(daemon.send_command("jobs.count"))
            asked = await link.message()
            draining = asyncio.ensure_future(daemon.drain(60_000))
            await asyncio.sleep(0)
            with pytest.raises(DaemonClientError) as failed:
                await daemon.send_command("late")
            assert failed.value.code is CODES.SocketNotReady
            link.command(2, "slow")
            refused = await link.message()
            assert refused is not None
            assert (refused["requestId"], refused["status"]) == ("req-2", 503)
            go.set()
            answer = await link.message()
            assert answer is not None and answer["requestId"] == "req-1"
            assert answer["data"] == {"status": "success", "data": 7}
            assert asked is not None and not draining.done()
            link.answer(asked, 3)
            assert await own == 3
            await draining
            assert await link.frame() == "41"
            assert not daemon.is_ready and told == []
            with pytest.raises(DaemonClientError) as failed:
                daemon.emit({"type": "late"})
            assert failed.value.code is CODES.EmitFailed
            await daemon.connect()
            assert daemon.is_ready
            await daemon.disconnect()

    run(main())


def test_a_drain_says_that_handlers_did_not_finish(run: Any) -> None:
    async def main() -> None:
        async with Peer() as peer:
            daemon = ClusterDaemonClient(**peer.options())
            begun = asyncio.Event()
            reasons: List[Any] = []

            @daemon.register_handler("endless")
            async def endless(payload: Any, context: CommandContext) -> None:
                begun.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    reasons.append(context.reason)

            await daemon.connect()
            link = await peer.links.get()
            link.command(1, "endless")
            await begun.wait()
            with pytest.raises(MoorlineError) as raised:
                await daemon.drain(1)
            assert raised.value.code == "DRAIN_TIMEOUT"
            assert [reason.code for reason in reasons] == ["DRAIN_TIMEOUT"]
            assert await link.frame() == "41"

    run(main())
