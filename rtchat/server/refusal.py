"""What the server itself answers: a problem (RFC 9457), where a request does not reach the app.

Owns: the reasons, their words and their bytes. Must never: say more than the app would, or leave
out a header that the app's answers have.
"""

from http import HTTPStatus
from typing import Any, NamedTuple

import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from rtchat.errors import ERRORS, Code
from rtchat.headers import Headers

RETRY_AFTER_S = 5


class Refusal(NamedTuple):
    """Why a request is not handed on."""

    status: int
    code: Code
    detail: str
    headers: tuple[tuple[bytes, bytes], ...] = ()
    limit: str = ""  # the setting whose limit it tells of


MALFORMED = Refusal(400, Code.BAD_MESSAGE, "This is not HTTP/1.1.")
BAD_HOST = Refusal(400, Code.BAD_MESSAGE, "A request names one host.")
TOO_MANY_CHUNKS = Refusal(413, Code.TOO_LARGE, "The body comes in too many chunks.")
URL_TOO_LONG = Refusal(414, Code.TOO_LARGE, "The request's path is too long.")
HEAD_UNFIT = Refusal(431, Code.TOO_LARGE, "The request's head is too large.")  # a fixed bound
HEAD_TOO_LARGE = HEAD_UNFIT._replace(limit="header_max_bytes")
UPGRADE_TOO_EARLY = Refusal(400, Code.BAD_MESSAGE, "An earlier answer is under way.")
NO_ROOM = Refusal(503, Code.OVERLOADED, "No more connections here.")
BAD_HANDSHAKE = Refusal(400, Code.BAD_MESSAGE, "This is no WebSocket handshake.")
FAILED = Refusal(500, Code.INTERNAL, "The handshake failed.")
BAD_VERSION = Refusal(  # RFC 6455 §4.4, RFC 9110 §15.5.22
    426, Code.BAD_MESSAGE, "WebSocket's version is 13.",
    ((b"upgrade", b"websocket"), (b"connection", b"upgrade"), (b"sec-websocket-version", b"13")),
)  # fmt: skip


def answer(refusal: Refusal, common: Headers) -> bytes:
    """The whole answer, the connection's last."""
    problem: dict[str, Any] = {
        "type": f"urn:rtchat:error:{refusal.code.value}",
        "title": HTTPStatus(refusal.status).phrase,
        "status": refusal.status,
        "detail": refusal.detail,
        "code": refusal.code.value,
    }
    headers = [
        (b"content-type", b"application/problem+json"),
        *common,
        *refusal.headers,
        (b"connection", b"close"),
    ]
    if ERRORS[refusal.code].retry:
        problem["retryAfter"] = RETRY_AFTER_S
        headers.append((b"retry-after", str(RETRY_AFTER_S).encode()))
    body = orjson.dumps(problem)
    headers.append((b"content-length", str(len(body)).encode()))
    lines = b"".join(b"%b: %b\r\n" % header for header in headers)
    return b"".join((STATUS_LINE[refusal.status], lines, b"\r\n", body))
