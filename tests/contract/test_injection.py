"""S-48: text that looks like SQL is text, in every field, parameter and frame that takes any.

Afterwards every table is there, and nothing that nobody asked for has changed.
"""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import msgspec
import pytest

from rtchat.api.router import Router
from rtchat.api.routes import ROUTES
from tests.contract.conftest import SignIn
from tests.contract.rest import JSON, TELLTALES, Caller, answer, fields_of, problem
from tests.contract.test_rest_bad_json import FIELDS
from tests.pods import Pod
from tests.sockets import wire

pytestmark = pytest.mark.usefixtures("calm")

PAYLOADS = [
    "' OR '1'='1", "' OR 1=1 --", "'; DROP TABLE users; --", "\"; DROP TABLE users; --",
    "1; DROP TABLE messages", "' UNION SELECT password_hash FROM users --", "\\'; SELECT 1; --",
    "'; SELECT pg_sleep(30); --", "' || (SELECT version()) || '", "$1", "$$; DROP TABLE users; $$",
    "%' OR name LIKE '%", "_%", "{0}{name}", "%(name)s", "%s%n", "E'\\047'", "/**/OR/**/1=1",
    "1) OR (1=1", "NULL", "'::int", "\ufe50; DELETE FROM users", "\u02bc OR 1=1",
]  # fmt: skip


REFUSALS = {"bad_field", "too_long", "not_found", "unauthorized", "nonce_conflict"}


@pytest.fixture(scope="module", autouse=True)
async def unharmed(pod: Pod, calm: None) -> AsyncIterator[None]:
    """The tables, and the users whom no test here makes, are the same afterwards."""
    connection = await asyncpg.connect(pod.database_url)
    look = (
        "SELECT (SELECT count(*) FROM information_schema.columns WHERE table_schema = 'public'),"
        " (SELECT count(*) FROM users WHERE email NOT LIKE 'injected-%'),"
        " (SELECT md5(string_agg(u.password_hash, ',' ORDER BY id)) FROM users u)"
    )
    try:
        before = await connection.fetchrow(look)
        yield
        assert await connection.fetchrow(look) == before
    finally:
        await connection.close()


@pytest.fixture(scope="module")
async def me(sign_in: SignIn) -> Caller:
    return await sign_in("injected")


@pytest.fixture(scope="module")
async def channel(me: Caller) -> JSON:
    return await me.makes()


@pytest.mark.parametrize(("method", "target", "field", "rest"), FIELDS)
async def test_in_any_field_it_is_text_or_refused(
    me: Caller, channel: JSON, method: str, target: str, field: str, rest: JSON
):
    """Taken as it is, or refused as a field; no other error, and nothing of SQL in the answer."""
    target = target.replace("{id}", str(channel["id"]))
    for payload in PAYLOADS:
        response = await me.call(method, target, rest | {field: payload})
        if response.status_code in (200, 201):
            assert response.json().get(field, payload) == payload
        elif response.status_code != 204:
            said = response.json()
            assert said["code"] in REFUSALS, said
            assert not TELLTALES.search(said["detail"].replace(payload, "")), said
    await me.patch("/users/me", {"name": "injected"})


async def test_signing_in_with_it_finds_nobody(nobody: Caller):
    """Neither as an address nor as a password."""
    for payload in PAYLOADS[:4]:
        for email in (payload, f"{payload}@example.org"):
            response = await nobody.post("/auth/login", {"email": email, "password": payload})
            problem(response, "unauthorized", "bad_field", "rate_limited")


async def test_a_password_is_not_changed_by_it(me: Caller):
    """Neither as the one that is, nor as the one to be."""
    for payload in PAYLOADS[:4]:
        body = {"currentPassword": payload, "newPassword": payload[:7]}
        problem(await me.post("/auth/password", body), "bad_field")


PARAMETERS = [
    ("/auth/sessions", "cursor"), ("/auth/sessions", "limit"),
    ("/auth/oauth/nobody", "next"), ("/auth/oauth/nobody/callback", "state"),
    ("/auth/oauth/nobody/callback", "code"), ("/auth/oauth/nobody/callback", "error"),
    ("/auth/oauth/nobody/callback", "iss"),
    ("/users", "q"), ("/users", "ids"), ("/users?q=a", "limit"),
    ("/channels", "scope"), ("/channels", "cursor"), ("/channels", "limit"),
    ("/channels/{id}/members", "cursor"), ("/channels/{id}/members", "limit"),
    ("/channels/{id}/messages", "before"), ("/channels/{id}/messages", "after"),
    ("/channels/{id}/messages", "limit"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "name"), PARAMETERS, ids=lambda part: part.replace("/", " "))
async def test_in_any_parameter_it_finds_nothing_or_is_refused(
    me: Caller, channel: JSON, path: str, name: str
):
    """A search finds nobody; a number, a list or a word that is none is `bad_field`."""
    path = path.replace("{id}", str(channel["id"]))
    path, _, rest = path.partition("?")
    query: dict[str, Any] = dict([rest.split("=")]) if rest else {}
    for payload in PAYLOADS:
        response = await me.get(path, **query | {name: payload})
        if name == "q":
            assert answer(response) == {"items": []}, payload
        else:
            field = None if path.startswith("/auth/oauth/") else name
            problem(response, "not_found" if field is None else "bad_field", field=field)


async def test_in_any_frame_it_is_text_or_refused(pod: Pod, me: Caller, channel: JSON):
    """Content comes back as it was sent; ids, cursors and epochs are none."""
    number = channel["id"]
    async with wire(pod.ws_url, me.person) as socket:
        await socket.ask({"t": "sub", "ref": 0, "ch": {str(number): None}})
        for payload in PAYLOADS[:12]:
            sent = {
                "t": "send",
                "ref": payload,
                "ch": number,
                "content": payload,
                "nonce": f"w{payload}",
            }
            await socket.send(sent)
            *_, delivered = await socket.until(t="msg")
            assert delivered["content"] == payload
        for frame in (
            {"t": "sub", "ref": 1, "ch": {PAYLOADS[0]: 0}},
            {"t": "sub", "ref": 1, "ch": {str(number): PAYLOADS[0]}},
            {"t": "send", "ref": 1, "ch": PAYLOADS[0], "content": "hi"},
            {"t": "edit", "ref": 1, "ch": number, "of": PAYLOADS[0], "content": "hi"},
            {"t": "del", "ref": 1, "ch": number, "of": PAYLOADS[0]},
            {"t": "react", "ref": 1, "ch": number, "of": PAYLOADS[0], "emoji": "👍", "on": True},
        ):
            assert (await socket.ask(frame))["code"] == "bad_field", frame
        await socket.alive()


# --- nothing is left out

ROUTER = Router(ROUTES)
APART = {  # tried in tests of their own: a password is hashed each time
    ("POST", "/auth/login", "email"), ("POST", "/auth/login", "password"),
    ("POST", "/auth/password", "currentPassword"), ("POST", "/auth/password", "newPassword"),
    ("POST", "/auth/logout", "all"),  # true or false: there is no text to put in
    ("POST", "/auth/oauth/{provider:word}/link", "next"),  # as where one signs in
}  # fmt: skip


def path_of(method: str, target: str) -> str:
    """The path in the table that leads there."""
    return ROUTER.match(target.replace("{id}", "1"))[0][method].path


def test_every_field_of_every_body_is_tried():
    """One that is added to the interface is added to the tables of these tests."""
    tried = {(method, path_of(method, target), field) for method, target, field, _ in FIELDS}
    there = {
        (route.method, route.path, field)
        for route in ROUTES
        if route.body is not None
        for field in fields_of(route.body)
    }
    assert there - APART - tried == set()


def test_every_parameter_of_every_query_is_tried():
    tried = {("GET", path_of("GET", path.partition("?")[0]), name) for path, name in PARAMETERS}
    there = {
        (route.method, route.path, field.encode_name)
        for route in ROUTES
        if route.query is not None
        for field in msgspec.structs.fields(route.query)
    }
    assert there - APART - tried == set()
