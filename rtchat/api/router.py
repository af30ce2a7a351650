"""The router: from method and path to a route, by a tree of path segments.

A path matches exactly or not at all: no trailing slash, no dot segments, no case folding. `{id}`
stands for the decimal digits of an id or seq, `{name:word}` for small letters, digits and hyphens.
"""

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from rtchat.api.call import Call
from rtchat.api.rates import Limited
from rtchat.errors import ChatError, Code
from rtchat.model import ID_MAX

Answer = tuple[int, Any]
Handler = Callable[[Call], Awaitable[Answer]]

_NUMBER = re.compile(r"[1-9][0-9]{0,15}")  # ASCII only, unlike str.isdigit and int
_WORD = re.compile(r"[a-z0-9-]{1,32}")
_WORD_MARK = ":word"


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
    limit: Limited | None = None
    decoder: "msgspec.json.Decoder[Any] | None" = field(init=False, default=None)

    def __post_init__(self) -> None:
        if self.body is not None:
            object.__setattr__(self, "decoder", msgspec.json.Decoder(self.body))


class Match(NamedTuple):
    """What a path leads to: routes by method, and what stands in it for each parameter."""

    routes: dict[str, Route]
    ids: dict[str, int]
    words: dict[str, str]


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

    def match(self, path: str) -> Match:
        """The routes of a path, and what stands in it. Raises ChatError(not_found)."""
        if not path.startswith("/"):  # an absolute URI, or none at all
            raise _no_such_path()
        node: _Node = self._root
        ids: dict[str, int] = {}
        words: dict[str, str] = {}
        for segment in path.split("/")[1:]:
            child = node.children.get(segment)
            if child is None and node.parameter is not None:
                name, child = node.parameter
                if name.endswith(_WORD_MARK):
                    words[name.removesuffix(_WORD_MARK)] = _word(segment)
                else:
                    ids[name] = _number(segment)
            if child is None:
                raise _no_such_path()
            node = child
        if not node.routes:
            raise _no_such_path()
        return Match(node.routes, ids, words)


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


def _word(segment: str) -> str:
    if _WORD.fullmatch(segment):
        return segment
    raise _no_such_path()


def _no_such_path() -> ChatError:
    return ChatError(Code.NOT_FOUND, "There is nothing here.")
