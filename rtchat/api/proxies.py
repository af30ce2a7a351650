"""Behind trusted proxies: a scope that tells of the client instead of the proxy.

Owns: what `X-Forwarded-For` and `X-Forwarded-Proto` change. Must never: look at either where the
peer is no proxy of ours; everything behind reads `client` and `scheme`, and knows no such headers.
"""

import logging

from rtchat.addresses import Proxies, parse
from rtchat.api.asgi import Scope, address_of

log = logging.getLogger(__name__)

# What may be said of the scheme, and what it is on HTTP and on a WebSocket.
_SCHEMES = {b"http": ("http", "ws"), b"https": ("https", "wss")}
_SCHEMES |= {b"ws": _SCHEMES[b"http"], b"wss": _SCHEMES[b"https"]}


class Behind:
    """Makes scopes tell of clients, by the word of proxies that are trusted."""

    def __init__(self, proxies: Proxies) -> None:
        self._proxies = proxies
        self._silent = not proxies  # a proxy that was forgotten has not been told of yet

    def __call__(self, scope: Scope) -> Scope:
        """The scope as it would be without a proxy; the same one where there is none of ours."""
        if self._proxies:
            return behind(self._proxies, scope)
        if self._silent and _looks_forwarded(scope):
            self._silent = False
            log.warning(
                "a proxy is not trusted: all its clients count as one address",
                extra={"peer": address_of(scope), "setting": "RTCHAT_TRUSTED_PROXIES"},
            )
        return scope


def _looks_forwarded(scope: Scope) -> bool:
    """Whether a neighbour says whom it speaks for. From the internet anybody may send that."""
    if not any(name == b"x-forwarded-for" for name, _ in scope["headers"]):
        return False
    peer = parse(address_of(scope))
    return peer is not None and peer.is_private


def behind(proxies: Proxies, scope: Scope) -> Scope:
    """The scope as it would be without a proxy; the same one where there is none of ours."""
    peer = scope.get("client") or ("", 0)
    if not proxies or not proxies.trusts_peer(peer[0]):
        return scope
    headers = scope["headers"]
    forwarded_for = [
        value.decode("latin-1") for name, value in headers if name == b"x-forwarded-for"
    ]
    scope = {**scope}  # an app around this one keeps its own
    if forwarded_for:
        scope["client"] = proxies.client(peer[0], forwarded_for), 0
    schemes = [value for name, value in headers if name == b"x-forwarded-proto"]
    if len(schemes) == 1 and (known := _SCHEMES.get(schemes[0].strip().lower())) is not None:
        scope["scheme"] = known[scope["type"] == "websocket"]
    return scope
