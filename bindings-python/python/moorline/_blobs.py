"""Byte strings in messages: out of JSON into a list beside it, and back.

Inside the text each stands as a placeholder that names its place in the list.
"""

from __future__ import annotations

import base64
from typing import Any, List, Tuple, cast

from ._json import encode
from .errors import MoorlineError, error_of

__all__ = ["Bytes", "encode_with_blobs", "payload_of", "text_of_bytes", "unpack"]

Bytes = (bytes, bytearray, memoryview)
_MARK = "_placeholder"


def text_of_bytes(value: Any) -> str:
    """Writes bytes as they cross; anything else is a `TypeError`."""
    return base64.b64encode(value).decode("ascii")


def encode_with_blobs(name: str, number: int, body: Any) -> Tuple[bytes, List[str]]:
    """Writes a command; byte strings anywhere in its body cross beside it."""
    try:
        return encode([name, number, body]), []
    except MoorlineError:
        # Only what JSON refused is searched for bytes: most messages hold none.
        blobs: List[str] = []
        try:
            packed = _pack(body, blobs)
        except RecursionError as error:
            raise error_of("ARGUMENT_INVALID", f"not JSON: {error}") from error
        if not blobs:
            raise
    return encode([name, number, {**packed, "blobs": blobs}]), blobs


def _pack(value: Any, blobs: List[str]) -> Any:
    if isinstance(value, dict):
        table = cast(Any, value)
        return {key: _pack(inner, blobs) for key, inner in table.items()}
    if isinstance(value, (list, tuple)):
        row = cast(Any, value)
        return [_pack(inner, blobs) for inner in row]
    if isinstance(value, Bytes):
        blobs.append(text_of_bytes(value))
        return {_MARK: True, "num": len(blobs) - 1}
    return value


def unpack(value: Any, texts: List[str]) -> Any:
    """Puts the byte strings that crossed beside a value into their places."""
    return _fill(value, [base64.b64decode(text) for text in texts])


def payload_of(event: Any) -> Any:
    """Returns the payload of an event with its byte strings."""
    payload = event.get("payload")
    blobs = event.get("blobs")
    return payload if blobs is None else unpack(payload, blobs)


def _fill(value: Any, blobs: List[bytes]) -> Any:
    if isinstance(value, dict):
        table = cast(Any, value)
        number = table.get("num")
        if table.get(_MARK) is True and isinstance(number, int) and number < len(blobs):
            return blobs[number]
        return {key: _fill(inner, blobs) for key, inner in table.items()}
    if isinstance(value, list):
        row = cast(Any, value)
        return [_fill(inner, blobs) for inner in row]
    return value
