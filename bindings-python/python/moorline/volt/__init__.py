"""A VOLT cluster daemon on asyncio, with the nouns of the VOLT daemon client."""

from __future__ import annotations

from .._generated import CommandOptions, DaemonClientErrorCode, DaemonOptions, DaemonSocketEvent
from .._generated import ProgressStageType, ResponseType, SessionKind, TerminalTarget
from .._generated import TunnelSessionStatus
from .client import ClusterDaemonClient
from .enrollment import Enrollment, EnrollmentClient
from .envelope import CommandContext, Envelope, Rejection
from .errors import DaemonClientError

__all__ = [
    "ClusterDaemonClient",
    "CommandContext",
    "CommandOptions",
    "DaemonClientError",
    "DaemonClientErrorCode",
    "DaemonOptions",
    "DaemonSocketEvent",
    "Enrollment",
    "EnrollmentClient",
    "Envelope",
    "ProgressStageType",
    "Rejection",
    "ResponseType",
    "SessionKind",
    "TerminalTarget",
    "TunnelSessionStatus",
]
