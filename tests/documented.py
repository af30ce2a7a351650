"""Whether what a server says is what the documents say: every answer, every frame, every log line.

Owns: the checks that all tests speak through (`tests/contract/rest.py`, `tests/sockets.py`, the
clients of `tests/conftest.py`, the logs in `tests/pods.py`). A document promises that fields may be
added later; here nothing may be there that it does not name. Must never: ask a route or a type what
is right, where the document says it.
"""

import functools
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

import httpx2
import jsonschema_rs

from rtchat.api import asyncapi, openapi
from rtchat.api.asgi import path_of
from rtchat.api.problems import statuses_of
from rtchat.api.router import BELOW, Route
from rtchat.api.routes import ASSETS, INTERNAL_ROUTES, ROUTES
from rtchat.config import Config
from rtchat.errors import ERRORS, Code
from rtchat.protocol import ref_of

JSON = dict[str, Any]
PROBLEM = "application/problem+json"
NAME = "urn:document"
# How a client may end a socket, or see it end: said nothing, lost it, or closed it itself.
CLIENTS_CLOSES = {1000, 1001, 1005, 1006}
_HIDDEN = {route.path: route for route in (*ASSETS, *INTERNAL_ROUTES)}


class Undocumented(AssertionError):  # noqa: N818  a test fails of it
    """A server said something that no document says."""


def require(fine: object, what: str, *said: object) -> None:
    """Raise Undocumented unless this is fine."""
    if not fine:
        raise Undocumented(": ".join([what, *map(str, said)]))


class Schemas:
    """The schemas of a document, closed: a field that is not named is one too many."""

    def __init__(self, document: JSON) -> None:
        components = {
            name: {**schema, "additionalProperties": False} if "properties" in schema else schema
            for name, schema in document["components"]["schemas"].items()
        }
        closed = {**document, "components": {**document["components"], "schemas": components}}
        self._resources = jsonschema_rs.Registry([(NAME, closed)], draft=jsonschema_rs.Draft202012)
        self._validators: dict[str, jsonschema_rs.Draft202012Validator] = {}

    def check(self, at: str, value: Any) -> None:
        """Hold a value to the schema at this place (a JSON Pointer)."""
        validator = self._validators.get(at)
        if validator is None:
            validator = self._validators[at] = jsonschema_rs.Draft202012Validator(
                {"$ref": f"{NAME}#{quote(at)}"}, registry=self._resources, validate_formats=True
            )
        if not validator.is_valid(value):
            wrong = [error.message for error in validator.iter_errors(value)]
            raise Undocumented(f"not as {at} has it: {wrong}: {value}")


# --- REST


class Answer(NamedTuple):
    """What was asked, and what came back. `path` is as the server understands it."""

    method: str
    path: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    def __str__(self) -> str:
        return f"{self.method} {self.path} -> {self.status} {self.body[:400]!r}"

    @property
    def media_type(self) -> str:
        """Without its parameters; empty where there is none."""
        return self.headers.get("content-type", "").partition(";")[0]


class _Path:
    """A path of the document, with its operations."""

    def __init__(self, path: str, item: JSON) -> None:
        self.path = path
        self.item = item
        parameters = next(iter(item.values())).get("parameters", ())
        self._numbers = {
            f"{{{p['name']}}}": p["schema"]["type"] == "integer"
            for p in parameters
            if p["in"] == "path"
        }
        self._schemas = {
            f"{{{p['name']}}}": jsonschema_rs.Draft202012Validator(p["schema"])
            for p in parameters
            if p["in"] == "path"
        }
        self._segments = path.split("/")

    def takes(self, path: str) -> bool:
        """Whether this is such a path."""
        segments = path.split("/")
        return len(segments) == len(self._segments) and all(
            map(self._fits, self._segments, segments)
        )

    def _fits(self, wanted: str, segment: str) -> bool:
        if wanted not in self._schemas:
            return wanted == segment
        if not self._numbers[wanted]:
            return self._schemas[wanted].is_valid(segment)
        plain = segment.isascii() and segment.isdigit() and segment[0] != "0"
        return plain and self._schemas[wanted].is_valid(int(segment[:20]))


class Rest:
    """The OpenAPI document, which answers are held to."""

    def __init__(self, document: JSON) -> None:
        self._document = document
        self._schemas = Schemas(document)
        paths = [_Path(path, item) for path, item in document["paths"].items()]
        self._paths = sorted(paths, key=lambda one: one.path.count("{"))  # a literal goes first

    def check(self, answer: Answer) -> None:
        """Raise Undocumented unless the document says that this may be answered."""
        found = next((one for one in self._paths if one.takes(answer.path)), None)
        method = "GET" if answer.method == "HEAD" else answer.method
        if answer.method == "OPTIONS" and answer.status == 204:
            require("allow" in answer.headers and not answer.body, "OPTIONS tells `Allow`", answer)
        elif found is None:
            self._check_hidden(answer, method)
        elif method.lower() not in found.item:
            self._check_problem(answer, BELOW | {Code.METHOD_NOT_ALLOWED})
        else:
            at = f"/paths/{_escaped(found.path)}/{method.lower()}/responses/{answer.status}"
            self._check_response(answer, at, found.item[method.lower()]["responses"])

    def _check_response(self, answer: Answer, at: str, responses: JSON) -> None:
        require(str(answer.status) in responses, "a status that is not documented", answer)
        response = responses[str(answer.status)]
        if "$ref" in response:
            at = response["$ref"].removeprefix("#")
            response = self._document["components"]["responses"][at.rpartition("/")[2]]
        if "set-cookie" in answer.headers:
            told = response.get("headers", {})
            require("Set-Cookie" in told, "a cookie that is not documented", answer)
        content = response.get("content", {})
        require(
            answer.media_type in (content or {"": None}),
            "a media type that is not documented", answer.media_type, answer,
        )  # fmt: skip
        if not content:
            require(not answer.body, "a body that is not documented", answer)
        elif answer.method != "HEAD" and answer.media_type.endswith("json"):
            value = json.loads(answer.body)
            self._schemas.check(f"{at}/content/{_escaped(answer.media_type)}/schema", value)

    def _check_hidden(self, answer: Answer, method: str) -> None:
        """A path that is no part of the document: an asset's, an operator's, nobody's."""
        route = _HIDDEN.get(answer.path)
        if route is None:
            self._check_problem(answer, BELOW | {Code.NOT_FOUND})
        elif method == route.method and answer.status in route.answers:
            require(answer.media_type != PROBLEM, "a problem with a good status", answer)
        else:
            more = {Code.NOT_FOUND, Code.METHOD_NOT_ALLOWED}  # it may be switched off
            self._check_problem(answer, route.codes | more)

    def _check_problem(self, answer: Answer, codes: Iterable[Code]) -> None:
        """An error of any operation and none."""
        require(answer.media_type == PROBLEM, "neither documented nor a problem", answer)
        if answer.method == "HEAD":
            return
        problem = json.loads(answer.body)
        self._schemas.check("/components/schemas/Problem", problem)
        require(problem["code"] in set(codes), "a code that is not documented", answer)
        require(problem["status"] == answer.status, "two statuses", answer)


def _escaped(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1")


@functools.cache
def rest() -> Rest:
    """What all answers of this repository's servers are held to."""
    return Rest(openapi.document(Config()))


def _understood(target: str) -> str:
    """The path of a request's target, as the server reads it."""
    raw = urlsplit(target).path if "://" in target else target.partition("?")[0]
    return path_of({"path": unquote(raw), "raw_path": raw.encode("latin-1")})


def check_answer(
    method: str, target: str, status: int, headers: Mapping[str, str], body: bytes
) -> None:
    """Hold an answer to the document; `target` is the request's, as it was sent."""
    rest().check(Answer(method, _understood(target), status, headers, body))


def check_response(response: httpx2.Response) -> None:
    """Hold a client's answer to the document, once."""
    if "documented" not in response.extensions:
        response.extensions["documented"] = True
        request = response.request
        target = request.url.raw_path.decode("latin-1")
        check_answer(
            request.method, target, response.status_code, response.headers, response.content
        )


async def _heard(response: httpx2.Response) -> None:
    await response.aread()
    check_response(response)


def watch(http: httpx2.AsyncClient) -> None:
    """Hold every answer that this client gets from now on to the document."""
    hooks = http.event_hooks
    if _heard not in hooks["response"]:
        hooks["response"].append(_heard)
        http.event_hooks = hooks


def check_raw(asked: bytes, status: int, headers: Mapping[str, str], body: bytes) -> None:
    """Hold the answer to these bytes to the document; what is no request has no operation."""
    line, _, head = asked.partition(b"\r\n")
    words = line.decode("latin-1").split(" ")
    is_request = len(words) == 3 and words[2].startswith("HTTP/1.") and words[1][:1] in "/h*"
    method, target = words[:2] if is_request else ("", "")
    upgrade = b"\r\nupgrade: websocket" in b"\r\n" + head.lower()
    if upgrade and method == "GET" and not target.startswith("/ws"):
        target = "/nothing"  # a handshake that is not at its path is no operation of that path
    if status != 101:
        check_answer(method, target, status, headers, b"" if method == "HEAD" else body)


# --- the WebSocket


class Frames:
    """The AsyncAPI document, which frames are held to."""

    def __init__(self, document: JSON) -> None:
        self._schemas = Schemas(document)
        self._messages = document["components"]["messages"]
        operations = document["operations"]
        replies = [op["reply"] for op in operations.values() if op["action"] == "receive"]
        pushes = [op for op in operations.values() if op["action"] == "send"]
        sent = {name for told in (*replies, *pushes) for name in self._names(told)}
        self._payloads = {
            self._messages[name]["name"]: self._messages[name]["payload"]["$ref"].removeprefix("#")
            for name in sent
        }
        self.answers = {
            t: {self._messages[name]["name"] for name in self._names(op["reply"])}
            for t, op in operations.items()
            if op["action"] == "receive"
        }
        self.codes = {t: set(operations[t]["x-error-codes"]) for t in self.answers}
        self.unreadable = set(operations["unreadable"]["x-error-codes"])
        self.every_code = set(document["x-error-codes"])
        self.closes = set(map(int, document["x-close-codes"]))

    def _names(self, told: JSON) -> list[str]:
        return [message["$ref"].rpartition("/")[2] for message in told["messages"]]

    def check(self, frame: JSON) -> None:
        """Hold a frame of the server's to the schema of its `t`."""
        payload = self._payloads.get(frame.get("t", ""))
        require(payload is not None, "a frame that is not documented", frame)
        assert payload is not None
        self._schemas.check(payload, frame)


@functools.cache
def frames() -> Frames:
    """What all frames of this repository's servers are held to."""
    return Frames(asyncapi.document(Config()))


class Socket:
    """What is said on one socket: each answer is one that the command may have."""

    def __init__(self, of: Frames | None = None) -> None:
        self._of = of or frames()
        self._entered = False
        self._waiting: Counter[object] = Counter()  # by ref: how many answers are to come
        self._answers: dict[object, set[str]] = {}  # by ref
        # By ref; None: also of what has one that cannot be read.
        self._codes: dict[object, set[str]] = {None: set(self._of.unreadable)}

    def sent(self, text: str | bytes) -> None:
        """Note what the client sent."""
        text = text.decode(errors="replace") if isinstance(text, bytes) else text
        ref = ref_of(text)
        t = _tag_of(text)
        if ref is not None and not self._waiting[ref]:  # it is used again: for another command
            self._codes.pop(ref, None)
            self._answers.pop(ref, None)
        self._waiting[ref] += 1
        codes = self._codes.setdefault(ref, set())
        codes |= self._of.unreadable | self._of.codes.get(t, set())
        self._answers.setdefault(ref, set()).update(self._of.answers.get(t, set()))

    def received(self, frame: JSON) -> None:
        """Check what the server sent."""
        self._of.check(frame)
        self._waiting[frame.get("ref")] -= bool(self._waiting[frame.get("ref")])
        if frame["t"] == "hello":
            require(not self._entered, "hello twice", frame)
            self._entered = True
        elif frame["t"] == "error":
            allowed = self._codes.get(frame["ref"], self._of.every_code)
            if not self._entered:  # whatever came in the place of `auth`
                allowed = allowed | self._of.codes["auth"] | self._of.unreadable
            require(frame["code"] in allowed, "a code that is not documented", frame)
        elif "ref" in frame and frame["ref"] in self._answers:
            answers = self._answers[frame["ref"]]
            require(frame["t"] in answers, "an answer that is not documented", frame)

    def ended(self, code: int | None) -> None:
        """Check how it ended."""
        require(code in self._of.closes | CLIENTS_CLOSES, "a close that is not documented", code)


def _tag_of(text: str) -> str:
    try:
        frame = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    t = frame.get("t") if isinstance(frame, dict) else None
    return t if isinstance(t, str) else ""


# --- the log


@functools.cache
def _routes() -> dict[tuple[str, str], Route]:
    return {(r.method, r.template): r for r in (*ROUTES, *ASSETS, *INTERNAL_ROUTES)}


def wrong_lines(lines: Iterable[str], *, fails: bool = False) -> list[str]:
    """The lines of a pod's log that tell of an answer which its route does not document.

    `fails`: its test lets handlers fail, so that `internal` is what is wanted.
    """
    return [line for line in lines if '"event":"request"' in line and _is_wrong(line, fails)]


def _is_wrong(text: str, fails: bool) -> bool:
    try:
        line = json.loads(text)
    except ValueError:  # half a line: the pod was killed
        return False
    method, code = line["method"], line.get("code")
    if line["route"] is None:
        none = {("not_found", 404), ("method_not_allowed", 405)}
        return method != "OPTIONS" if code is None else (code, line["status"]) not in none
    route = _routes()["GET" if method == "HEAD" else method, line["route"]]
    if code is None:
        return bool(line["status"] not in route.answers)
    if code not in route.codes or line["status"] not in _statuses(Code(code), route):
        return True
    return code == Code.INTERNAL.value and not fails


def _statuses(code: Code, route: Route) -> set[int]:
    problems = {s for s, kind in route.answers.items() if s >= 400 and kind is not None}
    return {ERRORS[code].status, *statuses_of(code), *problems}
