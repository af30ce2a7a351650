"""Where a request's path leads, seen from where the application is mounted. Pure."""

from collections.abc import Mapping
from typing import Any

# Under this name a server's extension tells that a request came to its internal listener, which is
# for operators and nobody else: scope["extensions"][INTERNAL_EXTENSION] is {}.
INTERNAL_EXTENSION = "rtchat.internal"


def is_internal(scope: Mapping[str, Any]) -> bool:
    """Whether the request came to the listener for operators."""
    return INTERNAL_EXTENSION in (scope.get("extensions") or ())


def path_of(scope: Mapping[str, Any]) -> str:
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
