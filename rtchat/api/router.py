"""The router: from method and path to a route, by a tree of path segments.

A path matches exactly or not at all: no trailing slash, no dot segments, no case folding. `{id}`
stands for the decimal digits of an id or seq, `{name}` for any other segment.
"""

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from rtchat.api.call import Call
from rtchat.errors import ChatError, Code
from rtchat.model import ID_MAX

Answer = tuple[int, Any]
Handler = Callable[[Call], Awaitable[Answer]]

_NUMBER = re.compile(r"[1-9][0-9]{0,15}")  # ASCII only, unlike str.isdigit and int


@dataclass(frozen=True)
class Route:
    """One line of the route table: what comes in, who answers, what goes out."""

    method: str
    path: str
    handler: Handler
    answers: dict[int, Any]  # status to type; None: no body
    body: Any = None
    query: Any = None
    auth: bool = True
    decoder: "msgspec.json.Decoder[Any] | None" = field(init=False, default=None)

    def __post_init__(self) -> None:
        if self.body is not None:
            object.__setattr__(self, "decoder", msgspec.json.Decoder(self.body))


class _Node:
    __slots__ = ("children", "parameter", "routes")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.parameter: tuple[str, _Node] | None = None
        self.routes: dict[str, Route] = {}


class Router:
    """Finds routes."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._root = _Node()
        self.methods: set[str] = set()  # of all paths
        for route in routes:
            node = self._root
            for segment in route.path.split("/")[1:]:
                node = _child(node, segment)
            assert route.method not in node.routes, route
            node.routes[route.method] = route
            self.methods.add(route.method)

    def match(self, path: str) -> tuple[dict[str, Route], dict[str, int]]:
        """The routes of a path by method, and the ids in it. Raises ChatError(not_found)."""
        if not path.startswith("/"):  # an absolute URI, or none at all
            raise _no_such_path()
        node: _Node = self._root
        ids: dict[str, int] = {}
        for segment in path.split("/")[1:]:
            child = node.children.get(segment)
            if child is None and node.parameter is not None:
                name, child = node.parameter
                ids[name] = _number(segment)
            if child is None:
                raise _no_such_path()
            node = child
        if not node.routes:
            raise _no_such_path()
        return node.routes, ids


def _child(node: _Node, segment: str) -> _Node:
    if not segment.startswith("{"):
        return node.children.setdefault(segment, _Node())
    name = segment[1:-1]
    if node.parameter is None:
        node.parameter = (name, _Node())
    assert node.parameter[0] == name, (node.parameter, name)
    return node.parameter[1]


def _number(segment: str) -> int:
    if _NUMBER.fullmatch(segment) and (number := int(segment)) <= ID_MAX:
        return number
    raise _no_such_path()


def _no_such_path() -> ChatError:
    return ChatError(Code.NOT_FOUND, "There is nothing here.")
