"""The codec for all that crosses: orjson where it is installed, else the standard library."""

from __future__ import annotations

import importlib
import json
from typing import Any, Callable, Tuple

from .errors import error_of

_Loads = Callable[[bytes], Any]
_Dumps = Callable[[Any], bytes]


def _standard(value: Any) -> bytes:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise error_of("ARGUMENT_INVALID", f"not JSON: {error}") from error


def _pick() -> Tuple[_Loads, _Dumps]:
    try:
        orjson = importlib.import_module("orjson")
    except ImportError:
        return json.loads, _standard
    # A payload that encodes with orjson must encode without it too.
    strict = (
        orjson.OPT_PASSTHROUGH_DATACLASS
        | orjson.OPT_PASSTHROUGH_DATETIME
        | orjson.OPT_PASSTHROUGH_SUBCLASS
    )
    dumps: Callable[..., bytes] = orjson.dumps

    def fast(value: Any) -> bytes:
        try:
            return dumps(value, None, strict)
        except TypeError:
            pass
        # Integers beyond 64 bits, keys that are not text, subclasses of str and dict.
        return _standard(value)

    return orjson.loads, fast


loads, encode = _pick()
"""`encode` writes a value as JSON; what JSON cannot hold is `ARGUMENT_INVALID`."""
