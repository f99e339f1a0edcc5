"""Streamed results: where their chunks come from."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any, AsyncIterable, AsyncIterator, Iterable, Union

from ._blobs import Bytes

__all__ = ["Buffer", "Stream", "chunks", "close"]

Buffer = Union[bytes, bytearray, memoryview]
"""Bytes of any kind."""

Stream = Union[AsyncIterable[Buffer], Iterable[Buffer]]
"""Parts of a streamed answer; plain iterators are read on a thread and may block."""


async def chunks(stream: Any) -> AsyncIterator[Any]:
    """Reads a stream of either kind."""
    if isinstance(stream, (str, *Bytes)):
        raise TypeError("a stream is an iterable of bytes; bytes alone are a body")
    if hasattr(stream, "__aiter__"):
        async for chunk in stream:
            yield chunk
        return
    iterator = iter(stream)
    end = object()
    loop = asyncio.get_running_loop()
    while (chunk := await loop.run_in_executor(None, next, iterator, end)) is not end:
        yield chunk


async def close(stream: Any) -> None:
    """Closes a stream that is not read to its end."""
    close = getattr(stream, "aclose", None) or getattr(stream, "close", None)
    if close is None:
        return
    try:
        closed = close()
        if inspect.isawaitable(closed):
            await closed
    except Exception as error:
        # A generator that still runs on its thread cannot be closed; it is let go of.
        loop = asyncio.get_running_loop()
        if not isinstance(error, ValueError):
            loop.call_exception_handler({"message": "closing a stream failed", "exception": error})
