"""Changing a password, setting a first one, what may not become one, and disabled users."""

import asyncio
import secrets

import asyncpg
import bcrypt
import pytest
import websockets

from rtchat.auth.disable import set_disabled
from rtchat.auth.passwords import _digest
from tests.contract.rest import JSON, Caller, answer, no_content, problem
from tests.contract.test_rest_sessions import is_in, refuses
from tests.people import People, Person
from tests.pods import Pod

pytestmark = pytest.mark.usefixtures("calm")

OLD, NEW = "correct horse battery", "staple battery horse"


class Device:
    """A session of somebody with a password."""

    def __init__(self, nobody: Caller, email: str, session: JSON) -> None:
        self.nobody = nobody
        self.email = email
        self.id: int = session["user"]["id"]
        self.refresh_token: str = session["refreshToken"]
        self.token: str = session["accessToken"]
        self.headers = {"Authorization": f"Bearer {self.token}"}

    async def again(self, password: str = OLD) -> "Device":
        body = {"email": self.email, "password": password}
        return Device(self.nobody, self.email, answer(await self.nobody.post("/auth/login", body)))

    async def fails(self, password: str) -> bytes:
        body = {"email": self.email, "password": password}
        response = await self.nobody.post("/auth/login", body)
        problem(response, "unauthorized")
        return response.content

    async def change(self, **body: object):
        return await self.nobody.http.post("/auth/password", json=body, headers=self.headers)


@pytest.fixture
async def ann(nobody: Caller) -> Device:
    """Ann, who has just registered."""
    email = f"ann-{secrets.token_hex(4)}@example.org"
    body = {"email": email, "password": OLD, "name": "Ann Lee"}
    return Device(nobody, email, answer(await nobody.post("/auth/register", body), 201))


# --- changing


async def test_a_change_takes_the_current_password_and_ends_the_other_sessions(
    nobody: Caller, ann: Device, pod: Pod
):
    """S-14: 204; the present session and its socket stay, the others' close with 4004."""
    other = await ann.again()
    async with (
        websockets.connect(pod.ws_url, additional_headers=ann.headers) as mine,
        websockets.connect(pod.ws_url, additional_headers=other.headers) as theirs,
    ):
        await mine.recv()
        await theirs.recv()
        no_content(await ann.change(currentPassword=OLD, newPassword=NEW))
        async with asyncio.timeout(5):
            await theirs.wait_closed()
        assert theirs.close_code == 4004
        await mine.send('{"t":"ping","ref":1}')
        assert await mine.recv() == '{"t":"pong","ref":1}'
    assert not await is_in(nobody.http, other.token)
    await refuses(nobody, other.refresh_token)
    assert await is_in(nobody.http, ann.token)
    await ann.fails(OLD)
    await ann.again(NEW)
    assert NEW not in pod.log()


async def test_a_wrong_current_password_is_forbidden_and_changes_nothing(
    nobody: Caller, ann: Device
):
    """403 with the field, not 401: a client must not take it for an expired token."""
    other = await ann.again()
    for wrong in (NEW, OLD + " ", OLD.upper(), ""):
        response = await ann.change(currentPassword=wrong, newPassword=NEW)
        problem(response, "forbidden", field="currentPassword")
    for without in ({}, {"currentPassword": None}):
        response = await ann.change(newPassword=NEW, **without)
        problem(response, "bad_field", field="currentPassword")
    assert await is_in(nobody.http, other.token)
    await ann.again()


async def test_the_current_password_is_not_to_be_guessed(ann: Device, pod: Pod):
    """S-12: a stolen access token is worth ten guesses; whoever signs in anew is not held up."""
    answers = [await ann.change(currentPassword=f"{n}", newPassword=NEW) for n in range(12)]
    codes = [problem(a, "forbidden", "rate_limited")["code"] for a in answers]
    assert codes.count("rate_limited") >= 1
    assert set(codes[:8]) == {"forbidden"}
    await ann.again()


async def test_a_change_needs_a_session(nobody: Caller, ann: Device):
    """S-14: and one that stands."""
    body = {"currentPassword": OLD, "newPassword": NEW}
    problem(await nobody.post("/auth/password", body), "unauthorized")
    no_content(await nobody.post("/auth/logout", {"refreshToken": ann.refresh_token}))
    problem(await ann.change(**body), "unauthorized")
    await ann.again()


async def test_of_two_changes_at_once_one_counts(ann: Device):
    """The other one's current password was not the current one any more."""
    wishes = [f"{NEW} {n}" for n in range(4)]
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(ann.change(currentPassword=OLD, newPassword=wish)) for wish in wishes
        ]
    statuses = [task.result().status_code for task in tasks]
    assert statuses.count(204) == 1
    for task in tasks:
        if task.result().status_code != 204:
            problem(task.result(), "conflict", "forbidden")
    await ann.again(wishes[statuses.index(204)])


@pytest.mark.parametrize(
    "bad", ["", "seven 7", "password123", "Ann Lee 2024", "rtchat-ann", "x" * 1025]
)
async def test_what_may_not_become_a_password(nobody: Caller, ann: Device, bad: str):
    """S-01, S-05 to S-07: neither at registration nor later, and the reason is told."""
    said = problem(
        await ann.change(currentPassword=OLD, newPassword=bad),
        "bad_field",
        "too_long",
        field="newPassword",
    )
    assert "assword" in said["detail"]
    body = {"email": f"x{ann.email}", "password": bad, "name": "Ann Lee"}
    problem(await nobody.post("/auth/register", body), "bad_field", "too_long", field="password")
    await ann.again()


@pytest.mark.parametrize("value", [None, 1, True, [], {"$ne": 1}])
async def test_passwords_are_text(ann: Device, value: object):
    """B-H21, B-H22: 422 for every other type."""
    response = await ann.change(currentPassword=OLD, newPassword=value)
    problem(response, "bad_field", field="newPassword")
    if value is not None:
        response = await ann.change(currentPassword=value, newPassword=NEW)
        problem(response, "bad_field", field="currentPassword")


# --- a first one


async def change_as(nobody: Caller, person: Person, **body: object):
    return await nobody.http.post("/auth/password", json=body, headers=person.headers)


async def execute(pod: Pod, statement: str, *values: object) -> None:
    connection = await asyncpg.connect(pod.database_url)
    try:
        await connection.execute(statement, *values)
    finally:
        await connection.close()


async def test_whoever_has_none_sets_a_first_one_soon_after_signing_in(
    nobody: Caller, people: People, pod: Pod
):
    """By a provider, say. In an older session it takes another sign-in: 403, with the reason."""
    cat = await people.new("cat")
    other = await people.again(cat)
    aged = "UPDATE sessions SET created_at = now() - interval '6 minutes' WHERE id = $1"
    await execute(pod, aged, cat.session_id)
    said = problem(await change_as(nobody, cat, newPassword=NEW), "forbidden")
    assert "Sign in" in said["detail"]
    no_content(await change_as(nobody, other, newPassword=NEW))
    assert not await is_in(nobody.http, cat.token)
    answer(await nobody.post("/auth/login", {"email": cat.email, "password": NEW}))
    response = await change_as(nobody, other, newPassword=OLD)
    problem(response, "bad_field", field="currentPassword")


# --- what is stored


async def stored_hash(pod: Pod, user_id: int) -> str:
    connection = await asyncpg.connect(pod.database_url)
    try:
        found = await connection.fetchval("SELECT password_hash FROM users WHERE id = $1", user_id)
    finally:
        await connection.close()
    assert isinstance(found, str)
    return found


async def test_a_hash_of_another_cost_is_replaced_at_the_next_sign_in(
    ann: Device, pod: Pod, nobody: Caller
):
    """By one at the cost that is set; a wrong password replaces nothing."""
    cheap = bcrypt.hashpw(_digest(OLD), bcrypt.gensalt(4)).decode()
    await execute(pod, "UPDATE users SET password_hash = $2 WHERE id = $1", ann.id, cheap)
    await ann.fails(NEW)
    assert await stored_hash(pod, ann.id) == cheap
    await ann.again()
    renewed = await stored_hash(pod, ann.id)
    assert renewed.startswith("$2b$10$")
    await ann.again()
    assert await stored_hash(pod, ann.id) == renewed


# --- disabled


async def test_a_disabled_user_is_out_and_stays_out(nobody: Caller, ann: Device, pod: Pod):
    """S-11, S-31: refused like a wrong password; sessions and sockets end; enabling lets in."""
    wrong = await ann.fails(NEW)
    loop = asyncio.get_running_loop()

    async def disabled(to: bool) -> None:
        done = await loop.run_in_executor(
            None, lambda: set_disabled(pod.database_url, ann.email.upper(), disabled=to)
        )
        assert done is not None
        assert done.user_id == ann.id

    async with websockets.connect(pod.ws_url, additional_headers=ann.headers) as socket:
        await socket.recv()
        await disabled(to=True)
        async with asyncio.timeout(6):
            await socket.wait_closed()
        assert socket.close_code == 4004
    assert not await is_in(nobody.http, ann.token)
    await refuses(nobody, ann.refresh_token)
    assert await ann.fails(OLD) == wrong
    assert await ann.fails(NEW) == wrong
    await disabled(to=True)
    await disabled(to=False)
    await ann.again()
    await refuses(nobody, ann.refresh_token)
