"""The two tables of what can go wrong: error codes (contract §4) and WebSocket close codes.

Owns: which codes exist, their HTTP status, and whether the same request may succeed later.
Must never: hold wording that tells of SQL, hosts or versions; messages here reach clients.

`ChatError` is for operating errors: what a client did, or what the system cannot do now. A mistake
of the programmer is an assertion. Foreign exceptions (asyncpg's, redis') are translated where they
are raised and never pass `chat`.
"""

import random
from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Code(StrEnum):
    """Every error code, on REST and WebSocket alike."""

    BAD_JSON = "bad_json"
    BAD_MESSAGE = "bad_message"
    UNKNOWN_TYPE = "unknown_type"
    UNAUTHORIZED = "unauthorized"
    TOKEN_EXPIRED = "token_expired"  # noqa: S105  a code, not a token
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    CONFLICT = "conflict"
    NONCE_CONFLICT = "nonce_conflict"
    TOO_LARGE = "too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    BAD_FIELD = "bad_field"
    TOO_LONG = "too_long"
    UNSUPPORTED = "unsupported"
    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    UNAVAILABLE = "unavailable"
    DRAINING = "draining"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """What a code means: its HTTP status, whether a retry may help, and the problem's title."""

    status: int
    retry: bool
    title: str


ERRORS: dict[Code, ErrorInfo] = {
    Code.BAD_JSON: ErrorInfo(400, False, "Not valid JSON"),
    Code.BAD_MESSAGE: ErrorInfo(400, False, "Not a JSON object of the expected form"),
    Code.UNKNOWN_TYPE: ErrorInfo(400, False, "Unknown frame type"),
    Code.UNAUTHORIZED: ErrorInfo(401, False, "Not signed in"),
    Code.TOKEN_EXPIRED: ErrorInfo(401, False, "Access token expired"),
    Code.FORBIDDEN: ErrorInfo(403, False, "Not allowed"),
    Code.NOT_FOUND: ErrorInfo(404, False, "Not found"),
    Code.METHOD_NOT_ALLOWED: ErrorInfo(405, False, "Method not allowed"),
    Code.CONFLICT: ErrorInfo(409, False, "Conflict"),
    Code.NONCE_CONFLICT: ErrorInfo(409, False, "Nonce already used for other content"),
    Code.TOO_LARGE: ErrorInfo(413, False, "Too large"),
    Code.UNSUPPORTED_MEDIA_TYPE: ErrorInfo(415, False, "Unsupported media type"),
    Code.BAD_FIELD: ErrorInfo(422, False, "Invalid field"),
    Code.TOO_LONG: ErrorInfo(422, False, "Field too long"),
    Code.UNSUPPORTED: ErrorInfo(422, False, "Not supported here"),
    Code.RATE_LIMITED: ErrorInfo(429, True, "Rate limit reached"),
    Code.OVERLOADED: ErrorInfo(503, True, "Overloaded"),
    Code.UNAVAILABLE: ErrorInfo(503, True, "Temporarily unavailable"),
    Code.DRAINING: ErrorInfo(503, True, "Shutting down"),
    Code.INTERNAL: ErrorInfo(500, True, "Internal error"),
}


class Close(IntEnum):
    """WebSocket close codes. The hundreds tell a client what to do (contract §4).

    40xx: do not come back as you are. 41xx: come back after a back-off. 42xx: come back now, with
    jitter. 1xxx as RFC 6455 §7.4.1 has them.
    """

    UNSUPPORTED_DATA = 1003  # a binary frame
    NOT_AUTHENTICATED = 4001  # no or a bad `auth` within the deadline
    FORBIDDEN = 4003
    SESSION_REVOKED = 4004  # logged out, password changed, refresh token reused
    FLOOD = 4008  # errors faster than the limit
    PROTOCOL_ERROR = 4009
    OVER_CAPACITY = 4101
    TOO_SLOW = 4102  # did not read for longer than the deadline
    DRAINING = 4201
    TOKEN_EXPIRED = 4202


class StartError(Exception):
    """Something that rtchat needs to start is not there; the text tells its operator what to do."""


class ChatError(Exception):
    """An operating error that a client is told of.

    `field` names the input at fault; `after_ms` is how long to wait where waiting helps.
    """

    def __init__(
        self,
        code: Code,
        message: str = "",
        *,
        field: str | None = None,
        after_ms: int | None = None,
    ) -> None:
        super().__init__(message or ERRORS[code].title)
        self.code = code
        self.message = message or ERRORS[code].title
        self.field = field
        self.after_ms = after_ms


def spread_ms(at_least_ms: int) -> int:
    """When to come again: each is told another time, or those refused together return together."""
    return random.randint(at_least_ms, 2 * at_least_ms)
