"""OpenAPI 3.1 of the REST interface, made of the route table and the types that serve it.

Owns: how a route becomes an operation. Must never: describe a route in words of its own; a summary
is its handler's docstring, an error's words are those of the table of errors. Nothing is made at
import time.
"""

import inspect
import re
from typing import Any, get_args

import msgspec

import rtchat
from rtchat.api import types
from rtchat.api.examples import examples_of, in_path
from rtchat.api.problems import HEADERS, PROBLEM, Problems, header
from rtchat.api.rates import described
from rtchat.api.router import Media, Route
from rtchat.api.routes import ROUTES, public
from rtchat.api.samples import code_samples
from rtchat.api.schemas import Schema, schemas_of, structs_in, true_for
from rtchat.config import Config
from rtchat.errors import Code
from rtchat.model import Channel, Id, Message

_WORD = {"type": "string", "pattern": "^[a-z0-9-]{1,32}$"}

TAGS = {
    "auth": ("Sign-in", "Accounts, sessions, passwords, keys."),
    "sso": ("Single sign-on", "Signing in with Google, Microsoft or another provider."),
    "users": ("Users", "Oneself, and finding others."),
    "channels": ("Channels", "Public and private channels, and conversations of a few (dm)."),
    "members": ("Members", "Who is in a channel, and as what."),
    "messages": ("Messages", "A channel's messages: writing, reading back, changing."),
    "ws": ("WebSocket", "Where live delivery begins; its frames are in /asyncapi.json."),
    "health": ("Health", "For whoever runs the server."),
    "metrics": ("Metrics", "Counters, for operators."),
    "documents": ("Documents", "The interface, for programs to read."),
    "docs": ("Pages", "The interface, for people to read and try."),
}
# What stands in a path, by the path up to there.
PARAMETERS = {
    "/auth/oauth/{provider}": "A provider's name, as `GET /auth/providers` has it.",
    "/auth/identities/{provider}": "A provider's name.",
    "/auth/sessions/{id}": "A session's id.",
    "/channels/{id}": "A channel's id.",
    "/channels/{id}/members/{userId}": "A member's user id.",
    "/channels/{id}/messages/{seq}": "A message's seq.",
}
# Where an answer leads: what stands in which path comes out of which field.
LINKS: dict[type, tuple[str, dict[str, str]]] = {
    Channel: ("/channels/{id}", {"id": "id"}),
    Message: ("/channels/{id}/messages/{seq}", {"id": "channelId", "seq": "seq"}),
}
DESCRIPTION = """\
A realtime chat server: the answer to a write means that it is committed, and a write with a nonce
may be sent again without harm. Live delivery is the WebSocket at `/ws`, see `/asyncapi.json`.

- JSON in and out, UTF-8, names in camelCase; times are RFC 3339 UTC with milliseconds; ids are
  integers below 2^53. Unknown fields of a body and unknown parameters are ignored.
- `Authorization: Bearer` with an access token, where an operation wants one.
- An error is `application/problem+json` (RFC 9457) with a `code` for programs; `retryAfter`, in
  seconds, where waiting helps. What is no HTTP, or has too large a head, gets one as well.
- A path with another method than its own is answered 405 `method_not_allowed` with `Allow`, one
  that is not here 404 `not_found`; `HEAD` is answered like `GET`, `OPTIONS` with `Allow`.
- Every answer of the application carries `X-Request-Id`, under which it stands in the server's log.
- Limits are settings; the numbers here are those of the server that made this document.
"""


def document(config: Config, root_path: str = "") -> dict[str, Any]:
    """Make the document."""
    return _Maker(config).document(root_path)


class _Maker:
    def __init__(self, config: Config) -> None:
        self._config = config
        self._problems = Problems()
        self._routes = public(config)
        bodies = [route.body for route in self._routes if route.body is not None]
        told = [kind for route in self._routes for kind in route.answers.values()]
        answers = [kind for kind in told if _is_struct(kind)]
        sent = set().union(*(structs_in(kind) for kind in (*answers, types.Problem)))
        kinds = [*dict.fromkeys([*bodies, *answers, types.Problem, Code])]
        roots, self._schemas = schemas_of(kinds, config, sent=sent)
        self._of = dict(zip(kinds, roots, strict=True))

    def document(self, root_path: str) -> dict[str, Any]:
        paths: dict[str, Any] = {}
        for route in self._routes:
            paths.setdefault(route.template, {})[route.method.lower()] = self._operation(route)
        return {
            "openapi": "3.1.0",
            "info": {
                "title": "rtchat",
                "version": rtchat.__version__,
                "summary": "Realtime chat: every acknowledged message stored, ordered, delivered.",
                "description": DESCRIPTION,
                "license": {"name": "MIT", "identifier": "MIT"},
            },
            "servers": [{"url": self._config.public_url or root_path or "/"}],
            "tags": [
                {"name": name, "description": words}
                for module, (name, words) in TAGS.items()
                if module in {_module(route) for route in self._routes}
            ],
            "paths": paths,
            "components": {
                "securitySchemes": {
                    **(_OPERATOR if any(route.operator for route in self._routes) else {}),
                    "bearer": {
                        "type": "http",
                        "scheme": "bearer",
                        "bearerFormat": "JWT",
                        "description": "An access token, as sign-in gives it: good for"
                        f" {self._config.access_token_s} s, then refresh.",
                    },
                },
                "schemas": self._schemas,
                "responses": self._problems.responses,
                "headers": HEADERS,
            },
        }

    def _operation(self, route: Route) -> dict[str, Any]:
        summary, _, more = inspect.cleandoc(route.handler.__doc__ or "").partition("\n")
        made: dict[str, Any] = {
            "operationId": operation_id(route),
            "tags": [TAGS[_module(route)][0]],
            "summary": summary.rstrip("."),
            "description": " ".join([summary, *_unfolded(more)]),
            "security": [{"operator": []}] if route.operator else _SECURITY[route.auth],
        }
        if parameters := [*self._in_path(route), *self._in_query(route), *_cookies(route)]:
            made["parameters"] = parameters
        if route.body is not None:
            made["requestBody"] = self._body(route)
        made["responses"] = {**self._answers(route), **self._problems.of(route)}
        if limits := [described(n, self._config) for n in (route.limit, *route.spends) if n]:
            made["x-rate-limits"] = limits
        if examples := examples_of(route):
            made["x-codeSamples"] = code_samples(examples[0])
        return made

    # --- what comes in

    def _in_path(self, route: Route) -> list[Schema]:
        path, made = route.template, []
        for name in route.parameters:
            word = name.endswith(":word")
            name = name.removesuffix(":word")
            up_to = path[: path.index(f"{{{name}}}") + len(name) + 2]
            made.append(
                {
                    "name": name,
                    "in": "path",
                    "required": True,
                    "description": PARAMETERS[up_to],
                    "schema": _WORD if word else _schema(Id, self._config),
                    "example": in_path(route, name),
                }
            )
        return made

    def _in_query(self, route: Route) -> list[Schema]:
        if route.query is None:
            return []
        made = []
        for field in msgspec.structs.fields(route.query):
            schema = _schema(_without_none(field.type), self._config)
            default = field.default
            if default is not None:
                schema["default"] = default
            parameter = {"name": field.encode_name, "in": "query", "schema": schema}
            if words := schema.pop("description", None):
                parameter["description"] = words
            made.append(parameter)
        return made

    def _body(self, route: Route) -> Schema:
        content: Schema = {"schema": self._of[route.body]}
        given = {e.name: e for e in examples_of(route) if e.body is not None}
        if given:
            content["examples"] = {
                name: {"summary": e.title, "value": e.shown_body()} for name, e in given.items()
            }
        return {
            "required": True,
            "description": f"At most {self._config.body_max_bytes} bytes.",
            "content": {"application/json": content},
        }

    # --- what goes out

    def _answers(self, route: Route) -> dict[str, Any]:
        return {
            str(status): self._answer(route, status, kind)
            for status, kind in sorted(route.answers.items())
        }

    def _answer(self, route: Route, status: int, kind: Any) -> dict[str, Any]:
        made: dict[str, Any] = {
            "description": _words(route, status),
            "headers": {"X-Request-Id": header("X-Request-Id")},
        }
        for name in _headers(route, status, kind):
            made["headers"][name] = header(name)
        if isinstance(kind, Media):
            text = "string" if kind.media_type.startswith("text/") else "object"
            made["content"] = {kind.media_type.partition(";")[0]: {"schema": {"type": text}}}
        elif kind is types.Problem:
            made["content"] = {PROBLEM: {"schema": self._of[kind]}}
        elif kind is not None:
            content: dict[str, Any] = {"schema": self._of[kind]}
            shown = [e for e in examples_of(route) if e.status == status]
            if shown:
                content["examples"] = {
                    e.name: {"summary": e.title, "value": e.shown_answer()} for e in shown
                }
            made["content"] = {"application/json": content}
            if links := _links(kind, route):
                made["links"] = links
        return made


# --- of one route


def operation_id(route: Route) -> str:
    """The name that generators of clients give to a route: its handler's, in camelCase."""
    first, *rest = f"{_module(route)}_{route.handler.__name__}".split("_")
    return first + "".join(word.title() for word in rest)


def _module(route: Route) -> str:
    return route.handler.__module__.rpartition(".")[2]


def _cookies(route: Route) -> list[Schema]:
    if route.reads is None:
        return []
    schema = {"type": "string"}
    cookie = {"name": route.reads.name, "in": "cookie", "description": route.reads.words}
    return [{**cookie, "required": False, "schema": schema}]


def _headers(route: Route, status: int, kind: Any) -> list[str]:
    """What a good answer carries besides what all do."""
    made = ["Location"] if status == 302 else []
    made += ["Set-Cookie"] if route.sets is not None else []
    made += ["ETag"] if isinstance(kind, Media) or status == 304 else []
    return made + (["Upgrade"] if status == 426 else [])


def _words(route: Route, status: int) -> str:
    if status == 200 and 201 in route.answers:
        return "It was there already; nothing has changed."
    return _WORDS.get(status, "Here it is.")


def _unfolded(text: str) -> list[str]:
    return [re.sub(r"\s+", " ", part).strip() for part in text.split("\n\n") if part.strip()]


def _links(kind: type, route: Route) -> dict[str, Any]:
    """Which operations go on from an answer, and with what out of it."""
    if kind not in LINKS:
        return {}
    begin, fields = LINKS[kind]
    names = set(fields)
    return {
        operation_id(other): {
            "operationId": operation_id(other),
            "parameters": {name: f"$response.body#/{fields[name]}" for name in fields},
        }
        for other in ROUTES
        if other.template.startswith(begin)
        and set(other.parameters) == names
        and other is not route
    }


_WORDS = {
    201: "Made.",
    204: "Done.",
    302: "Go on there.",
    304: "As you have it.",
    426: "Ask for an upgrade.",
}
_OPERATOR = {
    "operator": {
        "type": "http",
        "scheme": "bearer",
        "description": "The operators' token, `RTCHAT_INTERNAL_TOKEN`.",
    }
}
_SECURITY: dict[bool | None, list[dict[str, list[str]]]] = {
    True: [{"bearer": []}],
    False: [],
    None: [{}, {"bearer": []}],
}

# --- of one type


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _schema(kind: Any, config: Config) -> Schema:
    (schema,), _ = msgspec.json.schema_components([kind])
    made: Schema = true_for(config, schema)
    return made


def _without_none(kind: Any) -> Any:
    """Of `X | None` the X: a parameter is there or not."""
    others = [arg for arg in get_args(kind) if arg is not type(None)]
    return others[0] if type(None) in get_args(kind) and len(others) == 1 else kind
