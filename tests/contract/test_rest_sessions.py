"""The life of a session: refresh tokens that work once, and signing out."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import asyncpg
import httpx2
import jwt
import pytest
import websockets

from tests.contract.rest import JSON, Caller, answer, is_session, no_content, problem
from tests.people import People, Person
from tests.pods import Pod
from tests.sockets import wire

pytestmark = pytest.mark.usefixtures("calm")

HEARD_S = 5.0  # a pod asks the database every 1.5 s which sessions have ended


async def refresh(nobody: Caller, token: str) -> JSON:
    """Trade a refresh token."""
    return answer(await nobody.post("/auth/refresh", {"refreshToken": token}))


async def refuses(nobody: Caller, token: str) -> None:
    """Check that a refresh token is not good."""
    problem(await nobody.post("/auth/refresh", {"refreshToken": token}), "unauthorized")


async def is_in(http: httpx2.AsyncClient, token: str) -> bool:
    """Whether an access token is good."""
    response = await http.get("/users/me", headers={"Authorization": f"Bearer {token}"})
    if response.status_code == 200:
        return True
    problem(response, "unauthorized")
    return False


# --- refresh


async def test_a_refresh_gives_a_new_pair(nobody: Caller, people: People):
    """200 and a Session, no bearer token needed."""
    ann = await people.new("ann")
    session = await refresh(nobody, ann.refresh_token)
    is_session(session)
    assert session["user"]["id"] == ann.id
    assert session["refreshToken"] != ann.refresh_token
    assert session["accessToken"] != ann.token
    assert await is_in(nobody.http, session["accessToken"])


async def test_refreshing_goes_on_and_on(nobody: Caller, people: People):
    """Each successor works, once."""
    token = (await people.new("ann")).refresh_token
    seen = {token}
    for _ in range(5):
        token = (await refresh(nobody, token))["refreshToken"]
        assert token not in seen
        seen.add(token)


async def test_a_refresh_needs_no_good_access_token(nobody: Caller, people: People):
    """An expired or broken bearer token does not stand in the way of its own renewal."""
    ann = await people.new("ann")
    response = await nobody.http.post(
        "/auth/refresh",
        json={"refreshToken": ann.refresh_token},
        headers={"Authorization": "Bearer of.no.good"},
    )
    answer(response)


async def test_a_used_refresh_token_ends_its_family(nobody: Caller, people: People):
    """401 for the reuse; then the successor is dead, and so are the access tokens (S-26)."""
    ann = await people.new("ann")
    other_device = await people.again(ann)
    second = await refresh(nobody, ann.refresh_token)
    third = await refresh(nobody, second["refreshToken"])
    await refuses(nobody, ann.refresh_token)
    await refuses(nobody, third["refreshToken"])
    for token in (ann.token, second["accessToken"], third["accessToken"]):
        assert not await is_in(nobody.http, token)
    assert await is_in(nobody.http, other_device.token)
    await refresh(nobody, other_device.refresh_token)


async def test_a_reused_refresh_token_closes_the_sockets_of_its_family(
    nobody: Caller, people: People, pod: Pod
):
    """The live sockets of what ended close with 4004."""
    ann = await people.new("ann")
    async with websockets.connect(pod.ws_url, additional_headers=ann.headers) as socket:
        await socket.recv()
        await refresh(nobody, ann.refresh_token)
        await refuses(nobody, ann.refresh_token)
        async with asyncio.timeout(5):
            await socket.wait_closed()
        assert socket.close_code == 4004


async def test_unknown_refresh_tokens_are_refused(nobody: Caller, people: People):
    """Made up, cut short, of other case, an access token, empty: all the same 401."""
    ann = await people.new("ann")
    tokens = (
        "made-up", ann.refresh_token[:-1], ann.refresh_token + "=", ann.refresh_token.swapcase(),
        "", "\0", "é", ann.token[:256],
    )  # fmt: skip
    answers = set()
    for token in tokens:
        response = await nobody.post("/auth/refresh", {"refreshToken": token})
        problem(response, "unauthorized")
        answers.add(response.content)
    assert len(answers) == 1
    await refresh(nobody, ann.refresh_token)


async def test_a_session_has_an_end(nobody: Caller, people: People, pod: Pod):
    """S-25, S-28: a session that is over cannot be refreshed, used or not."""
    ann = await people.new("ann")
    connection = await asyncpg.connect(pod.database_url)
    try:
        await connection.execute(
            "UPDATE sessions SET expires_at = now() WHERE id = $1", ann.session_id
        )
    finally:
        await connection.close()
    await refuses(nobody, ann.refresh_token)


async def test_no_access_token_outlives_its_session(nobody: Caller, people: People, pod: Pod):
    """S-25: the last token of a session ends with it."""
    ann = await people.new("ann")
    connection = await asyncpg.connect(pod.database_url)
    try:
        end = await connection.fetchval(
            "UPDATE sessions SET expires_at = now() + '100 s' WHERE id = $1"
            " RETURNING extract(epoch FROM expires_at)::float8",
            ann.session_id,
        )
    finally:
        await connection.close()
    session = await refresh(nobody, ann.refresh_token)
    claims = jwt.decode(session["accessToken"], options={"verify_signature": False})
    assert 60 < session["expiresIn"] <= 100
    assert claims["exp"] - claims["iat"] == session["expiresIn"]
    assert claims["exp"] <= end + 1, "the time between two clocks"


async def test_the_database_holds_no_token_that_could_be_used(
    nobody: Caller, people: People, pod: Pod
):
    """S-28: refresh tokens are stored as hashes only; and they are in no log."""
    token = (await refresh(nobody, (await people.new("ann")).refresh_token))["refreshToken"]
    connection = await asyncpg.connect(pod.database_url)
    try:
        rows = await connection.fetch("SELECT t::text AS row FROM refresh_tokens t")
        rows += await connection.fetch("SELECT s::text AS row FROM sessions s")
    finally:
        await connection.close()
    needles = (token, token.encode().hex())
    assert not [row for row in rows if any(needle in row["row"] for needle in needles)]
    assert token not in pod.log()


# --- logout


async def test_logout_ends_one_session(nobody: Caller, people: People):
    """204; its tokens are dead, those of another device are not."""
    ann = await people.new("ann")
    other_device = await people.again(ann)
    no_content(await nobody.post("/auth/logout", {"refreshToken": ann.refresh_token}))
    await refuses(nobody, ann.refresh_token)
    assert not await is_in(nobody.http, ann.token)
    assert await is_in(nobody.http, other_device.token)


async def test_logout_may_be_repeated(nobody: Caller, people: People):
    """Who is out already is out: 204."""
    ann = await people.new("ann")
    for _ in range(2):
        no_content(await nobody.post("/auth/logout", {"refreshToken": ann.refresh_token}))


async def test_logout_ends_a_session_by_a_used_token_too(nobody: Caller, people: People):
    """A token names its session even after it was traded."""
    ann = await people.new("ann")
    session = await refresh(nobody, ann.refresh_token)
    no_content(await nobody.post("/auth/logout", {"refreshToken": ann.refresh_token}))
    await refuses(nobody, session["refreshToken"])


async def test_logout_of_all_ends_every_session(nobody: Caller, people: People):
    """204; every device is out, nobody else is."""
    ann, bob = await people.new("ann"), await people.new("bob")
    devices = [ann, await people.again(ann), await people.again(ann)]
    caller = Caller(nobody.http, ann)
    no_content(await caller.post("/auth/logout", {"all": True}))
    for device in devices:
        assert not await is_in(nobody.http, device.token)
        await refuses(nobody, device.refresh_token)
    assert await is_in(nobody.http, bob.token)


async def test_logout_of_all_needs_a_bearer_token(nobody: Caller, people: People):
    """A refresh token says which session, not that everything may end."""
    ann = await people.new("ann")
    problem(await nobody.post("/auth/logout", {"all": True}), "unauthorized")
    body = {"all": True, "refreshToken": ann.refresh_token}
    problem(await nobody.post("/auth/logout", body), "unauthorized")
    assert await is_in(nobody.http, ann.token)


async def test_logout_says_of_what(nobody: Caller):
    """Neither a token nor all: 422."""
    for body in ({}, {"all": False}, {"refreshToken": None}):
        problem(await nobody.post("/auth/logout", body), "bad_field")


async def test_logout_closes_sockets(nobody: Caller, people: People, pod: Pod):
    """Live sockets of what ended close with 4004; the other device's stays."""
    ann = await people.new("ann")
    other_device = await people.again(ann)
    async with (
        websockets.connect(pod.ws_url, additional_headers=ann.headers) as socket,
        websockets.connect(pod.ws_url, additional_headers=other_device.headers) as other,
    ):
        await socket.recv()
        await other.recv()
        no_content(await nobody.post("/auth/logout", {"refreshToken": ann.refresh_token}))
        async with asyncio.timeout(5):
            await socket.wait_closed()
        assert socket.close_code == 4004
        await other.send('{"t":"ping","ref":1}')
        assert await other.recv() == '{"t":"pong","ref":1}'


# --- two pods


@pytest.fixture
async def pair(
    two_pods: tuple[Pod, Pod],
) -> AsyncIterator[tuple[httpx2.AsyncClient, httpx2.AsyncClient]]:
    """A client of each of two pods."""
    one, other = two_pods
    async with (
        httpx2.AsyncClient(base_url=one.url, timeout=20) as first,
        httpx2.AsyncClient(base_url=other.url, timeout=20) as second,
    ):
        yield first, second


@pytest.fixture
async def ann(two_pods: tuple[Pod, Pod]) -> AsyncIterator[Person]:
    """Ann, on the database of the two pods."""
    async with People(two_pods[0].database_url) as people:
        yield await people.new("ann")


async def test_of_many_refreshes_on_two_pods_one_succeeds(
    pair: tuple[httpx2.AsyncClient, httpx2.AsyncClient], two_pods: tuple[Pod, Pod], ann: Person
):
    """S-27: 20 at once with one token: one 200; the reuse is noticed, so the family has ended.

    Its sockets close with 4004 on both pods.
    """
    body = {"refreshToken": ann.refresh_token}
    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(wire(pod.ws_url, ann)) for pod in two_pods]
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(http.post("/auth/refresh", json=body))
                for http in pair
                for _ in range(10)
            ]
        assert [(await socket.closed())[0] for socket in sockets] == [4004, 4004]
    responses = [task.result() for task in tasks]
    assert sorted(r.status_code for r in responses) == [200] + [401] * 19
    winner = next(r.json() for r in responses if r.status_code == 200)
    await refuses(Caller(pair[0]), winner["refreshToken"])
    await refuses(Caller(pair[1]), winner["refreshToken"])


async def test_a_session_ends_on_every_pod(
    pair: tuple[httpx2.AsyncClient, httpx2.AsyncClient], ann: Person
):
    """S-30: signed out on one pod, an access token is soon dead on the other."""
    one, other = pair
    assert await is_in(other, ann.token)
    no_content(await one.post("/auth/logout", json={"refreshToken": ann.refresh_token}))
    assert not await is_in(one, ann.token)
    async with asyncio.timeout(HEARD_S):
        while await is_in(other, ann.token):
            await asyncio.sleep(0.05)
