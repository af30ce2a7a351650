"""One's own sessions: what the list says, ending one of them, and how many there may be."""

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import httpx2
import pytest
import websockets

from tests.contract.rest import (
    ID_MAX,
    JSON,
    Caller,
    answer,
    is_time,
    no_content,
    problem,
)
from tests.contract.test_rest_sessions import is_in, refresh, refuses
from tests.people import People, Person
from tests.pods import Pod, Pods

pytestmark = pytest.mark.usefixtures("calm")

AGENT = "Mozilla/5.0 (X11; Linux x86_64) rtchat-tests/1"
SESSIONS_MAX = 3


async def listing(caller: Caller, **query: int) -> list[JSON]:
    page = answer(await caller.get("/auth/sessions", **query))
    assert set(page) == {"items", "next"}
    items: list[JSON] = page["items"]
    return items


async def test_the_list_has_every_session_that_stands(nobody: Caller, people: People):
    """S-32: the newest first, the present one marked; neither those that ended nor another's."""
    ann, bob = await people.new("ann"), await people.new("bob")
    other, out = await people.again(ann), await people.again(ann)
    no_content(await nobody.post("/auth/logout", {"refreshToken": out.refresh_token}))
    items = await listing(Caller(nobody.http, ann))
    assert [item["id"] for item in items] == [str(other.session_id), str(ann.session_id)]
    assert [item["current"] for item in items] == [False, True]
    for item in items:
        assert set(item) == {"id", "createdAt", "refreshedAt", "expiresAt", "agent", "current"}
        assert is_time(item["createdAt"]) <= is_time(item["refreshedAt"])
    assert str(bob.session_id) not in {item["id"] for item in items}


async def test_a_session_says_which_program_opened_it(nobody: Caller):
    """The printable part of the User-Agent at sign-in, 256 characters at most; it is kept."""
    body = {"email": f"agent-{id(nobody)}@example.org", "password": "correct horse"}
    headers = {"User-Agent": AGENT + "x" * 500}
    made = answer(await nobody.http.post("/auth/register", json=body, headers=headers), 201)
    renewed = await refresh(nobody, made["refreshToken"])
    bearer = {"Authorization": f"Bearer {renewed['accessToken']}"}
    (item,) = answer(await nobody.http.get("/auth/sessions", headers=bearer))["items"]
    assert item["agent"] == (AGENT + "x" * 500)[:256]
    assert is_time(item["refreshedAt"]) >= is_time(item["createdAt"])
    silent = answer(await nobody.http.post("/auth/login", json=body, headers={"User-Agent": ""}))
    bearer = {"Authorization": f"Bearer {silent['accessToken']}"}
    agents = [
        i["agent"] for i in answer(await nobody.http.get("/auth/sessions", headers=bearer))["items"]
    ]
    assert agents[0] == ""


async def test_the_list_comes_in_pages(nobody: Caller, people: People):
    """Each session once; `next` is null at the end."""
    ann = await people.new("ann")
    everything = [ann, *[await people.again(ann) for _ in range(4)]]
    caller, seen = Caller(nobody.http, ann), []
    cursor: Any = 0
    for size in (2, 2, 1):
        page = answer(await caller.get("/auth/sessions", limit=2, cursor=cursor))
        assert len(page["items"]) == size
        seen += [item["id"] for item in page["items"]]
        cursor = page["next"]
    assert cursor is None
    whole = answer(await caller.get("/auth/sessions", cursor=ID_MAX))
    assert whole["items"], "an id may be larger than 2^31"
    assert seen == [str(person.session_id) for person in reversed(everything)]
    problem(await caller.get("/auth/sessions", limit=0), "bad_field", field="limit")
    problem(await caller.get("/auth/sessions", cursor="x"), "bad_field", field="cursor")


async def test_a_session_is_ended_from_another(nobody: Caller, people: People, pod: Pod):
    """Its tokens are dead and its socket closes with 4004; the one that ended it stays."""
    ann = await people.new("ann")
    other = await people.again(ann)
    caller = Caller(nobody.http, ann)
    async with (
        websockets.connect(pod.ws_url, additional_headers=ann.headers) as mine,
        websockets.connect(pod.ws_url, additional_headers=other.headers) as theirs,
    ):
        await mine.recv()
        await theirs.recv()
        no_content(await caller.delete(f"/auth/sessions/{other.session_id}"))
        async with asyncio.timeout(5):
            await theirs.wait_closed()
        assert theirs.close_code == 4004
        await mine.send('{"t":"ping","ref":1}')
        assert await mine.recv() == '{"t":"pong","ref":1}'
    assert not await is_in(nobody.http, other.token)
    await refuses(nobody, other.refresh_token)
    assert [item["id"] for item in await listing(caller)] == [str(ann.session_id)]


async def test_the_present_session_may_be_ended_too(nobody: Caller, people: People):
    ann = await people.new("ann")
    no_content(await Caller(nobody.http, ann).delete(f"/auth/sessions/{ann.session_id}"))
    assert not await is_in(nobody.http, ann.token)


async def test_only_ones_own_sessions_can_be_ended(nobody: Caller, people: People):
    """Another's, one that ended, one that was never there: the same 404; what is no id, too."""
    ann, bob = await people.new("ann"), await people.new("bob")
    ended = await people.again(ann)
    caller = Caller(nobody.http, ann)
    no_content(await caller.delete(f"/auth/sessions/{ended.session_id}"))
    said = set()
    for number in (bob.session_id, ended.session_id, 2**53 - 1):
        response = await caller.delete(f"/auth/sessions/{number}")
        problem(response, "not_found")
        said.add(response.content)
    assert len(said) == 1
    for text in (0, "x", "-1", "١", 2**63):
        problem(await caller.delete(f"/auth/sessions/{text}"), "not_found")
    assert await is_in(nobody.http, bob.token)


# --- how many


@pytest.fixture(scope="module")
async def few(pods: Pods, module_database_url: str) -> Pod:
    """A pod that lets a user have three sessions, and sign in as often as it likes at once."""
    settings = {"sessions_per_user": SESSIONS_MAX, "account_failures_max": 0}
    return await pods.start(module_database_url, **settings)


async def test_beyond_the_limit_the_one_unused_longest_ends(few: Pod):
    """Promise 6: a sign-in is never refused for it; the other's socket closes with 4004."""
    body = {"email": "ann@example.org", "password": "correct horse"}
    async with People(few.database_url) as people:
        caller = Caller(_client(few))
        async with caller.http:
            user = answer(await caller.post("/auth/register", body), 201)["user"]
            first, second, third = [await _again(people, user["id"]) for _ in range(3)]
            await _age(few, first, hours=1)
            await _age(few, second, hours=3)
            await _age(few, third, hours=2)
            await refresh(caller, first.refresh_token)
            async with websockets.connect(few.ws_url, additional_headers=second.headers) as socket:
                await socket.recv()
                answer(await caller.post("/auth/login", body))
                async with asyncio.timeout(6):
                    await socket.wait_closed()
                assert socket.close_code == 4004
            await refuses(caller, second.refresh_token)
            assert await is_in(caller.http, first.token)
            left = await listing(Caller(caller.http, first))
            assert len(left) == SESSIONS_MAX
            why = [e["why"] for e in few.events("session ended")]
            assert why == ["limit"] * 2


async def test_signing_in_at_once_keeps_to_the_limit(few: Pod):
    """However many come together. (Ten under way at once is what the throttle lets try.)"""
    body = {"email": "bob@example.org", "password": "correct horse"}
    async with _client(few) as http:
        caller = Caller(http)
        answer(await caller.post("/auth/register", body), 201)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(caller.post("/auth/login", body)) for _ in range(9)]
        tokens = [answer(task.result())["accessToken"] for task in tasks]
        standing = 0
        for token in tokens:
            response = await http.get(
                "/auth/sessions", headers={"Authorization": f"Bearer {token}"}
            )
            if response.status_code == 200:
                standing = len(answer(response)["items"])
        assert standing == SESSIONS_MAX


def _client(pod: Pod) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=pod.url, timeout=20)


async def _again(people: People, user_id: int) -> Person:
    return await people.sign_in(user_id, "ann", "ann@example.org")


async def _age(pod: Pod, person: Person, hours: int) -> None:
    connection = await asyncpg.connect(pod.database_url)
    try:
        await connection.execute(
            "UPDATE sessions SET created_at = created_at - $2::interval,"
            " refreshed_at = refreshed_at - $2::interval WHERE id = $1",
            person.session_id,
            timedelta(hours=hours),
        )
    finally:
        await connection.close()
