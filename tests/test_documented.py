"""The checks that every answer, frame and log line passes: each of them can fail."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest

from rtchat.api.routes import ASSETS
from tests import documented
from tests.contract.rest import Caller
from tests.documented import Answer, Socket, Undocumented
from tests.people import People
from tests.pods import Pod
from tests.raw import eventually

ASSET = ASSETS[0].path
ANN = {"id": 1, "name": "Ann", "status": "", "lastActive": None, "email": "ann@example.org"}
MESSAGE = {
    "id": "1:1", "channelId": 1, "seq": 1, "userId": 1, "content": "hi",
    "timestamp": "2026-01-31T12:00:00.000Z",
}  # fmt: skip


def answered(asked: str, status: int, value: Any = None, kind: str = "application/json") -> Answer:
    """An answer to `METHOD path`; without a value it has no body."""
    method, _, path = asked.partition(" ")
    headers = {"content-type": kind} if value is not None else {}
    body = b"" if value is None else json.dumps(value).encode()
    return Answer(method, path, status, headers, body)


def problem(asked: str, status: int, code: str, **more: Any) -> Answer:
    """An error."""
    value = {
        "type": f"urn:rtchat:error:{code}", "title": "x", "status": status, "detail": "x",
        "code": code, **more,
    }  # fmt: skip
    return answered(asked, status, value, documented.PROBLEM)


DOCUMENTED = {
    "an answer": answered("GET /users/me", 200, ANN),
    "with parameters": answered("GET /channels/7/messages/1205", 200, MESSAGE),
    "without a body": answered("DELETE /channels/7", 204),
    "HEAD": Answer("HEAD", "/users/me", 200, {"content-type": "application/json"}, b""),
    "a page": Answer("GET", "/docs", 200, {"content-type": "text/html; charset=utf-8"}, b"<p>"),
    "a page that is known": answered("GET /docs", 304),
    "a way on": answered("GET /auth/oauth/corp", 302),
    "an error": problem("GET /users/me", 401, "token_expired"),
    "an error with all": problem("GET /users", 429, "rate_limited", field="q", retryAfter=2),
    "OPTIONS": Answer("OPTIONS", "/users/me", 204, {"allow": "GET"}, b""),
    "no such method": problem("PUT /users/me", 405, "method_not_allowed"),
    "no such path": problem("GET /nothing", 404, "not_found"),
    "no number": problem("GET /channels/x", 404, "not_found"),
    "a number with a zero": problem("GET /channels/07", 404, "not_found"),
    "a number that is too large": problem(f"GET /channels/{2**53}", 404, "not_found"),
    "no HTTP": problem(" ", 400, "bad_message"),
    "an asset": Answer("GET", ASSET, 200, {"content-type": "text/css"}, b""),
    "no operator": problem("POST /internal/drain", 401, "unauthorized"),
}
UNDOCUMENTED = {
    "a status": answered("GET /users/me", 201, ANN),
    "a status of another method": answered("DELETE /channels/7", 200, {}),
    "a media type": answered("GET /users/me", 200, ANN, "text/plain"),
    "no media type": answered("GET /users/me", 200),
    "a body where there is none": answered("DELETE /channels/7", 204, {}),
    "a missing field": answered("GET /users/me", 200, {"id": 1}),
    "a field too many": answered("GET /users/me", 200, {**ANN, "passwordHash": "x"}),
    "a field too many further down": answered(
        "GET /users", 200, {"items": [{**ANN, "passwordHash": "x"}]}
    ),
    "a wrong type": answered("GET /users/me", 200, {**ANN, "id": "1"}),
    "a time that is none": answered("GET /users/me", 200, {**ANN, "lastActive": "yesterday"}),
    "a code of others": problem("GET /users/me", 409, "conflict"),
    "a code with another's status": problem("GET /users/me", 401, "forbidden"),
    "a code that is none": problem("GET /users/me", 401, "who_knows"),
    "another status in the body": problem("GET /channels/7/messages", 401, "unauthorized")._replace(
        status=403
    ),
    "a field of no problem": problem("GET /users/me", 401, "unauthorized", trace="x"),
    "a good answer to OPTIONS": answered("OPTIONS /users/me", 200),
    "OPTIONS without Allow": answered("OPTIONS /users/me", 204),
    "a method that there is not": answered("PUT /users/me", 200, ANN),
    "a path that there is not": answered("GET /nothing", 200, ANN),
    "a code of a path that there is not": problem("GET /nothing", 403, "forbidden"),
    "an asset with an error": problem(f"GET {ASSET}", 403, "forbidden"),
}


@pytest.mark.parametrize("answer", DOCUMENTED.values(), ids=DOCUMENTED)
def test_what_the_document_says_passes(answer: Answer):
    documented.rest().check(answer)


@pytest.mark.parametrize("answer", UNDOCUMENTED.values(), ids=UNDOCUMENTED)
def test_what_the_document_does_not_say_is_found(answer: Answer):
    with pytest.raises(Undocumented):
        documented.rest().check(answer)


# --- where tests speak


@pytest.fixture
async def liar() -> httpx2.AsyncClient:
    """A client whose server answers everything with a user."""

    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json=ANN)

    return httpx2.AsyncClient(transport=httpx2.MockTransport(answer), base_url="http://x")


async def test_a_client_that_is_watched_finds_it(liar: httpx2.AsyncClient):
    assert (await liar.get("/channels/7")).status_code == 200, "not watched"
    documented.watch(liar)
    assert (await liar.get("/users/me?x=1")).status_code == 200
    with pytest.raises(Undocumented):
        await liar.get("/channels/7")


async def test_a_caller_finds_it(liar: httpx2.AsyncClient):
    with pytest.raises(Undocumented):
        await Caller(liar).get("/channels/7")


def test_what_came_on_a_raw_connection_is_found():
    ask = b"GET /users/me HTTP/1.1\r\nHost: x\r\n\r\n"
    _, _, _, headers, body = problem("", 409, "conflict")
    with pytest.raises(Undocumented):
        documented.check_raw(ask, 409, headers, body)
    _, _, _, headers, body = problem("", 426, "bad_message")
    documented.check_raw(ask.replace(b"/users/me", b"/ws"), 426, headers, body)


# --- the WebSocket

HEAD: dict[str, Any] = {"t": "ok", "ref": 1, "ch": {"7": {"head": 0}}}


def error(ref: Any, code: str) -> dict[str, Any]:
    return {"t": "error", "ref": ref, "code": code, "message": "x", "retry": False}


SAID: dict[str, tuple[str, dict[str, Any]]] = {
    "an answer": ('{"t":"sub","ref":1,"ch":{"7":null}}', HEAD),
    "an error": ('{"t":"send","ref":1}', error(1, "nonce_conflict")),
    "of the same ref": ('{"t":"ping","ref":1}', error(1, "draining")),
    "no command": ('{"t":"x","ref":"a"}', error("a", "unknown_type")),
    "no JSON": ("{", error(None, "bad_json")),
    "no ref that is one": ('{"t":"ping","ref":{}}', error(None, "bad_field")),
    "no ref of ours": ("", error("another's", "nonce_conflict")),
}
WRONG: dict[str, tuple[str, dict[str, Any]]] = {
    "a frame": ("{}", {"t": "nothing"}),
    "no frame": ("{}", {}),
    "a missing field": ("{}", {"t": "typing", "ch": 7}),
    "a field too many": ("{}", {"t": "pong", "ref": 1, "ts": 1}),
    "a wrong type": ("{}", {**HEAD, "ch": {"7": {"head": "0"}}}),
    "a code of other commands": ('{"t":"ping","ref":1}', error(1, "nonce_conflict")),
    "a code of commands for what is none": ("{", error(None, "conflict")),
    "a command's for what is none": ('{"t":"x","ref":"a"}', error("a", "forbidden")),
    "a code that is no frame's": ("", error("another's", "conflict")),
    "another command's answer": ('{"t":"ping","ref":1}', HEAD),
}
HELLO = {
    "t": "hello", "session": "1", "user": ANN, "exp": 1, "epoch": "x", "heartbeat": 25,
    "limits": {"frameBytes": 1, "contentChars": 1, "subs": 1, "sendsPerSecond": 1},
}  # fmt: skip


@pytest.mark.parametrize(("sent", "frame"), SAID.values(), ids=SAID)
def test_a_frame_that_is_described_passes(sent: str, frame: dict[str, Any]):
    socket = Socket()
    socket.received(HELLO)
    socket.sent(sent)
    socket.received(frame)


@pytest.mark.parametrize(("sent", "frame"), WRONG.values(), ids=WRONG)
def test_a_frame_that_is_not_described_is_found(sent: str, frame: dict[str, Any]):
    socket = Socket()
    socket.received(HELLO)
    socket.sent(sent)
    with pytest.raises(Undocumented):
        socket.received(frame)


def test_before_hello_come_the_errors_of_auth():
    socket = Socket()
    socket.sent('{"t":"ping","ref":1}')
    socket.received(error(None, "unauthorized"))
    with pytest.raises(Undocumented):
        socket.received(error(None, "nonce_conflict"))
    socket.received(HELLO)
    with pytest.raises(Undocumented):
        socket.received(HELLO)


def test_a_close_that_is_not_described_is_found():
    for code in (4001, 1009, 1000, 1006):
        Socket().ended(code)
    for wrong in (4000, 1008, None):
        with pytest.raises(Undocumented):
            Socket().ended(wrong)


# --- the log


def line(method: str, route: str | None, status: int, code: str | None = None) -> str:
    """A line of the log, as a pod writes it."""
    told = {"event": "request", "method": method, "route": route, "status": status}
    return json.dumps(told | ({} if code is None else {"code": code}), separators=(",", ":"))


RIGHT_LINES = [
    line("GET", "/users/me", 200),
    line("HEAD", "/users/me", 200),
    line("OPTIONS", None, 204),
    line("GET", "/users/me", 401, "unauthorized"),
    line("POST", "/auth/login", 413, "too_large"),
    line("GET", "/ws", 426, "bad_message"),
    line("GET", "/auth/oauth/{provider}", 404, "not_found"),
    line("POST", "/internal/drain", 401, "unauthorized"),
    line("GET", None, 404, "not_found"),
    line("PUT", None, 405, "method_not_allowed"),
    line("GET", "/users/me", 201)[:-5],
    '{"event":"started"}',
    "a line of nobody's",
]
WRONG_LINES = [
    line("GET", "/users/me", 201),
    line("GET", "/users/me", 409, "conflict"),
    line("GET", "/users/me", 403, "unauthorized"),
    line("GET", "/users/me", 500, "internal"),
    line("GET", None, 200),
    line("GET", None, 403, "forbidden"),
]


def test_a_line_of_an_undocumented_answer_is_found():
    assert documented.wrong_lines([*RIGHT_LINES, *WRONG_LINES]) == WRONG_LINES
    wanted = line("GET", "/users/me", 500, "internal")
    assert documented.wrong_lines([wanted], fails=True) == []


async def test_a_pod_says_which_route_answered_and_which_error(
    pod: Pod, http: httpx2.AsyncClient, people: People
):
    """Whoever reads the logs of many pods counts by them; and whose error it was."""
    ann = await people.new("ann")
    asked: dict[str, Callable[[], Awaitable[httpx2.Response]]] = {
        "/auth/identities/{provider}": lambda: http.delete(
            "/auth/identities/nobody", headers=ann.headers
        ),
        "/users/me": lambda: http.get("/users/me", headers=ann.headers),
        "nothing": lambda: http.get("/nothing"),
    }
    told = []
    for ask in asked.values():
        number = (await ask()).headers["x-request-id"]
        await eventually(lambda number=number: number in pod.log())  # behind its answer
        [found] = [one for one in pod.events("request") if one["request"] == number]
        told.append((found["route"], found["status"], found.get("code"), found["user"]))
    assert told == [
        ("/auth/identities/{provider}", 404, "not_found", ann.id),
        ("/users/me", 200, None, ann.id),
        (None, 404, "not_found", None),
    ]
    assert pod.wrong_lines() == []
