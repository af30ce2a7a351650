"""Who may do what: everybody, everything, every channel, on REST and WebSocket alike.

The answers that are expected are in `authorization`, computed from the contract's table and not
from `rtchat.rules`. What is added to the interface must find a row there, or its test fails here.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import get_args

import asyncpg
import httpx2
import pytest

from rtchat.api.router import Route
from rtchat.api.routes import ROUTES
from rtchat.commands import Command
from tests.contract.authorization import (
    CHANNEL,
    MISSING,
    OPERATIONS,
    SIGNED_IN,
    STANCES,
    YES,
    Cast,
    Stance,
    command_of,
    expected,
    make_channel,
    request_of,
    state,
    try_command,
)
from tests.contract.conftest import SignIn
from tests.contract.rest import JSON, Caller, answer, fields_of, no_content, problem
from tests.people import People, Person
from tests.pods import Pod
from tests.references import missing_test
from tests.sockets import wire

pytestmark = pytest.mark.usefixtures("calm")

CastOf = Callable[[str], Awaitable[Cast]]

COMMANDS = [name for name, operation in OPERATIONS.items() if operation.command]
# Commands about the connection itself: there is nobody else whose right could be touched.
OWN_COMMANDS = {"auth", "ping", "unsub"}
# Routes with a variable part that is no channel, each with the test of whose it must be.
ELSEWHERE: dict[tuple[str, str], str] = {
    ("DELETE", "/auth/sessions/{id}"): (
        "tests/contract/test_rest_live_sessions.py::test_only_ones_own_sessions_can_be_ended"
    ),
}
# What the contract (§2) leaves open to everybody, by the beginning of its path.
OPEN = (
    "/auth/register", "/auth/login", "/auth/refresh", "/auth/logout", "/auth/providers",
    "/auth/oauth/", "/healthz", "/readyz", "/metrics", "/openapi.json", "/asyncapi.json", "/docs",
    "/.well-known/jwks.json", "/assets", "/ws",
)  # fmt: skip


@pytest.fixture(scope="module")
async def sql(pod: Pod) -> AsyncIterator[asyncpg.Connection]:
    """The pod's database."""
    connection = await asyncpg.connect(pod.database_url)
    yield connection
    await connection.close()


@pytest.fixture(scope="module")
def cast_of(sign_in: SignIn, nobody: Caller) -> "CastOf":
    """The people who try one operation, the same in all its scenes."""
    casts: dict[str, Cast] = {}

    async def cast(name: str) -> Cast:
        if name not in casts:
            casts[name] = Cast(nobody, *[await sign_in(who) for who in SIGNED_IN])
        return casts[name]

    return cast


def succeeded(name: str, response: httpx2.Response) -> None:
    """Check that this is the operation's good answer."""
    done = OPERATIONS[name].done
    if done == 204:
        no_content(response)
    else:
        answer(response, done)


async def over_socket(pod: Pod, actor: Person | None, frame: JSON) -> tuple[str, JSON]:
    """Try a command on a socket of its own; nobody's has not signed in."""
    async with wire(pod.ws_url, actor) as socket:
        if actor is not None:
            return await try_command(socket, frame)
        await socket.send(frame)
        close, frames = await socket.closed()
        assert close == 4001
        return frames[-1]["code"], frames[-1]


@pytest.mark.parametrize("stance", STANCES, ids=str)
@pytest.mark.parametrize("name", OPERATIONS)
async def test_the_table_of_who_may_do_what(
    pod: Pod, sql: asyncpg.Connection, cast_of: CastOf, name: str, stance: Stance
) -> None:
    """S-42: REST and WebSocket answer as the contract's table says; a refusal changes nothing."""
    cast, wanted = await cast_of(name), expected(name, stance)
    actor: Caller = getattr(cast, stance.role)
    channel_id = await make_channel(sql, cast, stance.channel)
    before = await state(sql, channel_id)
    response = await actor.call(*request_of(name, cast, channel_id, stance.role))
    if wanted == YES:
        succeeded(name, response)
        channel_id = await make_channel(sql, cast, stance.channel)
    else:
        problem(response, wanted)
        assert await state(sql, channel_id) == before
    if name in COMMANDS:
        frame = command_of(name, cast, channel_id, stance.role)
        person = None if stance.role == "nobody" else actor.person
        code, _ = await over_socket(pod, person, frame)
        assert code == wanted
        assert wanted == YES or await state(sql, channel_id) == before


@pytest.mark.parametrize("name", OPERATIONS)
async def test_foreign_missing_and_deleted_channels_answer_exactly_alike(
    pod: Pod, sql: asyncpg.Connection, cast_of: CastOf, name: str
) -> None:
    """S-43: the same status, headers and bytes over REST, the same frame over WebSocket."""
    cast = await cast_of(name)
    hidden = [await make_channel(sql, cast, kind) for kind in ("private", "dm", "deleted")]
    answers, frames = set(), set()
    for channel_id in (*hidden, MISSING, 2**53 - 1):
        response = await cast.outsider.call(*request_of(name, cast, channel_id, "outsider"))
        problem(response, "not_found")
        own = {"date", "x-request-id"}
        headers = tuple((k, v) for k, v in response.headers.items() if k not in own)
        answers.add((response.status_code, headers, response.content))
        if name in COMMANDS:
            frame = command_of(name, cast, channel_id, "outsider")
            code, said = await over_socket(pod, cast.outsider.person, frame)
            assert code == "not_found"
            frames.add(str(said).replace(str(channel_id), "ID"))
    assert len(answers) == 1, answers
    assert len(frames) == (name in COMMANDS), frames


def test_every_route_and_every_command_has_a_row() -> None:
    """What is added to the interface is added to the table, or to a test of its own."""
    # A word in a path is a provider's name, which is nobody's: what is meant is the asker's own.
    routes = {(r.method, r.path) for r in ROUTES if re.search(r"\{\w+\}", r.path)}
    tried = {(operation.method, operation.path) for operation in OPERATIONS.values()}
    assert tried <= routes
    assert {r for r in routes if r[1].startswith(CHANNEL)} <= tried
    assert routes - tried == set(ELSEWHERE)
    assert [test for test in ELSEWHERE.values() if missing_test(test)] == []
    commands = {kind.__struct_config__.tag for kind in get_args(Command)}
    assert commands == {OPERATIONS[name].command for name in COMMANDS} | OWN_COMMANDS


@pytest.mark.parametrize(
    "route", [r for r in ROUTES if r.auth], ids=lambda r: f"{r.method} {r.path}"
)
async def test_nobody_without_a_token_is_answered(nobody: Caller, route: Route) -> None:
    """401 from every route that is not open by the contract, before anything else is looked at."""
    path = re.sub(r"\{[^}]+\}", "1", route.path)
    problem(await nobody.call(route.method, path), "unauthorized")


def test_what_is_open_to_everybody_is_what_the_contract_names() -> None:
    """No route is open by mistake."""
    assert [r.path for r in ROUTES if not r.auth and not r.path.startswith(OPEN)] == ["/"]


# --- S-46: what a client may set

# The bodies of the contract (§2), by the fields that are read.
BODIES = {
    "POST /auth/register": "email password name",
    "POST /auth/login": "email password",
    "POST /auth/refresh": "refreshToken",
    "POST /auth/logout": "refreshToken all",
    "POST /auth/oauth/exchange": "code",
    "PATCH /users/me": "name status",
    "POST /channels": "name type members",
    "PATCH /channels/{id}": "name",
    "POST /channels/{id}/members": "userId role",
    "PATCH /channels/{id}/members/{userId}": "role",
    "POST /channels/{id}/messages": "content nonce",
    "PATCH /channels/{id}/messages/{seq}": "content nonce",
}
FORGED: JSON = {
    "id": 7, "seq": 7, "lastSeq": 7, "readSeq": 7, "userId": 7, "sender": 7, "createdBy": 7,
    "timestamp": "2020-01-01T00:00:00.000Z", "createdAt": "2020-01-01T00:00:00.000Z",
    "joinedAt": "2020-01-01T00:00:00.000Z", "editedAt": "2020-01-01T00:00:00.000Z", "dmKey": "7",
}  # fmt: skip


def test_bodies_take_the_fields_of_the_contract_and_no_others() -> None:
    """S-46: a field that is not named there is never read; new bodies take none of the server's."""
    read = {f"{r.method} {r.path}": fields_of(r.body) for r in ROUTES if r.body}
    assert {k: v for k, v in read.items() if k in BODIES} == {
        k: set(fields.split()) for k, fields in BODIES.items() if k in read
    }
    for name in read.keys() - BODIES.keys():
        assert read[name] & (set(FORGED) | {"role"}) == set(), name


async def test_what_the_server_sets_is_not_taken_from_a_body(
    sign_in: SignIn, sql: asyncpg.Connection
) -> None:
    """S-46: channels, members, messages and edits are stored as if those fields were not there."""
    ann, bob = await sign_in("ann"), await sign_in("bob")
    channel = await ann.makes("public", **FORGED, role="member")
    assert (channel["role"], channel["createdBy"], channel["lastSeq"]) == ("owner", ann.id, 0)
    path = f"/channels/{channel['id']}"
    forged = {**FORGED, "userId": bob.id}
    member = answer(await ann.post(f"{path}/members", forged), 201)
    assert (member["user"]["id"], member["role"]) == (bob.id, "member")
    said = answer(await bob.post(f"{path}/messages", {**FORGED, "content": "hi"}), 201)
    answer(await bob.patch(f"{path}/messages/{said['seq']}", {**FORGED, "content": "ho"}))
    answer(await ann.patch(path, {**FORGED, "name": "renamed"}))
    rows = await sql.fetch(
        "SELECT seq, user_id FROM messages WHERE channel_id = $1"
        " AND timestamp > now() - interval '1 hour' ORDER BY seq",
        channel["id"],
    )
    assert [tuple(row) for row in rows] == [(1, ann.id), (2, bob.id), (3, bob.id), (4, ann.id)]


# --- S-45: a change of somebody's rights holds from the next operation on, on every pod


async def test_changed_rights_hold_at_once_on_another_pod(two_pods: tuple[Pod, Pod]) -> None:
    """S-45: made an admin, lowered, removed on one pod; the next operation on the other knows."""
    near_pod, far_pod = two_pods
    async with (
        People(near_pod.database_url) as people,
        httpx2.AsyncClient(base_url=near_pod.url) as near,
        httpx2.AsyncClient(base_url=far_pod.url) as far,
    ):
        owner = Caller(near, await people.new("owner"))
        bob = Caller(far, await people.new("bob"))
        async with wire(far_pod.ws_url, bob.person) as socket:
            for kind, outside in (("public", "forbidden"), ("private", "not_found")):
                channel = await owner.makes(kind, bob)
                path = f"/channels/{channel['id']}"
                member = f"{path}/members/{bob.id}"

                async def both(wanted: str, path: str = path, channel: JSON = channel) -> None:
                    """Bob deletes others' messages, over REST and over his socket."""
                    first, second = [(await owner.says(channel, "x"))["seq"] for _ in range(2)]
                    over_rest = await bob.delete(f"{path}/messages/{first}")
                    if wanted == YES:
                        no_content(over_rest)
                    else:
                        problem(over_rest, wanted)
                    frame = {"t": "del", "ref": "it", "ch": channel["id"], "of": second}
                    assert (await try_command(socket, frame))[0] == wanted

                await both("forbidden")
                answer(await owner.patch(member, {"role": "admin"}))
                await both(YES)
                answer(await owner.patch(member, {"role": "member"}))
                await both("forbidden")
                no_content(await owner.delete(member))
                await both(outside)
                problem(await bob.get(f"{path}/messages"), outside)
                frame = {"t": "sub", "ref": "it", "ch": {str(channel["id"]): None}}
                assert (await try_command(socket, frame))[0] == outside
