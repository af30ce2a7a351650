"""The ASGI interface (spec version 2.4), as far as its types help."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from rtchat.headers import Headers as Headers
from rtchat.paths import is_internal as is_internal, path_of as path_of

Scope: TypeAlias = MutableMapping[str, Any]
Event: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Event]]
Send: TypeAlias = Callable[[Event], Awaitable[None]]


def header(scope: Scope, name: bytes) -> str | None:
    """The value of a header that may stand once; None where it is missing or stands twice."""
    found = [value for key, value in scope["headers"] if key == name]
    return found[0].decode("latin-1") if len(found) == 1 else None


def address_of(scope: Scope) -> str:
    """The client's address; empty where the server does not tell."""
    client = scope.get("client")
    return client[0] if client else ""


def client_of(scope: Scope) -> str:
    """The client's address and port, for logs; behind a proxy nobody knows the port."""
    address, port = scope.get("client") or ("", 0)
    return f"{address}:{port}" if port else address or "-"
