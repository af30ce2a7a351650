"""Signing in, seen from inside: what is computed tells nobody who has an account."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from rtchat.auth.client import UNKNOWN
from rtchat.auth.passwords import Passwords
from rtchat.errors import ChatError, Code
from tests.world import World, world

RIGHT, WRONG = "correct horse battery", "staple battery horse"


@pytest.fixture(scope="module")
async def pod(module_database_url: str) -> AsyncIterator[World]:
    """A pod's parts, with somebody of every kind."""
    async with world(module_database_url, password_queue=4) as made:
        accounts = made.services.accounts
        for name in ("ann", "disabled", "damaged"):
            await accounts.register(f"{name}@example.org", RIGHT, None, UNKNOWN)
        database = made.services.database
        await database.execute(
            "UPDATE users SET disabled_at = now() WHERE email = 'disabled@example.org'"
        )
        await database.execute(
            "UPDATE users SET password_hash = 'x' WHERE email = 'damaged@example.org'"
        )
        await database.execute("INSERT INTO users (email, name) VALUES ('sso@example.org', 'x')")
        yield made


def passwords(pod: World) -> Passwords:
    return pod.services.accounts.passwords


async def refused(pod: World, email: str, password: str) -> tuple[object, ...]:
    with pytest.raises(ChatError) as caught:
        await pod.services.accounts.login(email, password, UNKNOWN)
    error = caught.value
    return error.code, error.message, error.field, error.after_ms


@pytest.mark.parametrize("password", [RIGHT, WRONG])
@pytest.mark.parametrize("who", ["unknown", "ann", "disabled", "sso", "damaged", "nul\0"])
async def test_whoever_fails_costs_one_hash_and_gets_one_answer(
    pod: World, who: str, password: str
):
    """S-10, S-11: unknown, wrong, disabled, without a password, with a damaged one: all alike."""
    if (who, password) == ("ann", RIGHT):
        session = await pod.services.accounts.login("ann@example.org", RIGHT, UNKNOWN)
        assert session.user.name == "ann"
        return
    before = passwords(pod).runs
    said = await refused(pod, f"{who}@example.org", password)
    assert said == (Code.UNAUTHORIZED, "E-mail address or password is wrong.", None, None)
    assert passwords(pod).runs == before + 1


async def test_a_password_that_is_changed_meanwhile_opens_nothing(pod: World):
    """S-14: what was right when it was read must be right when the session opens."""
    await pod.services.accounts.register("late@example.org", RIGHT, None, UNKNOWN)
    database = pod.services.database
    signing_in = asyncio.get_running_loop().create_task(
        pod.services.accounts.login("late@example.org", RIGHT, UNKNOWN)
    )
    while not passwords(pod)._waiting:
        await asyncio.sleep(0)
    await database.execute("UPDATE users SET password_hash = 'x' WHERE email = 'late@example.org'")
    with pytest.raises(ChatError) as caught:
        await signing_in
    assert caught.value.code is Code.UNAUTHORIZED
    row = await database.fetchrow(
        "SELECT count(*) AS n FROM sessions s JOIN users u ON u.id = s.user_id"
        " WHERE u.email = 'late@example.org'"
    )
    assert row is not None
    assert row["n"] == 1, "that of the registration"


async def test_a_user_who_is_disabled_meanwhile_gets_no_session(pod: World):
    """S-31: whichever way in: it is asked where the session is opened."""
    user = (await pod.services.accounts.register("gone@example.org", RIGHT, None, UNKNOWN)).user
    database = pod.services.database
    await database.execute("UPDATE users SET disabled_at = now() WHERE id = $1", user.id)
    with pytest.raises(ChatError) as caught:
        async with database.transaction() as c:
            await pod.services.sessions.open(c, user, UNKNOWN)
    assert caught.value.code is Code.UNAUTHORIZED


async def test_no_first_token_outlives_its_session(module_database_url: str):
    """S-25: where sessions are set to be shorter than access tokens."""
    async with world(module_database_url, session_s=600, access_token_s=3600) as short:
        session = await short.services.accounts.register("s@example.org", RIGHT, None, UNKNOWN)
        assert session.expires_in == 600
        identity = short.services.sessions.authenticate(session.access_token)
        assert identity.expires <= time.time() + 600


async def test_a_hash_that_cannot_be_renewed_now_stands_in_nobodys_way(pod: World):
    """The queue is full just then: the sign-in succeeds, and the next one renews it."""
    await pod.services.accounts.register("old@example.org", RIGHT, None, UNKNOWN)
    own = passwords(pod)
    cost, own._config = own._config, type(own._config)(bcrypt_cost=11, password_queue=1)
    try:
        account = await pod.services.users.account("old@example.org")
        assert account is not None
        assert own.outdated(account.password_hash or "")
        busy = asyncio.get_running_loop().create_task(own.hash(WRONG))
        await asyncio.sleep(0)
        assert await pod.services.accounts._rehashed(RIGHT, account) is None
        await busy
        fresh = await pod.services.accounts._rehashed(RIGHT, account)
        assert fresh is not None
        assert fresh.startswith("$2b$11$")
    finally:
        own._config = cost
