"""S-47: what leaves the server, field by field; a new field is a decision, made here.

Each answer's type is read from the route table, so that no field can be added in passing; and in
real answers to somebody else, nothing that is one's own is found.
"""

import re
from typing import Any

import asyncpg
import msgspec
import pytest

from rtchat.api.routes import INTERNAL_ROUTES, ROUTES
from rtchat.api.types import Problem
from tests.contract.conftest import SignIn
from tests.contract.rest import Caller
from tests.pods import Pod
from tests.sockets import wire

pytestmark = pytest.mark.usefixtures("calm")

FIELDS = {
    "Channel": "createdAt createdBy id lastSeq name readSeq role type unread updatedAt",
    "Channels": "items next",
    "Health": "status",
    "Identities": "items",
    "KeySet": "keys",
    "LinkedIdentity": "linkedAt provider",
    "Linking": "url",
    "LiveSession": "agent createdAt current expiresAt id refreshedAt",
    "Member": "joinedAt role user",
    "Members": "items next",
    "Message": "channelId content deletedAt editedAt id nonce reactions seq timestamp userId",
    "Messages": "hasMore items",
    "Problem": "code detail field retryAfter status title type",
    "Provider": "name title url",
    "Providers": "items",
    "Reaction": "count emoji users",
    "Session": "accessToken expiresIn refreshToken tokenType user",
    "Sessions": "items next",
    "User": "email id lastActive name status",
    "Users": "items",
}
NEVER = re.compile(r"password|hash|secret|salt|address|(^|_)ip($|_)|cookie|internal", re.I)


def structs(kind: Any) -> dict[str, set[str]]:
    """The structs that an answer's type reaches, each with the names of its fields."""
    found: dict[str, set[str]] = {}
    waiting = [kind]
    while waiting:
        kind = waiting.pop()
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            if kind.__name__ not in found:
                fields = msgspec.structs.fields(kind)
                found[kind.__name__] = {field.encode_name for field in fields}
                waiting += [field.type for field in fields]
        else:
            waiting += getattr(kind, "__args__", ())
    return found


def all_structs() -> dict[str, set[str]]:
    found = structs(Problem)
    for route in (*ROUTES, *INTERNAL_ROUTES):
        for kind in route.answers.values():
            found |= structs(kind)
    return found


def test_the_fields_of_every_answer_are_those():
    assert {name: " ".join(sorted(fields)) for name, fields in all_structs().items()} == FIELDS


def test_no_answer_has_a_field_that_nobody_should_see():
    fields = {field for fields in all_structs().values() for field in fields}
    assert [field for field in fields if NEVER.search(field)] == []


async def test_others_see_nothing_that_is_ones_own(pod: Pod, sign_in: SignIn, bob: Caller):
    """Bob reads all that he may of Ann: her address, tokens and nonces are in none of it."""
    ann = await sign_in("ann-of-the-fields")
    channel = await ann.makes("public", bob)
    await ann.says(channel, "hello", nonce="a-nonce-of-hers")
    connection = await asyncpg.connect(pod.database_url)
    try:
        kept = await connection.fetchrow("SELECT * FROM users WHERE id = $1", ann.id)
    finally:
        await connection.close()
    assert kept["email"] == ann.person.email
    own = [ann.person.email, ann.person.token, ann.person.refresh_token, "a-nonce-of-hers"]
    path = f"/channels/{channel['id']}"
    asked = [
        "/users/me", f"/users?ids={ann.id}", "/users?q=ann-of", f"/users?q={ann.person.email}",
        "/channels", "/channels?scope=public", path, f"{path}/members", f"{path}/messages",
        f"{path}/messages/1", "/auth/providers",
    ]  # fmt: skip
    for each in asked:
        response = await bob.get(each)
        assert response.status_code == 200, each
        assert [secret for secret in own if secret in response.text] == [], each
    async with wire(pod.ws_url, bob.person) as socket:
        await socket.send({"t": "sub", "ref": 1, "ch": {str(channel["id"]): 0}})
        frames = await socket.until(t="msg")
    assert [secret for secret in own if secret in str(frames)] == []
