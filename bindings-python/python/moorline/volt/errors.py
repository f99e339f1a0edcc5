"""The daemon's errors, in the words of the VOLT daemon client."""

from __future__ import annotations

from typing import Optional

from .._generated import VOLT_CODES, DaemonClientErrorCode
from ..errors import MoorlineError

__all__ = ["DaemonClientError", "client_error"]


class DaemonClientError(Exception):
    """What went wrong; `__cause__` is the `MoorlineError`, or what the handler raised."""

    def __init__(
        self, code: DaemonClientErrorCode, message: str, status: Optional[int] = None
    ) -> None:
        super().__init__(code, message)
        self.code: DaemonClientErrorCode = code
        self.message = message
        self.status: Optional[int] = status
        """The status with which the control plane rejected a command, if it did and gave one."""

    def __str__(self) -> str:
        return self.message


def client_error(
    cause: MoorlineError, code: Optional[DaemonClientErrorCode] = None
) -> DaemonClientError:
    """Makes the daemon's error for one of the core's; `code` overrides the usual one."""
    error = DaemonClientError(code or VOLT_CODES[cause.code], cause.message, cause.status)
    error.__cause__ = cause
    return error
