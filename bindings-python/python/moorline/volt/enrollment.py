"""Enrollment by itself, for programs that keep the password in their own way."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Dict, NamedTuple, Optional, Tuple, cast

from .._generated import DaemonClientErrorCode
from .errors import DaemonClientError

__all__ = ["Enrollment", "EnrollmentClient"]


class Enrollment(NamedTuple):
    """What an enrollment returned."""

    daemon_password: str
    team_cluster: Dict[str, Any]


class EnrollmentClient:
    """Turns a one-time token into a password. A `ClusterDaemonClient` with a token needs none."""

    def __init__(self, url: str, *, enabled: bool = True) -> None:
        self.url = url
        """The whole URL of the enrollment."""
        self.enabled = enabled
        """Whether the application wants it."""

    async def enroll(self, token: str, version: Optional[str] = None) -> Enrollment:
        """Enrolls once, without retries or a time limit; raises `ENROLLMENT_FAILED`.

        The exchange runs on a thread; certificates and proxies are those of `urllib`.
        """
        asked = {"enrollmentToken": token}
        if version is not None:
            asked["installedVersion"] = version
        loop = asyncio.get_running_loop()
        status, text = await loop.run_in_executor(None, _post, self.url, json.dumps(asked).encode())
        try:
            body: Any = json.loads(text)
        except ValueError as error:
            raise _failed(f"the answer is not JSON (HTTP {status})", status, error) from error
        table = cast(Dict[str, Any], body if isinstance(body, dict) else {})
        if not 200 <= status < 300:
            told = " ".join(str(table[part]) for part in ("code", "message") if table.get(part))
            raise _failed(f"HTTP {status}" + (f": {told}" if told else ""), status)
        data: Any = table.get("data")
        if not isinstance(data, dict):
            raise _failed("the answer has no data", status)
        fields = cast(Dict[str, Any], data)
        password, cluster = fields.get("daemonPassword"), fields.get("teamCluster")
        if not isinstance(password, str) or not isinstance(cluster, dict):
            raise _failed("the answer lacks daemonPassword or teamCluster", status)
        return Enrollment(password, cast(Dict[str, Any], cluster))


def _post(url: str, body: bytes) -> Tuple[int, bytes]:
    # Few programs enroll like this; the others need not wait for its import.
    from ._http import post

    try:
        return post(url, body)
    except (OSError, ValueError) as error:
        raise _failed(f"{url} could not be reached: {error}", None, error) from error


def _failed(
    why: str, status: Optional[int], cause: Optional[Exception] = None
) -> DaemonClientError:
    text = f"the enrollment failed: {why}"
    error = DaemonClientError(DaemonClientErrorCode.EnrollmentFailed, text, status)
    error.__cause__ = cause
    return error
