"""Access tokens: short-lived JWTs that this server signs for itself (RFC 9068's shape, HS256).

Everything that could be left open is fixed or required: the algorithm, the type, issuer, audience
and every claim that is read (RFC 8725 §3). A token says who and which session; that the session
still stands is another question (`auth.sessions`).
"""

import hashlib
import hmac
import secrets
import time
from typing import Any, NamedTuple

import jwt

from rtchat.config import Config
from rtchat.errors import ChatError, Code
from rtchat.model import ID_MAX

ALGORITHM = "HS256"
TYPE = "at+jwt"
ISSUER = AUDIENCE = "rtchat"
_CLAIMS = ["iss", "aud", "sub", "sid", "jti", "iat", "exp"]
TOKEN_MAX_CHARS = 8192
CHECKED_MAX = 4096  # tokens that need no second check: 2 MB


class Identity(NamedTuple):
    """Who a token speaks for, and until when (seconds since 1970)."""

    user_id: int
    session_id: int
    expires: int


class Tokens:
    """Signs and checks access tokens."""

    def __init__(self, config: Config) -> None:
        self._life_s = config.access_token_s
        self._leeway_s = config.token_leeway_s
        # One secret is configured; each use gets a key of its own.
        self._key = hmac.digest(config.secret_key.encode(), b"access token", hashlib.sha256)
        # Good ones, each with when it was issued: of what was checked only the time goes on, or
        # back. 1 µs instead of 90.
        self._checked: dict[str, tuple[Identity, int]] = {}

    @property
    def life_s(self) -> int:
        """How long a token lives, in seconds."""
        return self._life_s

    def sign(self, user_id: int, session_id: int, now: float | None = None) -> str:
        """Make a token that begins to live now."""
        issued = int(time.time() if now is None else now)
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": str(user_id),
            "sid": str(session_id),
            "jti": secrets.token_urlsafe(12),
            "iat": issued,
            "exp": issued + self._life_s,
        }
        return jwt.encode(claims, self._key, algorithm=ALGORITHM, headers={"typ": TYPE})

    def check(self, token: str) -> Identity:
        """Read a token. Raises ChatError(token_expired) or ChatError(unauthorized)."""
        known = self._checked.get(token)
        if known is not None:
            identity, issued = known
            now = time.time()
            if issued - self._leeway_s <= now < identity.expires + self._leeway_s:
                return identity
        identity, issued = self._read(token)
        if len(self._checked) >= CHECKED_MAX:
            self._checked.clear()
        self._checked[token] = identity, issued
        return identity

    def _read(self, token: str) -> tuple[Identity, int]:
        if len(token) > TOKEN_MAX_CHARS:
            raise ChatError(Code.UNAUTHORIZED)
        try:
            decoded = jwt.decode_complete(
                token,
                self._key,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                leeway=self._leeway_s,
                options={"require": _CLAIMS},
            )
        except jwt.ExpiredSignatureError:
            raise ChatError(Code.TOKEN_EXPIRED) from None
        except jwt.ImmatureSignatureError:
            detail = "This token is not valid yet: its issuer's clock is ahead."
            raise ChatError(Code.UNAUTHORIZED, detail) from None
        except (jwt.InvalidTokenError, ValueError, RecursionError):
            raise ChatError(Code.UNAUTHORIZED) from None
        if decoded["header"].get("typ") != TYPE:
            raise ChatError(Code.UNAUTHORIZED)
        claims = decoded["payload"]
        identity = Identity(_id(claims["sub"]), _id(claims["sid"]), int(claims["exp"]))
        return identity, int(claims["iat"])


def _id(claim: Any) -> int:
    if isinstance(claim, str) and claim.isascii() and claim.isdigit() and len(claim) <= 16:
        number = int(claim)
        if 0 < number <= ID_MAX:
            return number
    raise ChatError(Code.UNAUTHORIZED)
