"""Errors with the core's stable codes; one class per party at fault."""

from __future__ import annotations

from typing import Mapping, Optional, Type

from ._generated import ERROR_CODES, ErrorCode, Fault

__all__ = [
    "CallerError",
    "DeadlineError",
    "HandlerError",
    "InternalError",
    "MoorlineError",
    "PeerError",
    "TransportError",
    "error_of",
]


class MoorlineError(Exception):
    """What went wrong, with a code that stays the same across releases and languages."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(code, message)
        self.code: ErrorCode = code
        self.message = message
        self.status: Optional[int] = None
        """The status that the other side gave its refusal, such as 404, if it gave one."""

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    @property
    def number(self) -> int:
        """The code as a number."""
        return ERROR_CODES[self.code].number

    @property
    def fault(self) -> Fault:
        """Whose fault it is."""
        return ERROR_CODES[self.code].fault

    @property
    def retryable(self) -> bool:
        """Whether the same call may succeed later."""
        return ERROR_CODES[self.code].retryable


class CallerError(MoorlineError):
    """The application misused the API or its options."""


class PeerError(MoorlineError):
    """The other side broke the protocol or refused."""


class TransportError(MoorlineError):
    """The connection or its establishment failed."""


class DeadlineError(MoorlineError):
    """A deadline passed, or the caller cancelled."""


class HandlerError(MoorlineError):
    """User code that handled a work item failed."""


class InternalError(MoorlineError):
    """A defect of Moorline itself."""


_CLASSES: Mapping[Fault, Type[MoorlineError]] = {
    "caller": CallerError,
    "peer": PeerError,
    "transport": TransportError,
    "deadline": DeadlineError,
    "handler": HandlerError,
    "internal": InternalError,
}


def error_of(code: ErrorCode, message: str) -> MoorlineError:
    """Makes the exception for a code."""
    return _CLASSES[ERROR_CODES[code].fault](code, message)
