"""SQL of sessions: refresh tokens that work once, and the ends of sessions."""

import asyncio
import itertools
from collections.abc import AsyncIterator

import pytest

from rtchat.config import Config
from rtchat.store.database import Database
from rtchat.store.sessions import Rotation, SessionStore
from tests.store.conftest import Rows

LIFE_S = 3600
_numbers = itertools.count(1)


def token() -> bytes:
    """A hash that no other test uses."""
    return f"hash {next(_numbers)}".encode()


@pytest.fixture(scope="module")
def store(database: Database) -> SessionStore:
    return SessionStore(database)


@pytest.fixture(scope="module")
async def other_store(module_database_url: str) -> AsyncIterator[SessionStore]:
    """The store of another pod."""
    database = Database(Config(database_url=module_database_url, pool_max=4))
    await database.open()
    yield SessionStore(database)
    await database.close()


@pytest.fixture
async def ann(rows: Rows) -> int:
    return await rows.user("ann")


async def open_session(database: Database, user_id: int, first: bytes, life_s: int = LIFE_S) -> int:
    async with database.connection() as c, c.transaction():
        return await SessionStore.create(c, user_id, first, life_s)


async def stands(store: SessionStore, session_id: int, user_id: int) -> bool:
    return await store.user_of(session_id, user_id) is not None


# --- rotation


async def test_each_token_works_once(database: Database, store: SessionStore, ann: int):
    """And its successor is of the same session."""
    tokens = [token() for _ in range(4)]
    session = await open_session(database, ann, tokens[0])
    for old, new in itertools.pairwise(tokens):
        assert await store.rotate(old, new) == (session, ann, False)
    assert await stands(store, session, ann)


async def test_a_second_use_ends_the_session(database: Database, store: SessionStore, ann: int):
    """Of any token of the family, however old; then none of them works."""
    tokens = [token() for _ in range(4)]
    session = await open_session(database, ann, tokens[0])
    other = await open_session(database, ann, token())
    for old, new in itertools.pairwise(tokens):
        await store.rotate(old, new)
    assert await store.rotate(tokens[0], token()) == (session, ann, True)
    assert not await stands(store, session, ann)
    for used in tokens:
        assert await store.rotate(used, token()) is None
    assert await stands(store, other, ann)


async def test_of_twenty_rotations_at_once_one_succeeds(
    database: Database, store: SessionStore, other_store: SessionStore, ann: int
):
    """Over several connections of two pods: one success, and the reuse ends the family."""
    for _ in range(5):
        first, successors = token(), [token() for _ in range(20)]
        session = await open_session(database, ann, first)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(pod.rotate(first, successor))
                for pod, successor in zip(
                    itertools.cycle((store, other_store)), successors, strict=False
                )
            ]
        results = [task.result() for task in tasks]
        assert len(results) == 20
        success = Rotation(session, ann, reused=False)
        reuse = Rotation(session, ann, reused=True)
        assert results.count(success) == 1
        assert results.count(reuse) == 1, "told once, to whom ends its sockets"
        assert results.count(None) == 18
        assert not await stands(store, session, ann)
        winner = successors[results.index(success)]
        assert await store.rotate(winner, token()) is None


async def test_of_twenty_ends_at_once_one_ends_it(
    database: Database, store: SessionStore, other_store: SessionStore, ann: int
):
    """Whoever comes second finds it ended."""
    first = token()
    session = await open_session(database, ann, first)
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(pod.end_by_token(first))
            for pod in (store, other_store)
            for _ in range(10)
        ]
    results = [task.result() for task in tasks]
    assert results.count(session) == 1
    assert results.count(None) == 19


async def test_a_successor_that_is_taken_takes_nothing(
    database: Database, store: SessionStore, ann: int
):
    """Rotation is all or nothing: where the new token cannot be stored, the old one is unused."""
    first, taken = token(), token()
    session = await open_session(database, ann, first)
    await open_session(database, ann, taken)
    with pytest.raises(Exception, match="refresh_tokens"):
        await store.rotate(first, taken)
    assert await store.rotate(first, token()) == (session, ann, False)


async def test_unknown_ended_and_expired_tokens_do_not_rotate(
    database: Database, store: SessionStore, rows: Rows, ann: int
):
    """None, and nothing is stored."""
    ended, expired = token(), token()
    await open_session(database, ann, ended)
    await store.end_by_token(ended)
    session = await open_session(database, ann, expired)
    await rows.sql.execute("UPDATE sessions SET expires_at = now() WHERE id = $1", session)
    before = await rows.sql.fetchval("SELECT count(*) FROM refresh_tokens")
    for bad in (token(), ended, expired, b""):
        assert await store.rotate(bad, token()) is None
    assert await rows.sql.fetchval("SELECT count(*) FROM refresh_tokens") == before
    assert not await stands(store, session, ann)


async def test_refreshing_does_not_lengthen_a_session(
    database: Database, store: SessionStore, rows: Rows, ann: int
):
    """S-25: its end is set when it begins."""
    first = token()
    session = await open_session(database, ann, first)
    query = "SELECT expires_at FROM sessions WHERE id = $1"
    before = await rows.sql.fetchval(query, session)
    await store.rotate(first, token())
    assert await rows.sql.fetchval(query, session) == before


# --- ending


async def test_a_session_is_ended_by_any_of_its_tokens(
    database: Database, store: SessionStore, ann: int
):
    """Used or not; once."""
    first, second = token(), token()
    session = await open_session(database, ann, first)
    await store.rotate(first, second)
    assert await store.end_by_token(first) == session
    assert not await stands(store, session, ann)
    assert await store.end_by_token(second) is None
    assert await store.end_by_token(token()) is None


async def test_all_sessions_of_a_user_end_together(
    database: Database, store: SessionStore, rows: Rows, ann: int
):
    """Those that stand; nobody else's."""
    bob = await rows.user("bob")
    sessions = [await open_session(database, ann, token()) for _ in range(3)]
    first = token()
    await open_session(database, ann, first)
    await store.end_by_token(first)
    theirs = await open_session(database, bob, token())
    async with database.transaction() as c:
        assert sorted(await store.end_all(c, ann)) == sorted(sessions)
        assert await store.end_all(c, ann) == []
    assert await stands(store, theirs, bob)


async def test_a_session_is_its_users(
    database: Database, store: SessionStore, rows: Rows, ann: int
):
    """A token of one session with another's user is nobody's."""
    bob = await rows.user("bob")
    session = await open_session(database, ann, token())
    user = await store.user_of(session, ann)
    assert user is not None
    assert user.id == ann
    assert isinstance(user.email, str), "as seen by oneself"
    assert await store.user_of(session, bob) is None
    assert await store.user_of(999_999, ann) is None


async def test_what_ended_lately_is_found(
    database: Database, store: SessionStore, rows: Rows, ann: int
):
    """By pods that did not hear of it."""
    tokens = [token(), token()]
    lately, earlier = [await open_session(database, ann, t) for t in tokens]
    standing = await open_session(database, ann, token())
    for ended in tokens:
        await store.end_by_token(ended)
    await rows.sql.execute(
        "UPDATE sessions SET ended_at = now() - interval '1 hour' WHERE id = $1", earlier
    )
    found = await store.ended_since(60)
    assert lately in found
    assert earlier not in found
    assert standing not in found
    assert {lately, earlier} <= set(await store.ended_since(2 * 3600))


async def test_old_ends_are_forgotten(
    database: Database, store: SessionStore, rows: Rows, ann: int
):
    """With their tokens; what stands, or ended a little while ago, is kept."""
    tokens = [token() for _ in range(4)]
    ended, expired, lately, standing = [await open_session(database, ann, t) for t in tokens]
    for session, change in (
        (ended, "ended_at = now() - interval '2 hours'"),
        (expired, "expires_at = now() - interval '2 hours'"),
        (lately, "ended_at = now()"),
    ):
        await rows.sql.execute(f"UPDATE sessions SET {change} WHERE id = $1", session)
    assert await store.purge(3600, limit=1000) >= 2
    kept = await rows.sql.fetch("SELECT id FROM sessions WHERE user_id = $1", ann)
    assert sorted(row["id"] for row in kept) == sorted([lately, standing])
    hashes = await rows.sql.fetch("SELECT token_hash FROM refresh_tokens")
    assert {tokens[2], tokens[3]} <= {row["token_hash"] for row in hashes}
    assert not {tokens[0], tokens[1]} & {row["token_hash"] for row in hashes}
    assert await store.rotate(tokens[3], token()) == (standing, ann, False)


# --- one's own


async def test_one_session_is_ended_by_its_user_only(
    database: Database, store: SessionStore, rows: Rows, ann: int
):
    """Once; neither another's nor one that is over."""
    bob = await rows.user("bob")
    mine, over, theirs = [await open_session(database, u, token()) for u in (ann, ann, bob)]
    await rows.sql.execute("UPDATE sessions SET expires_at = now() WHERE id = $1", over)
    for session in (theirs, over, 999_999):
        assert not await store.end_one(ann, session)
    assert await store.end_one(ann, mine)
    assert not await store.end_one(ann, mine)
    assert not await stands(store, mine, ann)
    assert await stands(store, theirs, bob)


async def test_all_but_one_end(database: Database, store: SessionStore, ann: int):
    sessions = [await open_session(database, ann, token()) for _ in range(4)]
    async with database.transaction() as c:
        assert sorted(await store.end_all(c, ann, keep=sessions[2])) == sorted(
            sessions[:2] + sessions[3:]
        )
    assert await stands(store, sessions[2], ann)


async def test_beyond_a_number_those_unused_longest_end(
    database: Database, store: SessionStore, rows: Rows, ann: int
):
    """Those that ended or expired do not count."""
    sessions = [await open_session(database, ann, token()) for _ in range(6)]
    for change, session in (
        ("ended_at = now()", sessions[5]),
        ("expires_at = now()", sessions[4]),
        ("refreshed_at = now() - interval '1 hour'", sessions[2]),
        ("refreshed_at = now() - interval '2 hours'", sessions[3]),
    ):
        await rows.sql.execute(f"UPDATE sessions SET {change} WHERE id = $1", session)
    async with database.transaction() as c:
        assert await store.end_beyond(c, ann, 4) == []
        assert await store.end_beyond(c, ann, 3) == [sessions[3]]
        assert sorted(await store.end_beyond(c, ann, 1)) == sorted([sessions[0], sessions[2]])


async def test_the_age_of_a_session_is_told_while_it_stands(
    database: Database, store: SessionStore, rows: Rows, ann: int
):
    """In seconds, and to its user only."""
    session = await open_session(database, ann, token())
    aged = "UPDATE sessions SET created_at = now() - interval '90 s' WHERE id = $1"
    await rows.sql.execute(aged, session)
    async with database.transaction() as c:
        assert 89 < (await store.age_s(c, session, ann) or 0) < 120
        assert await store.age_s(c, session, ann + 1) is None
    await store.end_one(ann, session)
    async with database.transaction() as c:
        assert await store.age_s(c, session, ann) is None
