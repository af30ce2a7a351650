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
    """What a code means: its HTTP status, whether a retry may help, the problem's title, and what
    a client's author should know and do."""

    status: int
    retry: bool
    title: str
    meaning: str


ERRORS: dict[Code, ErrorInfo] = {
    Code.BAD_JSON: ErrorInfo(
        400, False, "Not valid JSON",
        "The body or frame is not JSON in UTF-8, or did not arrive in time.",
    ),
    Code.BAD_MESSAGE: ErrorInfo(
        400, False, "Not a JSON object of the expected form",
        "It is JSON, but no object; or the request is no HTTP or WebSocket handshake as the RFCs"
        " want it; or a sign-in at a provider cannot go on here.",
    ),
    Code.UNKNOWN_TYPE: ErrorInfo(
        400, False, "Unknown frame type",
        "The frame's `t` is missing, or none that this server knows.",
    ),
    Code.UNAUTHORIZED: ErrorInfo(
        401, False, "Not signed in",
        "No token, one that is not good, or one whose session has ended; at sign-in: address or"
        " password is wrong. Sign in again.",
    ),
    Code.TOKEN_EXPIRED: ErrorInfo(
        401, False, "Access token expired",
        "The access token was good once. Get another one with the refresh token.",
    ),
    Code.FORBIDDEN: ErrorInfo(
        403, False, "Not allowed",
        "One may see the channel, but not do this in it; or it takes a newer sign-in, the right"
        " current password, or another origin.",
    ),
    Code.NOT_FOUND: ErrorInfo(
        404, False, "Not found",
        "There is no such thing, or none that one may see: the two are not told apart.",
    ),
    Code.METHOD_NOT_ALLOWED: ErrorInfo(
        405, False, "Method not allowed",
        "The path exists, with other methods: `Allow` lists them.",
    ),
    Code.CONFLICT: ErrorInfo(
        409, False, "Conflict",
        "What is there already stands against it: the address is taken, an owner would leave, it"
        " is the last way to sign in.",
    ),
    Code.NONCE_CONFLICT: ErrorInfo(
        409, False, "Nonce already used for other content",
        "This nonce named another write before. Nothing was stored now; take a new nonce.",
    ),
    Code.TOO_LARGE: ErrorInfo(
        413, False, "Too large",
        "The body, the head of the request (431) or its path (414) is over its limit.",
    ),
    Code.UNSUPPORTED_MEDIA_TYPE: ErrorInfo(
        415, False, "Unsupported media type",
        "A body is `application/json` in UTF-8, without a content encoding.",
    ),
    Code.BAD_FIELD: ErrorInfo(
        422, False, "Invalid field",
        "A field or parameter is missing, of the wrong type, or not allowed: `field` names it,"
        " the text says why.",
    ),
    Code.TOO_LONG: ErrorInfo(
        422, False, "Field too long",
        "A text or list is over its limit: `field` names it, the text says the limit.",
    ),
    Code.UNSUPPORTED: ErrorInfo(
        422, False, "Not supported here",
        "The operation does not exist for this channel: the members of a dm are fixed.",
    ),
    Code.RATE_LIMITED: ErrorInfo(
        429, True, "Rate limit reached",
        "Too often. Nothing was done; come again after the time that is told.",
    ),
    Code.OVERLOADED: ErrorInfo(
        503, True, "Overloaded",
        "A queue or the number of connections is at its limit. Nothing was done; come again after"
        " the time that is told.",
    ),
    Code.UNAVAILABLE: ErrorInfo(
        503, True, "Temporarily unavailable",
        "The database, or a provider, does not answer in time. A write may or may not be stored:"
        " try again with its nonce.",
    ),
    Code.DRAINING: ErrorInfo(
        503, True, "Shutting down",
        "This server is about to stop. Nothing was done; try again, another one may answer.",
    ),
    Code.INTERNAL: ErrorInfo(
        500, True, "Internal error",
        "A fault of the server, which is in its log under the request's id. A write may or may"
        " not be stored: try again with its nonce.",
    ),
}  # fmt: skip


class Close(IntEnum):
    """WebSocket close codes. The hundreds tell a client what to do (contract §4).

    40xx: do not come back as you are. 41xx: come back after a back-off. 42xx: come back now, with
    jitter. 1xxx as RFC 6455 §7.4.1 has them.
    """

    PROTOCOL_BROKEN = 1002
    UNSUPPORTED_DATA = 1003
    BAD_TEXT = 1007
    TOO_BIG = 1009
    FAILED = 1011
    RESTART = 1012
    NOT_AUTHENTICATED = 4001
    FORBIDDEN = 4003
    SESSION_REVOKED = 4004
    FLOOD = 4008
    PROTOCOL_ERROR = 4009
    OVER_CAPACITY = 4101
    TOO_SLOW = 4102
    DRAINING = 4201
    TOKEN_EXPIRED = 4202


@dataclass(frozen=True, slots=True)
class CloseInfo:
    """What a close code tells a client to do, and what it means."""

    do: str
    meaning: str


_STAY_AWAY = "do not come back as you are"
_BACK_OFF = "come back after a back-off, and resume by the cursors"
_AT_ONCE = "come back now, with jitter, and resume by the cursors"
_MEND = "mend the client"

CLOSES: dict[Close, CloseInfo] = {
    Close.PROTOCOL_BROKEN: CloseInfo(_MEND, "Bytes that are no frames as RFC 6455 has them."),
    Close.UNSUPPORTED_DATA: CloseInfo(_MEND, "A binary frame; frames are text."),
    Close.BAD_TEXT: CloseInfo(_MEND, "A text that is not UTF-8."),
    Close.TOO_BIG: CloseInfo(_MEND, "A message over `limits.frameBytes`."),
    Close.FAILED: CloseInfo(_BACK_OFF, "No pong came in time, or the server failed."),
    Close.RESTART: CloseInfo(_AT_ONCE, "Whatever runs the server restarts it."),
    Close.NOT_AUTHENTICATED: CloseInfo(
        f"{_STAY_AWAY}: sign in again", "No `auth` frame in time, or its token is not good."
    ),
    Close.FORBIDDEN: CloseInfo(
        _STAY_AWAY, "Kept for clients: origins that may not connect get 403 before the upgrade."
    ),
    Close.SESSION_REVOKED: CloseInfo(
        f"{_STAY_AWAY}: sign in again",
        "The session has ended: signed out, password changed, user disabled, a refresh token used"
        " twice.",
    ),
    Close.FLOOD: CloseInfo(
        f"{_STAY_AWAY}: {_MEND}", "Errors, frames or pings faster than their limit."
    ),
    Close.PROTOCOL_ERROR: CloseInfo(f"{_STAY_AWAY}: {_MEND}", "A message in too many fragments."),
    Close.OVER_CAPACITY: CloseInfo(
        f"{_BACK_OFF}, not before the `after` of the `error` that came first",
        "No room: too many sockets, opened too fast, or the database is away.",
    ),
    Close.TOO_SLOW: CloseInfo(_BACK_OFF, "Did not read what was sent for too long."),
    Close.DRAINING: CloseInfo(
        f"{_AT_ONCE}; not before the `in` of `bye`",
        "The server is about to stop, or the log has another epoch.",
    ),
    Close.TOKEN_EXPIRED: CloseInfo(
        f"refresh the token, then {_AT_ONCE}", "The token ended and was not renewed."
    ),
}


class StartError(Exception):
    """Something that rtchat needs to start is not there; the text tells its operator what to do."""


class ChatError(Exception):
    """An operating error that a client is told of.

    `field` names the input at fault; `after_ms` is how long to wait where waiting helps; `limit` is
    the setting whose limit it tells of, or two that make one: whoever answers counts them.
    """

    def __init__(
        self,
        code: Code,
        message: str = "",
        *,
        field: str | None = None,
        after_ms: int | None = None,
        limit: str | tuple[str, ...] = (),
    ) -> None:
        super().__init__(message or ERRORS[code].title)
        self.code = code
        self.message = message or ERRORS[code].title
        self.field = field
        self.after_ms = after_ms
        self.limits = (limit,) if isinstance(limit, str) else limit


def spread_ms(at_least_ms: int) -> int:
    """When to come again: each is told another time, or those refused together return together."""
    return random.randint(at_least_ms, 2 * at_least_ms)
