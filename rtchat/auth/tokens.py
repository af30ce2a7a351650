"""Access tokens: short-lived JWTs that this server signs for itself (RFC 9068's shape, HS256).

Everything that could be left open is fixed or required: the algorithm, the type, issuer, audience
and every claim that is read (RFC 8725 §3). A token says who and which session; that the session
still stands is another question (`auth.sessions`).
"""

import base64
import hashlib
import hmac
import secrets
import time
from typing import Any, Literal, NamedTuple

import jwt
import msgspec

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


class _Claims(msgspec.Struct, forbid_unknown_fields=True):
    """What `sign` writes, and nothing else."""

    iss: Literal["rtchat"]
    aud: Literal["rtchat"]
    sub: str
    sid: str
    jti: str
    iat: int
    exp: int


_claims = msgspec.json.Decoder(_Claims)


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
        self._head = self.sign(1, 1).partition(".")[0] + "."  # of all that are signed here

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
        if len(token) > TOKEN_MAX_CHARS:
            raise ChatError(Code.UNAUTHORIZED)
        known = self._checked.get(token)
        read = known or self._read_own(token)
        if read is None or not self._is_now(*read):
            read = self._read(token)
        if read is not known:
            self._remember(token, read)
        return read[0]

    def _is_now(self, identity: Identity, issued: int) -> bool:
        return issued - self._leeway_s <= time.time() < identity.expires + self._leeway_s

    def _remember(self, token: str, read: tuple[Identity, int]) -> None:
        if len(self._checked) >= CHECKED_MAX:
            self._checked.clear()
        self._checked[token] = read

    def _read_own(self, token: str) -> tuple[Identity, int] | None:
        """What it says, whenever, if every part of it is as `sign` makes it.

        None: PyJWT judges it, and says what is wrong. That takes 45 µs, 70 in a storm, which is an
        eighth of a connect.
        """
        signed, _, signature = token.rpartition(".")
        if not (signed.startswith(self._head) and token.isascii()):
            return None
        digest = hmac.digest(self._key, signed.encode(), hashlib.sha256)
        good = base64.urlsafe_b64encode(digest).rstrip(b"=")
        if not hmac.compare_digest(good, signature.encode()):
            return None
        payload = signed[len(self._head) :]
        try:
            claims = _claims.decode(base64.urlsafe_b64decode(payload + "=="))
            identity = Identity(_id(claims.sub), _id(claims.sid), claims.exp)
        except (msgspec.MsgspecError, ValueError, RecursionError, ChatError):
            return None
        return identity, claims.iat

    def _read(self, token: str) -> tuple[Identity, int]:
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
