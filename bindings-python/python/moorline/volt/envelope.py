"""What handlers get besides the payload, and what they may give besides data."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional, cast

from .._bench import Call, Item, Registered, is_coroutine
from .._streams import Buffer, Stream
from ..errors import MoorlineError

__all__ = ["Buffer", "CommandContext", "Envelope", "HandlerEntry", "Rejection", "Stream"]


@dataclass(frozen=True)
class Envelope:
    """An answer with more than data. Which part is sent depends on what the control plane asked for.

    A `buffer` takes the body, a `stream` the stream, anything else the data.
    """

    data: Any = None
    """Any JSON, byte strings included; `None` sends none."""
    status: Optional[int] = None
    """The status; 200 if none. Whatever it is, the command counts as done: see `Rejection`."""
    headers: Optional[Mapping[str, str]] = None
    """Header fields."""
    body: Optional[Buffer] = None
    """The answer to a command that asks for a buffer."""
    stream: Optional[Stream] = None
    """The answer to a command that asks for a stream. It is read no faster than parts leave."""

    def head(self) -> Dict[str, Any]:
        """Returns what precedes the contents."""
        given = {"status": self.status, "headers": self.headers}
        return {name: value for name, value in given.items() if value is not None}


class Rejection(Exception):
    """Raised by a handler to reject its command with a status and a message of its own."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message

    def __str__(self) -> str:
        return self.message


class CommandContext:
    """What a handler knows about its command besides the payload."""

    __slots__ = ("_item", "command", "request_id", "response_type")

    def __init__(self, item: Item, meta: Mapping[str, Any]) -> None:
        self.command: str = item.key
        """The command's name."""
        self.request_id: str = meta["request_id"]
        """The control plane's id of this request."""
        self.response_type: str = meta["response_type"]
        """What it asks for: `json`, `buffer` or `stream`."""
        self._item = item

    @property
    def cancelled(self) -> bool:
        """Whether the answer is no longer wanted: the connection that asked is gone.

        A coroutine is cancelled besides. A plain function has to look.
        """
        return self._item.reason is not None

    @property
    def reason(self) -> Optional[MoorlineError]:
        """Why the answer is no longer wanted."""
        return self._item.reason


class HandlerEntry(Registered):
    """A handler, and how what it returns is to be read."""

    __slots__ = ("is_object",)

    def __init__(self, handler: Any) -> None:
        method: Any = getattr(handler, "handle", None)
        self.is_object = method is not None and not inspect.isroutine(handler)
        function: Any = method if self.is_object else handler
        awaited = is_coroutine(function)
        call: Call = function if _takes_context(function) else _without_context(function)
        if inspect.isasyncgenfunction(function):
            # Calling it only makes the iterator: no reason to go to a thread.
            call, awaited = _at_once(call), True
        super().__init__(call, {}, awaited)

    def envelope(self, value: Any) -> Envelope:
        """Reads what the handler returned."""
        if isinstance(value, Envelope):
            return value
        if hasattr(value, "__anext__") or hasattr(value, "__next__"):
            return Envelope(stream=value)
        if not self.is_object or value is None:
            return Envelope(data=value)
        if isinstance(value, dict):
            return Envelope(**cast(Any, value))
        raise TypeError("handle must return an Envelope, its fields as a dict, or None")


def _takes_context(call: Any) -> bool:
    try:
        parameters = inspect.signature(call).parameters.values()
    except (TypeError, ValueError):
        return True
    if any(one.kind is one.VAR_POSITIONAL for one in parameters):
        return True
    return sum(one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD) for one in parameters) > 1


def _without_context(call: Any) -> Call:
    def handler(payload: Any, context: Any) -> Any:
        return call(payload)

    return handler


def _at_once(call: Any) -> Call:
    async def handler(payload: Any, context: Any) -> Any:
        return call(payload, context)

    return handler
