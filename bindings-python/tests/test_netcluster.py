"""Providers and consumers of network-cluster, with each other and with plain `websockets`."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any, AsyncIterator, Callable, List, Tuple

import pytest
from processes import script
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

from moorline import MoorlineError
from moorline.netcluster import Connection, Consumer, Provider


def told(register: Callable[[Any], Any]) -> "asyncio.Queue[Any]":
    """Registers a listener, and returns the queue of what it is told."""
    news: asyncio.Queue[Any] = asyncio.Queue()
    register(lambda *values: news.put_nowait(values[0] if len(values) == 1 else values))
    return news


@contextlib.asynccontextmanager
async def pair(**options: Any) -> AsyncIterator[Tuple[Provider, Connection, Consumer]]:
    """A provider and a consumer that is connected to it."""
    provider = Provider(port=0, **options)
    opened = told(provider.on_open)
    async with provider:
        async with Consumer(host="127.0.0.1", port=provider.port) as consumer:
            yield provider, await opened.get(), consumer


@contextlib.asynccontextmanager
async def plain(handler: Callable[[ServerConnection], Any]) -> AsyncIterator[int]:
    """A provider that is a plain program of `websockets`."""
    async with serve(handler, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


def raises(code: str) -> Any:
    return pytest.raises(MoorlineError, match=f"^{code}: ")


def test_a_provider_and_a_consumer_exchange_messages(run: Any) -> None:
    async def main() -> None:
        provider = Provider(params={"key": "SECRET", "level": 5, "sure": True}, port=0)
        opened, asked, closed = map(
            told, (provider.on_open, provider.on_message, provider.on_close)
        )
        async with provider:
            given = {"key": "SECRET", "level": 5, "sure": True, "name": "a b&c"}
            consumer = Consumer(given, host="127.0.0.1", port=provider.port)
            answered = told(consumer.on_message)
            assert not consumer.connected and consumer.send("early") is False
            async with consumer:
                assert consumer.connected
                connection = await opened.get()
                assert provider.connections == {connection.id: connection}
                assert connection.ip == "127.0.0.1"
                texts = {"key": "SECRET", "level": "5", "sure": "true", "name": "a b&c"}
                assert connection.parameters == texts
                for sent, arrives in (
                    ("hello \ud800", "hello \ufffd"),
                    ("", ""),
                    (b"\x00\xff", b"\x00\xff"),
                    (memoryview(b"view"), b"view"),
                ):
                    assert consumer.send(sent) is True
                    assert await asked.get() == (connection, arrives)
                    assert connection.send(sent) is True
                    assert await answered.get() == arrives
                assert await consumer.deliver("sure") == "sent"
                assert await connection.deliver(b"sure", compress=True) == "sent"
                for wrong in (5, None, [b""]):
                    with raises("ARGUMENT_INVALID"):
                        consumer.send(wrong)  # type: ignore[arg-type]
                    with raises("ARGUMENT_INVALID"):
                        connection.send(wrong)  # type: ignore[arg-type]
            assert await closed.get() == (connection, 1005, "")
            assert provider.connections == {}
            assert connection.send("late") is False
            with raises("INPUT_GONE"):
                await connection.deliver("late")
            with raises("STOPPED"):
                await consumer.deliver("late")

    run(main())


def test_messages_of_the_protocol_are_refused_at_the_call(run: Any) -> None:
    async def main() -> None:
        async with pair() as (_, connection, consumer):
            for kept in ("PING", "PROVIDER_HEARTBEAT|1", b"PING", b"PROVIDER_HEARTBEAT|"):
                with raises("ARGUMENT_INVALID"):
                    connection.send(kept)
                assert consumer.send(kept) is True
            with raises("ARGUMENT_INVALID"):
                await consumer.deliver("PONG")
            assert consumer.send(b"PONG") is True

    run(main())


def test_a_plain_program_is_a_consumer(run: Any) -> None:
    async def main() -> None:
        provider = Provider(port=0, heartbeat={"interval": 100, "max_strikes": 1})
        opened, closed = told(provider.on_open), told(provider.on_close)
        provider.on_open(lambda connection: connection.send("first"))
        async with provider:
            url = f"ws://127.0.0.1:{provider.port}/connect?key=SECRET&a=1&a=2&b"
            async with connect(url) as plain:
                assert await plain.recv() == "first"
                assert await plain.recv() == "PROVIDER_HEARTBEAT|100"
                connection = await opened.get()
                assert connection.parameters == {"a": ["1", "2"], "b": None, "key": "SECRET"}
                assert await plain.recv() == "PING"
                await plain.send("PONG")
                assert await plain.recv() == "PING"
                with pytest.raises(ConnectionClosed) as ended:
                    await plain.recv()
                assert ended.value.rcvd is not None and ended.value.rcvd.code == 1005
            assert await closed.get() == (connection, 0, "")
            assert (connection.alive, connection.strikes) == (False, 1)

    run(main())


def test_a_plain_program_is_a_provider(run: Any) -> None:
    async def main() -> None:
        asked: asyncio.Queue[Any] = asyncio.Queue()

        async def provide(connection: ServerConnection) -> None:
            assert connection.request is not None
            await connection.send("PROVIDER_HEARTBEAT|1500")
            await connection.send("PING")
            pong = await connection.recv()
            await connection.send("ready")
            asked.put_nowait((connection.request.path, pong, await connection.recv()))
            await connection.close(4000, "bye")

        async with plain(provide) as port:
            options: Any = {"host": "127.0.0.1", "port": port, "reconnect": {"base_delay_ms": 1}}
            consumer = Consumer({"a": "x y"}, **options)
            opened, heard, lost = map(
                told, (consumer.on_open, consumer.on_message, consumer.on_disconnect)
            )
            assert (consumer.heartbeat_duration, consumer.heartbeat_cutoff) == (None, None)
            async with consumer:
                for text in ("one", "two"):
                    await opened.get()
                    assert await heard.get() == "ready"
                    assert (consumer.heartbeat_duration, consumer.heartbeat_cutoff) == (1500, 3000)
                    assert consumer.send(text) is True
                    assert await asked.get() == ("/connect?a=x%20y", "PONG", text)
                    assert await lost.get() == (4000, "bye")

    run(main())


def test_the_application_decides_who_is_let_in(run: Any) -> None:
    async def main() -> None:
        async def later() -> bool:
            return True

        async def raises_later() -> bool:
            raise ValueError("later")

        verdicts: Any = {
            "yes": lambda: True,
            "later": later,
            "no": lambda: False,
            "one": lambda: 1,
            "raises": lambda: [][0],
            "raises later": raises_later,
        }
        requests: List[Any] = []

        def decide(request: Any) -> Any:
            requests.append(request)
            return verdicts[request.parameters["as"]]()

        failures: List[str] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda loop, context: failures.append(type(context["exception"]).__name__)
        )
        outcomes: List[str] = []
        async with Provider(port=0, admit_if=decide) as provider:
            for name in verdicts:
                try:
                    async with Consumer({"as": name}, host="127.0.0.1", port=provider.port):
                        outcomes.append("in")
                except MoorlineError as error:
                    outcomes.append(f"{error.code} {error.status}")
        refused = "AUTHENTICATION_FAILED 403"
        assert outcomes == ["in", "in", refused, refused, refused, refused]
        assert failures == ["IndexError", "ValueError"]
        first = requests[0]
        assert first[:5] == ("GET", "/connect?as=yes", "/connect", "as=yes", "127.0.0.1")
        assert first.headers["upgrade"] == "websocket" and first.cookies == {}

    run(main())


def test_a_refused_program_is_answered_403(run: Any) -> None:
    async def main() -> None:
        async with Provider({"key": "SECRET"}, port=0) as provider:
            with pytest.raises(InvalidStatus) as refused:
                async with connect(f"ws://127.0.0.1:{provider.port}/connect?key=OTHER"):
                    pass
            assert refused.value.response.status_code == 403

    run(main())


def test_attempts_that_are_used_up_raise(run: Any) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        ladder: Any = {"base_delay_ms": 1, "max_attempts": 2}
        consumer = Consumer(host="127.0.0.1", port=port, reconnect=ladder)
        lost = told(consumer.on_disconnect)
        with raises("CONNECT_FAILED"):
            await consumer.connect()
        assert lost.qsize() == 3 and lost.get_nowait() == (1006, "")

    run(main())


def test_connections_end_in_order_cut_off_and_with_the_provider(run: Any) -> None:
    async def main() -> None:
        seen: List[Tuple[int, int]] = []
        provider = Provider(port=0)
        opened, closed = told(provider.on_open), told(provider.on_close)
        await provider.connect()
        for end in (
            lambda one: one.end(4001, "over"),
            lambda one: one.end(),
            lambda one: one.close(),
            lambda one: asyncio.ensure_future(provider.drain()),
        ):
            options: Any = {"host": "127.0.0.1", "port": provider.port, "reconnect_enabled": False}
            consumer = Consumer(**options)
            lost = told(consumer.on_disconnect)
            await consumer.connect()
            end(await opened.get())
            seen.append(((await closed.get())[1], (await lost.get())[0]))
            await consumer.close()
        await provider.ended()
        assert seen == [(4001, 4001), (0, 1005), (1006, 1006), (0, 1005)]

    run(main())


def test_topics_reach_who_subscribed(run: Any) -> None:
    async def main() -> None:
        provider = Provider(port=0)
        opened = told(provider.on_open)
        async with provider, contextlib.AsyncExitStack() as stack:
            heard: List["asyncio.Queue[Any]"] = []
            members: List[Connection] = []
            for _ in range(3):
                consumer = Consumer(host="127.0.0.1", port=provider.port)
                heard.append(told(consumer.on_message))
                await stack.enter_async_context(consumer)
                members.append(await opened.get())
            one, two, three = members
            one.subscribe("news")
            two.subscribe("news")
            assert provider.publish("news", "for all") and not provider.publish("none", "x")
            assert [await queue.get() for queue in heard[:2]] == ["for all"] * 2
            assert one.publish("news", b"from one")
            assert await heard[1].get() == b"from one"
            two.unsubscribe("news")
            assert not one.publish("news", "to nobody")
            assert (one.topics, two.topics) == ({"news"}, set())
            provider.send_to([one, two, three], "to each")
            assert [await queue.get() for queue in heard] == ["to each"] * 3

    run(main())


def test_send_tells_what_is_known_to_be_dropped(run: Any) -> None:
    async def main(on_backlog: str) -> None:
        ws: Any = {"max_backpressure": 65_536, "on_backlog": on_backlog}
        provider = Provider(port=0, ws=ws)
        opened = told(provider.on_open)
        await provider.connect()
        reader, writer = await asyncio.open_connection("127.0.0.1", provider.port, limit=64)
        key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        host = "GET /connect HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        writer.write(f"{host}Upgrade: websocket\r\nConnection: Upgrade\r\n{key}\r\n".encode())
        connection = await opened.get()
        writer.transport.pause_reading()
        outcomes = {await connection.deliver(bytes(16_384))}
        while connection.buffered == 0:
            connection.send(bytes(16_384))
            await asyncio.sleep(0)
        assert connection.buffered > 65_536
        assert connection.send("more") is (on_backlog == "block")
        if on_backlog == "drop":
            outcomes.add(await connection.deliver("more"))
            assert outcomes == {"sent", "dropped"}
        with raises("DRAIN_TIMEOUT"):
            await provider.drain(1)
        assert connection.send("late") is False
        writer.transport.abort()

    for on_backlog in ("drop", "block"):
        run(main(on_backlog))


def test_a_second_provider_of_a_port_fails(run: Any) -> None:
    async def main() -> None:
        async with Provider(port=0) as first:
            with raises("LISTEN_FAILED"):
                await Provider(port=first.port).connect()

    run(main())


def test_wrong_options_are_named() -> None:
    with pytest.raises(MoorlineError, match="ws.max_payload_length"):
        Provider(ws={"max_payload_length": -1})
    with pytest.raises(MoorlineError, match="nonsense"):
        Consumer(host="h", nonsense=1)  # type: ignore[call-arg]
    with raises("CONFIG_INVALID"):
        Provider(ssl={"key": "only.pem"})
    with raises("NOT_STARTED"):
        print(Provider().port)


def test_a_process_with_a_consumer_that_ended_exits() -> None:
    with script("""
import asyncio
from moorline.netcluster import Consumer, Provider

async def main():
    provider = Provider(port=0)
    await provider.connect()
    options = {"host": "127.0.0.1", "port": provider.port}
    Consumer(**options)
    consumer = Consumer(reconnect={"base_delay_ms": 600_000, "max_delay_ms": 600_000}, **options)
    lost = asyncio.Event()
    consumer.on_disconnect(lambda code, reason: lost.set())
    await consumer.connect()
    await provider.drain()
    await lost.wait()
    await consumer.close()

asyncio.run(main())
""") as program:
        assert program.wait() == 0, program.errors
        assert "Warning" not in program.errors
