"""A native handle that records commands and delivers the events that a test scripts."""

from __future__ import annotations

import itertools
import json
import socket
from typing import Any, Callable, Dict, List, Optional, Tuple

from moorline import MoorlineError
from moorline.errors import error_of


class FakeNative:
    """Stands in for `Native`: one turn of commands in, one batch of events out."""

    opened: List["FakeNative"] = []

    def __init__(self, dialect: str, role: str, options: str) -> None:
        self.opened_with = (dialect, role, json.loads(options))
        self.turns: List[List[List[Any]]] = []
        self.batches: List[Tuple[List[Dict[str, Any]], bool]] = []
        self.refuse_with: Optional[MoorlineError] = None
        self.refuse: Callable[[List[List[Any]]], bool] = lambda turn: False
        self.closed = False
        self._near, self._far = socket.socketpair()
        self._near.setblocking(False)
        FakeNative.opened.append(self)

    @property
    def commands(self) -> List[List[Any]]:
        return [command for turn in self.turns for command in turn]

    def deliver(self, *events: Dict[str, Any], more: bool = False) -> None:
        """Queues a batch; `more` announces another one that rings no doorbell."""
        ring = not (self.batches and self.batches[-1][1])
        self.batches.append((list(events), more))
        if ring:
            self._far.send(b"!")

    def submit(self, batch: bytes) -> None:
        if self.refuse_with is not None:
            raise self.refuse_with
        turn = json.loads(batch)
        if self.refuse(turn):
            raise error_of("ARGUMENT_INVALID", "as scripted")
        self.turns.append(turn)

    def drain(self) -> Tuple[List[int], List[bytes], bytes, bool, bool]:
        try:
            self._near.recv(64)
        except BlockingIOError:
            pass
        events, more = self.batches.pop(0) if self.batches else ([], False)
        ended = any(event["event"] == "ended" for event in events)
        plain = list(itertools.takewhile(is_plain, events))
        calls = [event.get("call", 0) for event in plain]
        texts = [json.dumps(event.get("value", event.get("payload"))).encode() for event in plain]
        others = json.dumps(events[len(plain) :], separators=(",", ":")).encode()
        return calls, texts, others if others != b"[]" else b"", more, ended

    def fileno(self) -> int:
        return self._near.fileno()

    def close(self) -> None:
        self.closed = True

    def dispose(self) -> None:
        self._near.close()
        self._far.close()


def is_plain(event: Dict[str, Any]) -> bool:
    """Whether it comes as a number and a text: a result or a client's message, JSON alone."""
    if event["event"] == "message":
        return "payload" in event and "blobs" not in event
    return event["event"] == "call_done" and event.keys() <= {"event", "call", "value"}


def error(code: str, message: str = "because") -> Dict[str, Any]:
    return {"code": code, "message": message}


def ready() -> Dict[str, Any]:
    return {"event": "ready", "id": "bcn-1", "transport": "websocket"}


def work(number: int, payload: Any = None, key: str = "Echo/Say") -> Dict[str, Any]:
    return {
        "event": "work",
        "work": number,
        "key": key,
        "payload": payload,
        "timeout_ms": 1000,
        "meta": {},
    }


def withdrawn(number: int, code: str = "WORK_EXPIRED") -> Dict[str, Any]:
    return {"event": "work_withdrawn", "work": number, "why": "expired", "error": error(code)}


def ended(code: Optional[str] = None) -> Dict[str, Any]:
    return {"event": "ended", "error": error(code) if code else None}
