"""A VOLT server that says what a test tells it: Socket.IO over WebSocket, on loopback."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import struct
from typing import Any, Dict, List, Optional, Tuple

MESSAGE = "team-cluster-daemon:message"
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Link:
    """One daemon's connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._frames: "asyncio.Queue[Any]" = asyncio.Queue()
        self.registration: Dict[str, Any] = {}

    async def upgrade(self, headers: Dict[str, str]) -> None:
        key = headers["sec-websocket-key"].encode()
        accept = base64.b64encode(hashlib.sha1(key + _GUID).digest()).decode()
        self._writer.write(
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
            f"sec-websocket-accept: {accept}\r\n\r\n".encode()
        )

    async def frame(self) -> Any:
        """Returns the next frame: text, bytes, or `None` at the end."""
        return await self._frames.get()

    async def read(self) -> None:
        """Reads until the daemon has left, and leaves as well."""
        try:
            while (frame := await self._read()) is not None:
                self._frames.put_nowait(frame)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        self._frames.put_nowait(None)
        self._writer.close()

    async def _read(self) -> Any:
        first, length = await self._reader.readexactly(2)
        size = length & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", await self._reader.readexactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", await self._reader.readexactly(8))
        mask = await self._reader.readexactly(4)
        data = await self._reader.readexactly(size)
        data = bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))
        kind = first & 0x0F
        return data.decode() if kind == 1 else data if kind == 2 else None

    def say(self, frame: Any) -> None:
        """Sends a frame: text or bytes."""
        data = frame.encode() if isinstance(frame, str) else frame
        head = bytes([0x81 if isinstance(frame, str) else 0x82])
        if len(data) < 126:
            head += bytes([len(data)])
        else:
            head += bytes([126]) + struct.pack("!H", len(data))
        self._writer.write(head + data)

    def emit(self, name: str, argument: Any, *blobs: bytes) -> None:
        """Sends a Socket.IO event."""
        kind = f"45{len(blobs)}-" if blobs else "42"
        self.say(kind + json.dumps([name, argument], separators=(",", ":")))
        for blob in blobs:
            self.say(blob)

    def command(self, number: int, name: str, payload: Any = None, form: str = "json") -> None:
        """Sends a command with the id `req-NUMBER`."""
        message = {"type": "command", "requestId": f"req-{number}", "command": name}
        self.emit(MESSAGE, {**message, "responseType": form, "payload": payload})

    def answer(self, asked: Dict[str, Any], data: Any) -> None:
        """Answers a command of the daemon."""
        answer = {"type": "response", "requestId": asked["requestId"], "ok": True, "status": 200}
        self.emit(MESSAGE, {**answer, "data": {"status": "success", "data": data}})

    async def message(self) -> Optional[Dict[str, Any]]:
        """Returns the next message, byte strings put in place; `None` when the daemon has left."""
        text = await self.frame()
        if text is None or text.startswith("41"):
            return None
        assert text.startswith(("42", "45")), text
        blobs: List[Any] = []
        if text.startswith("45"):
            count, text = text[2:].split("-", 1)
            blobs = [await self.frame() for _ in range(int(count))]
        name, argument = json.loads(text[text.index("[") :], object_hook=_filler(blobs))
        assert name == MESSAGE
        message: Dict[str, Any] = argument
        return message

    def close(self) -> None:
        """Ends the connection without a word."""
        self._writer.close()


class Peer:
    """Accepts daemons; each that registers waits in `links`."""

    def __init__(self, enroll: Any = None) -> None:
        self.links: "asyncio.Queue[Link]" = asyncio.Queue()
        self.enrolled: List[Any] = []
        self._enroll = enroll
        self._writers: List[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Peer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()

    @property
    def url(self) -> str:
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"http://{host}:{port}"

    def options(self, **more: Any) -> Dict[str, Any]:
        """Returns the options of a daemon that registers here and is silent else."""
        given: Dict[str, Any] = {
            "control_socket_url": self.url,
            "server_url": self.url,
            "team_cluster_id": "c-1",
            "daemon_password": "secret",
            "heartbeat": {"enabled": False},
            "reconnect": {"base_delay_ms": 1, "max_delay_ms": 1},
        }
        return {**given, **more}

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        line, headers = await _head(reader)
        if line.startswith("POST"):
            body = await reader.readexactly(int(headers["content-length"]))
            self.enrolled.append((line.split(" ")[1], json.loads(body)))
            status, answer = self._enroll
            text = json.dumps(answer)
            writer.write(
                f"HTTP/1.1 {status} x\r\nconnection: close\r\nlocation: http://127.0.0.1:1/\r\n"
                f"content-length: {len(text)}\r\n\r\n"
                f"{text}".encode()
            )
            writer.close()
            return
        link = Link(reader, writer)
        await link.upgrade(headers)
        registering = asyncio.ensure_future(self._register(link))
        await link.read()
        await registering

    async def _register(self, link: Link) -> None:
        opened = {"sid": "s", "upgrades": [], "pingInterval": 25000, "pingTimeout": 60000}
        link.say("0" + json.dumps({**opened, "maxPayload": 100_000}))
        if await link.frame() != "40":
            return
        link.say('40{"sid":"x"}')
        text = await link.frame()
        assert text.startswith('42["team-cluster-daemon:register",'), text
        link.registration = json.loads(text[2:])[1]
        link.emit("team-cluster-daemon:registered", {"teamClusterId": "c-1"})
        self.links.put_nowait(link)


async def _head(reader: asyncio.StreamReader) -> Tuple[str, Dict[str, str]]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    line, *rows = head.strip().split("\r\n")
    pairs = (row.split(":", 1) for row in rows)
    return line, {name.lower(): value.strip() for name, value in pairs}


def _filler(blobs: List[Any]) -> Any:
    def fill(table: Dict[str, Any]) -> Any:
        return blobs[table["num"]] if table.get("_placeholder") else table

    return fill
