"""The ASGI interface (spec version 2.4), as far as its types help."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from rtchat.headers import Headers as Headers

Scope: TypeAlias = MutableMapping[str, Any]
Event: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Event]]
Send: TypeAlias = Callable[[Event], Awaitable[None]]


def header(scope: Scope, name: bytes) -> str | None:
    """The value of a header that may stand once; None where it is missing or stands twice."""
    found = [value for key, value in scope["headers"] if key == name]
    return found[0].decode("latin-1") if len(found) == 1 else None


def path_of(scope: Scope) -> str:
    """The path below where the app is mounted. A slash that came encoded separates nothing."""
    path: str = scope["path"]
    raw: bytes = scope.get("raw_path") or b""
    if b"%2f" in raw.lower():  # or rules for paths, say at a proxy, would see another one
        path = raw.decode("latin-1")
    root: str = scope.get("root_path", "")
    if not root or path.startswith(f"{root}/"):
        return path[len(root) :]
    # FastAPI(root_path=…): a proxy takes that prefix away, so the path has only the mount's.
    mount = root.removeprefix(scope.get("app_root_path", ""))
    return path[len(mount) :] if path.startswith(f"{mount}/") else path


def address_of(scope: Scope) -> str:
    """The client's address; empty where the server does not tell."""
    client = scope.get("client")
    return client[0] if client else ""


def client_of(scope: Scope) -> str:
    """The client's address and port, for logs; behind a proxy nobody knows the port."""
    address, port = scope.get("client") or ("", 0)
    return f"{address}:{port}" if port else address or "-"
