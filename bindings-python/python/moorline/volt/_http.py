"""One request over HTTP, by the standard library."""

from __future__ import annotations

import urllib.error
import urllib.request
from typing import Any, Optional, Tuple

__all__ = ["post"]


def post(url: str, body: bytes) -> Tuple[int, bytes]:
    """Posts JSON and returns status and body of the answer, whatever the status."""
    headers = {"content-type": "application/json"}
    opener = urllib.request.build_opener(_Redirects)
    try:
        request = urllib.request.Request(url, body, headers, method="POST")
        with opener.open(request) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, answer.read()


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Sends the body again where the server asks for that, and nothing in clear that was encrypted."""

    def http_error_308(self, *answer: Any) -> Any:
        return self.http_error_302(*answer)

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Optional[urllib.request.Request]:
        if req.type == "https" and not newurl.lower().startswith("https:"):
            raise urllib.error.URLError(f"HTTP {code} leads to {newurl}, unencrypted")
        if code in (307, 308):
            return urllib.request.Request(newurl, req.data, req.headers, method=req.get_method())
        return super().redirect_request(req, fp, code, msg, headers, newurl)
