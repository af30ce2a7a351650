"""The errors of a route as OpenAPI's responses, and the headers that answers carry.

Owns: which statuses a code comes with, and that routes with the same errors share one response.
Must never: name a code that the route's `codes` do not.
"""

import http
from typing import Any

import msgspec

from rtchat.api.http import PROBLEM as PROBLEM_BYTES, problem_of
from rtchat.api.router import Route
from rtchat.api.schemas import REF
from rtchat.errors import ERRORS, ChatError, Code

PROBLEM = PROBLEM_BYTES.decode()

HEADERS: dict[str, Any] = {
    "X-Request-Id": {
        "description": "Under which the request stands in the server's log.",
        "schema": {"type": "string"},
    },
    "Location": {"description": "Where to go.", "schema": {"type": "string"}},
    "Set-Cookie": {
        "description": "A cookie for browsers: HttpOnly, SameSite=Lax; over https Secure.",
        "schema": {"type": "string"},
    },
    "ETag": {
        "description": "For `If-None-Match`: 304 where it is still so.",
        "schema": {"type": "string"},
    },
    "Upgrade": {"description": "What to ask for.", "schema": {"type": "string"}},
    "Retry-After": {
        "description": "Seconds to wait before trying again.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "WWW-Authenticate": {
        "description": "A bearer token is wanted (RFC 6750).",
        "schema": {"type": "string"},
    },
}


def header(name: str) -> dict[str, str]:
    """A reference to one of `HEADERS`."""
    return {"$ref": f"#/components/headers/{name}"}


def statuses_of(code: Code) -> list[int]:
    """The statuses with which any route answers this code."""
    if code is Code.TOO_LARGE:  # a body, also one that nobody asked for; a path; a head
        return [413, 414, 431]
    return [ERRORS[code].status]


class Problems:
    """The responses that routes refer to; `of` adds those of one more route."""

    def __init__(self) -> None:
        self.responses: dict[str, Any] = {}

    def of(self, route: Route) -> dict[str, Any]:
        """What a route answers besides its `answers`: a reference for each status."""
        by_status: dict[int, set[Code]] = {}
        for code in route.codes:
            for status in statuses_of(code):
                by_status.setdefault(status, set()).add(code)
        return {
            str(status): {"$ref": f"#/components/responses/{self._named(status, codes)}"}
            for status, codes in sorted(by_status.items())
            if status not in route.answers
        }

    def _named(self, status: int, codes: set[Code]) -> str:
        names = sorted(code.value for code in codes)
        name = f"{status}_{'_'.join(names)}"
        if name not in self.responses:
            self.responses[name] = _response(status, names)
        return name


def _response(status: int, names: list[str]) -> dict[str, Any]:
    headers = {"X-Request-Id": header("X-Request-Id")}
    if any(ERRORS[Code(name)].retry for name in names):
        headers["Retry-After"] = header("Retry-After")
    if status == 401:
        headers["WWW-Authenticate"] = header("WWW-Authenticate")
    only = {"properties": {"status": {"const": status}, "code": {"enum": names}}}
    return {
        "description": "\n".join(f"- `{name}`: {ERRORS[Code(name)].meaning}" for name in names),
        "headers": headers,
        "content": {
            PROBLEM: {
                "schema": {"allOf": [{"$ref": REF.format(name="Problem")}, only]},
                "examples": {name: {"value": _example(Code(name), status)} for name in names},
            }
        },
    }


def _example(code: Code, status: int) -> Any:
    """An error as it is answered, by what answers it."""
    after_ms = 2000 if ERRORS[code].retry else None
    _, _, body = problem_of(ChatError(code, after_ms=after_ms))
    problem = msgspec.json.decode(body)
    if status != problem["status"]:  # the server's own refusals have titles of HTTP
        problem |= {"status": status, "title": http.HTTPStatus(status).phrase}
    return problem
