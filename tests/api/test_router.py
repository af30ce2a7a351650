"""A path matches exactly or not at all; the routes are those of the contract (§2)."""

import re
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from rtchat.api.call import Call
from rtchat.api.router import Answer, Route, Router
from rtchat.api.routes import ROUTES
from rtchat.errors import ChatError, Code
from rtchat.model import ID_MAX


async def handler(_: Call) -> Answer:
    return 204, None


def route(method: str, path: str) -> Route:
    return Route(method, path, handler, {204: None})


ROUTER = Router(
    [
        route("GET", "/"),
        route("GET", "/users/me"),
        route("GET", "/users/{id}"),
        route("GET", "/channels"),
        route("POST", "/channels"),
        route("GET", "/channels/{id}"),
        route("DELETE", "/channels/{id}/members/{userId}"),
        route("GET", "/auth/{provider:word}/callback"),
    ]
)


def found(path: str, router: Router = ROUTER) -> tuple[list[str], dict[str, int]]:
    """The methods of a path, and the ids in it."""
    routes, ids, _ = router.match(path)
    return sorted(routes), ids


@pytest.mark.parametrize("word", ["google", "my-company-2", "a", "x" * 32])
def test_a_word_is_small_letters_digits_and_hyphens(word: str):
    _, ids, words = ROUTER.match(f"/auth/{word}/callback")
    assert ids == {}
    assert words == {"provider": word}


@pytest.mark.parametrize("word", ["", "Google", "x" * 33, "a_b", "a.b", "%61", "ä", "a\n", ".."])
def test_nothing_else_is_a_word(word: str):
    assert is_nothing(f"/auth/{word}/callback")


def is_nothing(path: str, router: Router = ROUTER) -> bool:
    try:
        router.match(path)
    except ChatError as error:
        return error.code is Code.NOT_FOUND
    return False


@pytest.mark.parametrize(
    ("path", "methods", "ids"),
    [
        ("/", ["GET"], {}),
        ("/channels", ["GET", "POST"], {}),
        ("/channels/17", ["GET"], {"id": 17}),
        ("/channels/17/members/42", ["DELETE"], {"id": 17, "userId": 42}),
        ("/users/42", ["GET"], {"id": 42}),
        ("/users/me", ["GET"], {}),
        (f"/channels/{ID_MAX}", ["GET"], {"id": ID_MAX}),
    ],
)
def test_a_path_leads_to_its_routes(path: str, methods: list[str], ids: dict[str, int]):
    assert found(path) == (methods, ids)


@pytest.mark.parametrize(
    "path",
    ["", "//", "/channels/", "//channels", "/channels//17", "/channels/17/", "/Channels",
     "/CHANNELS", "channels", "/channels/.", "/channels/../channels", "/./channels", "/channels;x",
     "/channels%2F", "/channels/17/members", "/channels/17/members/42/x", "/nothing", "/channels\0",
     "/channels ", "http://evil.example/channels", "http:/channels", "x/channels", "/users/ME",
     "/{id}", "/channels/{id}"],
)  # fmt: skip
def test_no_other_path_leads_anywhere(path: str):
    assert is_nothing(path)


@pytest.mark.parametrize(
    "segment",
    ["0", "-1", "+1", "01", "1.0", "1e3", "1_0", " 1", "1 ", "\u0661", "\u00b2", "\uff11", "x", "",
     str(2**53), str(2**63), "9" * 17, "9" * 5000, "1\n", "1\0", "0x10", "null", "\ud800"],
)  # fmt: skip
def test_an_id_is_the_decimal_digits_of_an_id(segment: str):
    """And nothing else that Python would take for a number."""
    assert is_nothing(f"/channels/{segment}")


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.text(alphabet="/channelsusrm17.%") | st.text())
def test_any_path_is_one_of_the_routes_or_nothing(path: str):
    known = r"/|/users/(me|\d+)|/channels(/\d+(/members/\d+)?)?"
    assert is_nothing(path) or re.fullmatch(known, path, re.ASCII)


def test_two_routes_cannot_be_the_same():
    with pytest.raises(AssertionError):
        Router([route("GET", "/channels/{id}"), route("GET", "/channels/{id}")])


def test_one_place_has_one_name():
    with pytest.raises(AssertionError):
        Router([route("GET", "/channels/{id}"), route("POST", "/channels/{channelId}/join")])


# --- the table

# The contract's rows, a line for each method and path; to be served by other parts: SSO, documents,
# metrics.
CONTRACT = """
POST /auth/register
POST /auth/login
POST /auth/refresh
POST /auth/logout
GET /auth/providers
GET /auth/oauth/{provider}
GET /auth/oauth/{provider}/callback
POST /auth/oauth/exchange
POST /auth/password
GET /auth/sessions
DELETE /auth/sessions/{id}
GET /ws
GET /.well-known/jwks.json
GET /users/me
PATCH /users/me
GET /users
GET /channels
POST /channels
GET /channels/{id}
PATCH /channels/{id}
DELETE /channels/{id}
POST /channels/{id}/join
POST /channels/{id}/leave
GET /channels/{id}/members
POST /channels/{id}/members
PATCH /channels/{id}/members/{userId}
DELETE /channels/{id}/members/{userId}
GET /channels/{id}/messages
POST /channels/{id}/messages
GET /channels/{id}/messages/{seq}
GET /healthz
GET /readyz
"""
LATER = """
PATCH /channels/{id}/messages/{seq}
DELETE /channels/{id}/messages/{seq}
GET /metrics
GET /openapi.json
GET /asyncapi.json
GET /
GET /docs
GET /docs/ws
"""
# Beside the contract's, written down in docs/protocol.md.
FURTHER = """
POST /auth/oauth/{provider}/link
GET /auth/identities
DELETE /auth/identities/{provider}
"""
OPEN = {
    "/auth/oauth/{provider:word}", "/auth/oauth/{provider:word}/callback",
    "/auth/register", "/auth/login", "/auth/refresh", "/auth/logout", "/auth/providers", "/healthz",
    "/readyz", "/ws", "/metrics", "/auth/oauth/exchange", "/openapi.json", "/asyncapi.json",
    "/", "/docs", "/docs/ws", "/.well-known/jwks.json",
}  # fmt: skip


def lines(text: str) -> set[str]:
    return {line for line in text.splitlines() if line}


def test_the_routes_are_the_contracts():
    served = {f"{r.method} {r.path.replace(':word', '')}" for r in ROUTES}
    assert served >= lines(CONTRACT)
    assert served <= lines(CONTRACT) | lines(LATER) | lines(FURTHER)


def test_every_route_is_found_by_its_path():
    router = Router(ROUTES)
    for r in ROUTES:
        routes, ids, words = router.match(re.sub(r"\{[\w:]+\}", "17", r.path))
        assert routes[r.method] is r
        assert words == dict.fromkeys(re.findall(r"\{(\w+):word\}", r.path), "17")
        assert ids == dict.fromkeys(re.findall(r"\{(\w+)\}", r.path), 17)


@pytest.mark.parametrize("r", ROUTES, ids=lambda r: f"{r.method} {r.path}")
def test_a_route_asks_for_a_token_unless_the_contract_says_otherwise(r: Route):
    assert bool(r.auth) is (r.path not in OPEN)


def test_a_token_is_looked_at_on_two_open_paths():
    """All of one's sessions end by one's token, and a handshake may carry it."""
    assert [r.path for r in ROUTES if r.auth is None] == ["/auth/logout", "/ws"]


def test_a_route_that_takes_a_body_has_its_decoder():
    taking = [r for r in ROUTES if r.body is not None]
    assert taking
    for r in ROUTES:
        assert (r.decoder is not None) is (r in taking)
        assert r.decoder is None or r.decoder.type is r.body


STATUSES = {
    "POST /auth/register": {201},
    "POST /auth/logout": {204},
    "GET /auth/oauth/{provider:word}": {302},
    "GET /auth/oauth/{provider:word}/callback": {302},
    "DELETE /auth/identities/{provider:word}": {204},
    "POST /auth/password": {204},
    "DELETE /auth/sessions/{id}": {204},
    "GET /ws": {426},
    "POST /channels": {200, 201},
    "DELETE /channels/{id}": {204},
    "POST /channels/{id}/leave": {204},
    "POST /channels/{id}/members": {200, 201},
    "DELETE /channels/{id}/members/{userId}": {204},
    "POST /channels/{id}/messages": {200, 201},
    "DELETE /channels/{id}/messages/{seq}": {204},
    "GET /openapi.json": {200, 304},
    "GET /asyncapi.json": {200, 304},
    "GET /": {200, 304},
    "GET /docs": {200, 304},
    "GET /docs/ws": {200, 304},
}


@pytest.mark.parametrize("r", ROUTES, ids=lambda r: f"{r.method} {r.path}")
def test_a_route_answers_with_the_contracts_statuses(r: Route):
    answers: dict[int, Any] = r.answers
    assert answers.keys() == STATUSES.get(f"{r.method} {r.path}", {200})
    assert all((body is None) is (status in (204, 302, 304)) for status, body in answers.items())
