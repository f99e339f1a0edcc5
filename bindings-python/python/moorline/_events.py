"""Reads what a drain brings; what one payload holds must not cost the others.

The core passes payloads through as they are, and Python's parsers refuse some that are JSON: nested
too deeply, with a lone surrogate, with a number too large. Then the events are taken apart and read
one by one.
"""

from __future__ import annotations

import json
import re
from typing import Any, Callable, Iterator, List, cast

from ._generated import NativeEvent
from ._json import loads
from .errors import error_of

_Unreadable = Callable[[str, int, Exception], None]

_LARGEST_BATCH = 64 * 1024
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[][{},]', re.DOTALL)
_HEAD = re.compile(rb'\{"event":"(\w+)","(?:work|call)":(\d+)')


def read(batch: bytes, unreadable: _Unreadable) -> List[NativeEvent]:
    """Parses a batch; `unreadable` is told kind and number of each event that cannot be read."""
    try:
        return cast(List[NativeEvent], loads(batch))
    except (ValueError, RecursionError):
        pass
    events: List[NativeEvent] = []
    for text in _split(batch):
        try:
            # The standard library's parser is the more lenient one.
            events.append(json.loads(text))
        except (ValueError, RecursionError) as error:
            head = _HEAD.match(text)
            if head is not None:
                unreadable(head[1].decode(), int(head[2]), error)
    return events


def read_value(text: bytes) -> Any:
    """Parses the result of one call; what cannot be read is `PEER_PROTOCOL`."""
    try:
        return loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        # The standard library's parser is the more lenient one.
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise error_of("PEER_PROTOCOL", f"the result: {error}") from error


def _split(batch: bytes) -> Iterator[bytes]:
    if len(batch) > _LARGEST_BATCH:
        # Such a drain holds one event alone.
        yield batch[1:-1]
        return
    depth, start = 0, 1
    for token in _TOKEN.finditer(batch):
        mark = token[0]
        if mark in b"[{":
            depth += 1
        elif mark in b"]}":
            depth -= 1
        elif mark == b"," and depth == 1:
            yield batch[start : token.start()]
            start = token.end()
    yield batch[start:-1]
