"""The headers that every answer carries, whoever makes it: REST, a refused handshake, the server.

Owns: what browsers are told to refrain from, and which foreign pages may read answers. Must never:
name an origin that is not on the list (one that is echoed lets in every page there is), or let a
foreign page use a visitor's cookies but where one is told apart by them and gets nothing for them
alone: a sign-in by a provider goes on in the browser where it began. All else wants a bearer token.

Sources: OWASP ASVS 5.0 §3.4, RFC 6797 (HSTS), the Fetch standard's CORS protocol.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from rtchat.config import Config
from rtchat.paths import path_of

Headers = list[tuple[bytes, bytes]]

# An answer of JSON is data: whatever takes it for a page finds that it may load and do nothing.
SAFE: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),  # requests without CORS; see `_cors`
]
SECURE_SCHEMES = ("https", "wss")
PREFLIGHT_S = 600  # a browser may rely on a preflight for so long; 7200 is Chromium's own bound
# What scripts of listed pages may send and see, besides what every page may.
ALLOWED = b"authorization, content-type"
EXPOSED = b"retry-after, x-request-id"
COOKIES_BELOW = "/auth/"  # for a page at app.example beside a server at chat.app.example


class AnswerHeaders:
    """The common headers of one process's answers."""

    def __init__(self, config: Config) -> None:
        self._secure = list(SAFE)
        if config.hsts_s:
            hsts = b"max-age=%d" % config.hsts_s
            self._secure.append((b"strict-transport-security", hsts))
        self._origins = frozenset(origin.encode() for origin in config.origin_list)

    def plain(self, scheme: str | None) -> Headers:
        """For an answer to a request that came by `scheme`; HSTS is for secure ones (RFC 6797)."""
        return self._secure if scheme in SECURE_SCHEMES else SAFE

    def of(self, scope: Mapping[str, Any]) -> Headers:
        """For the answer to this request, and whichever page it came from."""
        headers = self.plain(scope.get("scheme"))
        return [*headers, *self._cors(scope)] if self._origins else headers

    def preflight(self, scope: Mapping[str, Any], methods: Iterable[str]) -> Headers:
        """For the answer to OPTIONS, besides `of`: what a script of a listed page may ask for."""
        if self._page(scope) is None:
            return []
        return [
            (b"access-control-allow-methods", ", ".join(sorted(methods)).encode()),
            (b"access-control-allow-headers", ALLOWED),
            (b"access-control-max-age", b"%d" % PREFLIGHT_S),
        ]

    def _cors(self, scope: Mapping[str, Any]) -> Headers:
        vary = (b"vary", b"origin")  # or a cache would hand one page's answer to another
        page = self._page(scope)
        if page is None:
            return [vary]
        headers = [
            vary,
            (b"access-control-allow-origin", page),
            (b"access-control-expose-headers", EXPOSED),
        ]
        if path_of(scope).startswith(COOKIES_BELOW):
            headers.append((b"access-control-allow-credentials", b"true"))
        return headers

    def _page(self, scope: Mapping[str, Any]) -> bytes | None:
        """The origin of the page that asks, if it is on the list to the letter, and only one."""
        found = [value for name, value in scope["headers"] if name == b"origin"]
        return found[0] if len(found) == 1 and found[0] in self._origins else None
