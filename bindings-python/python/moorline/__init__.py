"""Moorline for Python: workers, dispatchers and an in-process hub on asyncio."""

from __future__ import annotations

from ._endpoint import Event
from ._generated import (
    ERROR_CODES,
    CallOptions,
    DispatcherOptions,
    ErrorCode,
    ErrorInfo,
    Fault,
    HubOptions,
    WorkerOptions,
)
from .dispatcher import Dispatcher
from .errors import (
    CallerError,
    DeadlineError,
    HandlerError,
    InternalError,
    MoorlineError,
    PeerError,
    TransportError,
)
from .hub import Hub
from .worker import Context, Handler, Worker

__all__ = [
    "ERROR_CODES",
    "CallOptions",
    "CallerError",
    "Context",
    "DeadlineError",
    "Dispatcher",
    "DispatcherOptions",
    "ErrorCode",
    "ErrorInfo",
    "Event",
    "Fault",
    "Handler",
    "HandlerError",
    "Hub",
    "HubOptions",
    "InternalError",
    "MoorlineError",
    "PeerError",
    "TransportError",
    "Worker",
    "WorkerOptions",
]
