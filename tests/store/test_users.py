"""SQL of `users`."""

import asyncio

import pytest

from rtchat.errors import ChatError, Code
from rtchat.store.database import Database
from rtchat.store.users import UserStore
from tests.store.conftest import Rows


@pytest.fixture(scope="module")
def store(database: Database) -> UserStore:
    return UserStore(database)


async def create(database: Database, email: str, name: str = "Ann") -> int:
    async with database.connection() as c, c.transaction():
        return (await UserStore.create(c, email, name, "hash")).id


async def test_a_taken_address_is_a_conflict_whatever_its_case(
    database: Database, store: UserStore
):
    """It stays as its owner wrote it, and is found however it is written."""
    user_id = await create(database, "Conflict@Example.org")
    with pytest.raises(ChatError) as caught:
        await create(database, "conflict@EXAMPLE.org")
    assert (caught.value.code, caught.value.field) == (Code.CONFLICT, "email")
    me = await store.get(user_id)
    assert me is not None
    assert me.email == "Conflict@Example.org"
    found = await store.account("CONFLICT@example.ORG")
    assert found is not None
    assert (found.user.id, found.password_hash) == (user_id, "hash")


async def test_nobody_is_found_under_an_unknown_address(store: UserStore):
    """Nor by a pattern that would fit."""
    assert await store.account("nobody@example.org") is None
    assert await store.account("%") is None
    assert await store.account("conflict@example_org") is None


async def test_a_user_without_a_password_has_no_hash(rows: Rows, store: UserStore):
    """Somebody who signs in elsewhere only."""
    await rows.user(email="sso@example.org")
    found = await store.account("sso@example.org")
    assert found is not None
    assert found.password_hash is None


async def test_only_what_is_given_is_changed(rows: Rows, store: UserStore):
    user_id = await rows.user("Ann")
    changed = await store.update(user_id, None, "away")
    assert changed is not None
    assert (changed.name, changed.status) == ("Ann", "away")
    changed = await store.update(user_id, "Anna", None)
    assert changed is not None
    assert (changed.name, changed.status) == ("Anna", "away")
    changed = await store.update(user_id, None, "")
    assert changed is not None
    assert changed.status == ""


async def test_a_missing_user_is_none(store: UserStore):
    assert await store.get(999_999) is None
    assert await store.update(999_999, "x", None) is None


@pytest.mark.parametrize("sign", ["%", "_", "\\", "\\%", "%_\\", "'", '"', "$1", "(", "^", "*"])
async def test_a_search_takes_every_character_as_it_is(rows: Rows, store: UserStore, sign: str):
    """None is a pattern: the name begins with it, or is not found."""
    user_id = await rows.user(f"{sign}search")
    await rows.user("xsearch")
    await rows.user("xxxsearch")
    found = await store.search(f"{sign}SEARCH", 10)
    assert [user.id for user in found] == [user_id]
    assert [user.id for user in await store.search(f"{sign}s", 10)] == [user_id]


async def test_a_search_is_sorted_bounded_and_without_addresses(rows: Rows, store: UserStore):
    """By name without case, then by id."""
    ids = [await rows.user(name) for name in ("sortb", "SortA", "sortc", "sorta")]
    expected = [ids[1], ids[3], ids[0], ids[2]]
    assert [user.id for user in await store.search("sort", 10)] == expected
    assert [user.id for user in await store.search("sort", 2)] == expected[:2]
    assert all(not isinstance(user.email, str) for user in await store.search("sort", 10))


async def test_a_search_finds_a_whole_address(rows: Rows, store: UserStore):
    """Not a part of one, and no pattern."""
    user_id = await rows.user("whole", "Whole_1@Example.org")
    assert [user.id for user in await store.search("whole_1@example.ORG", 10)] == [user_id]
    assert await store.search("whole_1@example", 10) == []
    assert await store.search("whole%", 10) == []
    assert await store.search("wholeX1@example.org", 10) == []


async def test_several_are_those_that_exist(rows: Rows, store: UserStore):
    """By id, each once."""
    one, two = await rows.user("one"), await rows.user("two")
    found = await store.several([two, 999_999, one, two])
    assert [(user.id, user.name) for user in found] == [(one, "one"), (two, "two")]
    assert await store.several([]) == []


async def test_who_is_seen_is_active_now(rows: Rows, store: UserStore):
    one, two = await rows.user(), await rows.user()
    await store.seen([one])
    active = {user.id: user.last_active for user in await store.several([one, two])}
    assert active[one] is not None
    assert active[two] is None


async def test_a_user_is_disabled_and_enabled_by_address(database: Database, store: UserStore):
    """Without case, again and again; the first moment counts. Who is unknown is nobody."""
    user_id = await create(database, "Switch@example.org")
    async with database.transaction() as c:
        assert await store.set_disabled(c, "sWITCH@example.org", disabled=True) == user_id
        assert await store.set_disabled(c, "nobody@example.org", disabled=True) is None
    account = await store.account_of(user_id)
    assert account is not None
    assert account.disabled
    query = "SELECT disabled_at FROM users WHERE id = $1"
    first = await database.fetchrow(query, user_id)
    async with database.transaction() as c:
        await store.set_disabled(c, "switch@example.org", disabled=True)
    assert await database.fetchrow(query, user_id) == first
    async with database.transaction() as c:
        await store.set_disabled(c, "switch@example.org", disabled=False)
        now = await store.lock(c, user_id)
    assert now is not None
    assert not now.disabled


async def test_of_two_who_lock_a_user_the_second_sees_what_the_first_did(
    database: Database, store: UserStore, rows: Rows
):
    """A channel that the user makes meanwhile does not wait for it."""
    user_id = await create(database, "locked@example.org")

    async def second() -> str | None:
        async with database.transaction() as c:
            account = await store.lock(c, user_id)
            return account and account.password_hash

    async with asyncio.TaskGroup() as group, database.transaction() as c:
        await store.lock(c, user_id)
        waiting = group.create_task(second())
        await rows.channel(user_id)
        assert not waiting.done()
        await store.set_password(c, user_id, "another")
    assert waiting.result() == "another"
    assert await store.account_of(0) is None
