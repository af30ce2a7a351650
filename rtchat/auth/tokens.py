"""Access tokens: short-lived JWTs that this server signs for itself (RFC 9068's shape).

Everything that could be left open is fixed or required: the key and by it the algorithm
(`auth.keys`), the type, issuer, audience and every claim that is read (RFC 8725 §3). A token says
who and which session; that the session still stands is another question (`auth.sessions`).
"""

import secrets
import time
from typing import Any, NamedTuple

import jwt

from rtchat.auth.keys import Key, KeyRing
from rtchat.config import Config
from rtchat.errors import ChatError, Code
from rtchat.model import ID_MAX

TYPE = "at+jwt"
_CLAIMS = ["iss", "aud", "sub", "sid", "jti", "iat", "exp"]
TOKEN_MAX_CHARS = 8192
CHECKED_MAX = 4096  # tokens that need no second check: 2 MB


class Identity(NamedTuple):
    """Who a token speaks for, and until when (seconds since 1970)."""

    user_id: int
    session_id: int
    expires: int


class Tokens:
    """Signs and checks access tokens. Raises StartError where a key cannot be used."""

    def __init__(self, config: Config) -> None:
        self._life_s = config.access_token_s
        self._leeway_s = config.token_leeway_s
        self._issuer, self._audience = config.token_issuer, config.token_audience
        self.keys = KeyRing(config)
        # The keys by a token's first part, as it stood on good ones: 17 of 62 µs are not spent on
        # reading it twice. Only what one of our keys signed comes in here.
        self._by_head: dict[str, Key] = {}
        # Good ones, each with when it was issued: of what was checked only the time goes on, or
        # back. 1 µs instead of 90.
        self._checked: dict[str, tuple[Identity, int]] = {}

    @property
    def life_s(self) -> int:
        """How long a token lives, in seconds."""
        return self._life_s

    def sign(
        self, user_id: int, session_id: int, now: float | None = None, life_s: int | None = None
    ) -> str:
        """Make a token that begins to live now; `life_s`: for less than others."""
        issued = int(time.time() if now is None else now)
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": str(user_id),
            "sid": str(session_id),
            "jti": secrets.token_urlsafe(12),
            "iat": issued,
            "exp": issued + (life_s or self._life_s),
        }
        key = self.keys.signing
        headers = {"typ": TYPE, "kid": key.kid}
        return jwt.encode(claims, key.signs, algorithm=key.algorithm, headers=headers)

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
        head = token.partition(".")[0]
        try:
            key = self._by_head.get(head) or self._named(token)
            decoded = jwt.decode_complete(
                token,
                key.verifies,
                algorithms=[key.algorithm],
                audience=self._audience,
                issuer=self._issuer,
                leeway=self._leeway_s,
                options={"require": _CLAIMS},
            )
        except jwt.ExpiredSignatureError:
            raise ChatError(Code.TOKEN_EXPIRED, limit="access_token_s") from None
        except jwt.ImmatureSignatureError:
            detail = "This token is not valid yet: its issuer's clock is ahead."
            raise ChatError(Code.UNAUTHORIZED, detail) from None
        except (jwt.InvalidTokenError, ValueError, OverflowError, RecursionError):
            raise ChatError(Code.UNAUTHORIZED) from None
        if decoded["header"].get("typ") != TYPE:
            raise ChatError(Code.UNAUTHORIZED)
        self._by_head[head] = key
        claims = decoded["payload"]
        identity = Identity(_id(claims["sub"]), _id(claims["sid"]), int(claims["exp"]))
        return identity, int(claims["iat"])

    def _named(self, token: str) -> Key:
        key = self.keys.get(jwt.get_unverified_header(token).get("kid"))
        if key is None:
            raise ChatError(Code.UNAUTHORIZED)
        return key


def _id(claim: Any) -> int:
    if isinstance(claim, str) and claim.isascii() and claim.isdigit() and len(claim) <= 16:
        number = int(claim)
        if 0 < number <= ID_MAX:
            return number
    raise ChatError(Code.UNAUTHORIZED)
