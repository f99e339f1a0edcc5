"""The codec for all that crosses. What is written and read is the same with orjson and without.

JSON has no NaN and no infinities, so they are refused; surrogates that stand alone become U+FFFD.
"""

from __future__ import annotations

import importlib
import json
import marshal
from typing import Any, Callable, Tuple

from ._text import said, sound
from .errors import error_of

_Loads = Callable[[bytes], Any]
_Dumps = Callable[[Any], bytes]

_write = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_DIGITS_ALONE = bytes(ord("0") if chr(byte).isdigit() else ord(" ") for byte in range(128)).ljust(256)
_LONG_NUMBER = b"0" * 19
"""So many digits may be an integer beyond 64 bits, once all digits are made this one."""


def _standard(value: Any) -> bytes:
    try:
        text = _write(value)
    except Exception as error:
        # The values' own classes may raise anything.
        raise error_of("ARGUMENT_INVALID", f"not JSON: {said(error)}") from error
    try:
        return text.encode()
    except UnicodeEncodeError:
        return sound(text).encode()


def _pick() -> Tuple[_Loads, _Dumps]:
    try:
        orjson = importlib.import_module("orjson")
    except ImportError:
        return json.loads, _standard
    strict = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
    strict |= orjson.OPT_PASSTHROUGH_SUBCLASS
    read: _Loads = orjson.loads
    dumps: Callable[..., bytes] = orjson.dumps

    def fast_read(text: bytes) -> Any:
        # It makes floats of integers beyond 64 bits.
        if _LONG_NUMBER in text.translate(_DIGITS_ALONE):
            return json.loads(text)
        return read(text)

    def fast(value: Any) -> bytes:
        try:
            # It writes values of more classes than the standard library does, such as UUIDs and
            # enumerations. Marshal takes the plain classes alone, and is quick.
            marshal.dumps(value)
            text = dumps(value, None, strict)
        except (TypeError, ValueError):
            # Among them integers beyond 64 bits, keys that are not text, subclasses of str and dict.
            return _standard(value)
        # A null may be a number that JSON has no form for.
        return _standard(value) if b"null" in text else text

    return fast_read, fast


loads, encode = _pick()
"""`encode` writes a value as JSON; what JSON cannot hold is `ARGUMENT_INVALID`."""
