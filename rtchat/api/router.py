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

# What any request may be told before it reaches its route: it is no HTTP, its head is too large, or
# there is no room for its connection.
BELOW = frozenset({Code.BAD_MESSAGE, Code.TOO_LARGE, Code.OVERLOADED})
# What reading a body or a query may find.
_OF_BODY = frozenset(
    {Code.BAD_JSON, Code.BAD_MESSAGE, Code.BAD_FIELD, Code.TOO_LARGE, Code.UNSUPPORTED_MEDIA_TYPE}
)
_OF_TOKEN = frozenset({Code.UNAUTHORIZED, Code.TOKEN_EXPIRED})

_NUMBER = re.compile(r"[1-9][0-9]{0,15}")  # ASCII only, unlike str.isdigit and int
_WORD = re.compile(r"[a-z0-9-]{1,32}")
_WORD_MARK = ":word"
_PARAMETER = re.compile(r"\{([^}]+)\}")


@dataclass(frozen=True, slots=True)
class Media:
    """An answer that is bytes of another media type than JSON of a struct: a page, a document."""

    media_type: str


@dataclass(frozen=True, slots=True)
class Cookie:
    """A cookie that a browser is given or brings; over https its name begins with `__Host-`."""

    name: str
    words: str


@dataclass(frozen=True)
class Route:
    """One line of the route table: what comes in, who answers, what goes out.

    `errors` are the codes that its handler answers with; those that follow from the other columns
    (a body that cannot be read, no token, too often) need not stand there. `codes` is all of them:
    what the documents say, and what the tests hold every answer to.
    """

    method: str
    path: str
    handler: Handler
    answers: dict[int, Any]  # status to type; None: no body
    body: Any = None
    query: Any = None
    auth: bool | None = True  # None: with a token or without
    limit: Limited | None = None  # spent before the handler is asked
    spends: tuple[Limited, ...] = ()  # by the handler itself
    reads: Cookie | None = None
    sets: Cookie | None = None
    operator: bool = False  # wants the operators' token, which is nobody's access token
    reserved: bool = False  # answered also where there is no room for others: see `server.http`
    errors: frozenset[Code] = frozenset()
    decoder: "msgspec.json.Decoder[Any] | None" = field(init=False, default=None)
    parameters: tuple[str, ...] = field(init=False)  # of the path, as they stand in it
    template: str = field(init=False)  # the path, as the documents and the log have it
    codes: frozenset[Code] = field(init=False)

    def __post_init__(self) -> None:
        if self.body is not None:
            object.__setattr__(self, "decoder", msgspec.json.Decoder(self.body))
        object.__setattr__(self, "parameters", tuple(_PARAMETER.findall(self.path)))
        object.__setattr__(self, "template", self.path.replace(_WORD_MARK, ""))
        object.__setattr__(self, "codes", self._codes())

    def _codes(self) -> frozenset[Code]:
        found = (BELOW - {Code.OVERLOADED} if self.reserved else BELOW) | self.errors
        if self.body is not None:
            found |= _OF_BODY
        if self.query is not None:
            found |= {Code.BAD_FIELD}
        if self.parameters:
            found |= {Code.NOT_FOUND}
        if self.auth is not False:
            found |= _OF_TOKEN
        if self.operator:
            found |= {Code.UNAUTHORIZED}
        if self.limit is not None or self.spends:
            found |= {Code.RATE_LIMITED}
        return found


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
