"""The browser's side of a sign-in: its cookie, and which page it is sent back to with what.

Owns: that no one is sent to a foreign page, and that what a page is told are our own few words.
Pure: texts in, texts out.

Sources: OWASP ASVS 5.0 §3.3 (cookies), §10.4.1 (redirects); RFC 6265bis §4.1.3.2 (`__Host-`).
"""

import hashlib
import hmac
import re
import secrets
from enum import StrEnum
from urllib.parse import urlencode

from rtchat.config import Config

CODE = re.compile(r"[A-Za-z0-9_-]{43}")  # 256 bits: states, codes, cookies
NEXT_MAX_CHARS = 512
# A path and a query of this server's: printable ASCII, and no second slash of either kind first.
_NEXT = re.compile(r"/(?![/\\])[!$-\[\]_a-z~]*")


class Failure(StrEnum):
    """Why a sign-in came to nothing, as the page is told: `?error=…`; see `Conflict` too."""

    DENIED = "denied"  # somebody said no at the provider
    UNAVAILABLE = "unavailable"  # the provider cannot be reached now
    FAILED = "failed"  # what the provider said was not right
    SIGNED_OUT = "signed_out"  # whoever wanted to link has been signed out meanwhile


def new_secret() -> str:
    """256 random bits."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """What is kept of a secret: with this, nobody can pass for who has it."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def same(secret: str | None, kept: str) -> bool:
    """Whether `kept` was made of this secret."""
    return secret is not None and hmac.compare_digest(digest(secret), kept)


class Pages:
    """Where browsers are sent, and the one cookie that they are given."""

    def __init__(self, config: Config) -> None:
        self._origin = config.public_url
        self._default = config.sso_return_url or f"{config.public_url}/"
        self._secure = config.public_url.startswith("https://")
        self._life_s = config.sso_state_s + config.sso_code_s
        # Plain http is for localhost only, where browsers take no `__Host-` cookie.
        self.cookie = "__Host-rtchat-sso" if self._secure else "rtchat-sso"

    def page(self, wanted: str | None) -> str:
        """The page to come back to: a path of this server's, or else the one that is set up."""
        if wanted and len(wanted) <= NEXT_MAX_CHARS and _NEXT.fullmatch(wanted):
            return self._origin + wanted
        return self._default

    @staticmethod
    def landing(page: str, **told: str) -> str:
        """The page with what it is told."""
        return f"{page}{'&' if '?' in page else '?'}{urlencode(told)}"

    def browser_of(self, cookies: str | None) -> str | None:
        """The secret in a `Cookie` header; None where there is none, or more than one."""
        found = []
        for pair in (cookies or "").split(";"):
            name, _, value = pair.strip(" \t").partition("=")
            if name == self.cookie:
                found.append(value)
        return found[0] if len(found) == 1 and CODE.fullmatch(found[0]) else None

    def set_cookie(self, secret: str) -> bytes:
        """The header that gives a browser its secret."""
        return self._cookie(secret, self._life_s)

    def drop_cookie(self) -> bytes:
        """The header that takes it away."""
        return self._cookie("", 0)

    def _cookie(self, value: str, life_s: int) -> bytes:
        secure = "; Secure" if self._secure else ""
        # Lax: the provider's page leads back here by a link, and the cookie must come along.
        text = f"{self.cookie}={value}; Path=/; Max-Age={life_s}; HttpOnly; SameSite=Lax{secure}"
        return text.encode()
