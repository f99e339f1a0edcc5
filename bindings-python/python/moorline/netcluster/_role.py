"""What providers and consumers share: listeners, and messages as they cross."""

from __future__ import annotations

import base64
from typing import Any, Dict, List, Literal, Mapping, Optional, Union, cast

from .._blobs import Bytes, text_of_bytes
from .._caller import NOT_FOR_CALLERS
from .._endpoint import Endpoint
from .._generated import ReceivedEvent
from .._listeners import Listener, Listeners
from .._text import said
from ..errors import error_of

__all__ = ["NOT_FOR_PEERS", "Content", "Message", "Outcome", "Params", "Role", "listed"]

Content = Union[str, bytes, bytearray, memoryview]
"""What can be sent: text, or bytes."""

Message = Union[str, bytes]
"""What arrives."""

Outcome = Literal["sent", "queued", "dropped"]
"""What became of a message: handed to the network, waiting behind others, without room."""

Params = Mapping[str, Union[str, int, bool]]
"""Parameters; numbers and booleans are written as JavaScript writes them."""

NOT_FOR_PEERS = NOT_FOR_CALLERS | {"peer_left"}
"""The kinds of events that neither role hears."""


class Role(Endpoint):
    """A provider or a consumer."""

    _dialect = "netcluster"
    _hears_content = True

    def __init__(self, options: Mapping[str, Any], bounds: str) -> None:
        super().__init__(options)
        limits = cast(Mapping[str, Any], options.get(bounds, {}) if bounds else options)
        self._waits = limits.get("on_backlog") == "block"
        self._may_send_reserved = bool(options.get("allow_reserved"))
        self._listeners = Listeners()
        self._open_listeners: List[Listener] = []
        self._message_listeners: List[Listener] = []

    def _body(self, message: Any) -> Dict[str, Any]:
        """Writes the body of a command that sends; raises for what cannot be sent."""
        if isinstance(message, str):
            body = {"text": message}
        elif isinstance(message, Bytes):
            message = bytes(cast(Any, message))
            body = {"bytes": text_of_bytes(message)}
        else:
            raise error_of("ARGUMENT_INVALID", f"a message is str or bytes, not {said(message)}")
        if not self._may_send_reserved and self._is_kept(message):
            what = "the protocol keeps this message for itself: see allow_reserved"
            raise error_of("ARGUMENT_INVALID", what)
        return body

    def _is_kept(self, message: Message) -> bool:
        """Whether the other side would take a message for one of the protocol."""
        raise NotImplementedError

    async def _deliver(self, body: Dict[str, Any]) -> Outcome:
        return cast(Outcome, await self._request("send", body))

    def _give_up(self, call: int) -> None:
        # What was handed over is sent all the same.
        self._calls.pop(call, None)

    @staticmethod
    def _content(event: ReceivedEvent) -> Message:
        text = event.get("text")
        return base64.b64decode(event.get("bytes", "")) if text is None else text


def listed(params: Optional[Params]) -> List[Dict[str, str]]:
    """Writes parameters as the core's options have them."""
    return [{"name": name, "value": _written(value)} for name, value in (params or {}).items()]


def _written(value: Union[str, int, bool]) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
