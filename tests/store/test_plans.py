"""How PostgreSQL answers what is asked most: by an index, reading no more than is wanted.

The log has 100 000 messages, beside many channels and members. Each statement is planned both for
the values at hand and for any, as a prepared one is in the end.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import orjson
import pytest

from rtchat.batch import Op, Write
from rtchat.config import Config
from rtchat.store import log
from rtchat.store.channels import ChannelStore
from rtchat.store.database import Database, Record
from rtchat.store.messages import MessageStore
from rtchat.store.sessions import SessionStore

EXPLAIN = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "
FILL = """
INSERT INTO users (email, name) SELECT 'p' || n, 'p' FROM generate_series(1, 1000) n;
INSERT INTO channels (name, type, created_by)
SELECT 'c' || n, 'public', (SELECT min(id) FROM users) FROM generate_series(1, 20000) n;
INSERT INTO members (channel_id, user_id, role)
SELECT c.id, u.id, 'member' FROM (SELECT id FROM channels ORDER BY id LIMIT 100) c, users u;
INSERT INTO messages (channel_id, seq, kind, user_id, content, timestamp, nonce)
SELECT c.id, n, 1, (SELECT min(id) FROM users) + n % 10, repeat('x', 100), now(), 'n' || n
FROM generate_series(1, 1000) n, (SELECT id FROM channels ORDER BY id LIMIT 100) c;
INSERT INTO reactions (channel_id, target, emoji, user_id, seq)
SELECT c.id, m, chr(128512 + u.id::int % 2), u.id, 1000 + u.id
FROM (SELECT id FROM channels ORDER BY id LIMIT 1 OFFSET 40) c, (VALUES (500), (990)) t(m), users u;
INSERT INTO reactions (channel_id, target, emoji, user_id, seq)
SELECT c.id, m, chr(128512 + u.id::int % 2), u.id, 1000 + u.id
FROM (SELECT id FROM channels ORDER BY id LIMIT 100 OFFSET 51) c, generate_series(3, 1000, 10) m,
     (SELECT id FROM users ORDER BY id LIMIT 3) u;
INSERT INTO sessions (user_id, expires_at, ended_at)
SELECT u.id, now() + interval '1 day', CASE WHEN n > 10 THEN now() END
FROM users u, generate_series(1, 40) n;
VACUUM ANALYZE sessions; VACUUM ANALYZE messages; VACUUM ANALYZE reactions;
VACUUM ANALYZE members; VACUUM ANALYZE channels
"""
BEGINNING = """
INSERT INTO channels (name, type, created_by)
SELECT 'c', 'public', $1 FROM generate_series(1, $2::int);
INSERT INTO members SELECT id, $1, 'owner' FROM channels LIMIT $2::int;
INSERT INTO messages (channel_id, seq, kind, user_id, content, timestamp, nonce)
SELECT 1, n, 1, $1, 'x', now(), n FROM generate_series(1, $2::int) n
"""
PREPARE = "PREPARE read (bigint[], bigint[], bigint[], bigint[], text[]) AS " + log.READ
EXECUTE = EXPLAIN + "EXECUTE read ('{}', '{}', '{}', '{}', '{}')"
Plan = dict[str, Any]


@pytest.fixture(scope="module")
def big(module_database_url: str) -> str:
    """A thousand people in a hundred channels, who wrote by turns; and channels of others."""

    async def fill() -> None:
        sql = await asyncpg.connect(module_database_url)
        try:
            for statement in FILL.split(";"):
                await sql.execute(statement)
        finally:
            await sql.close()

    asyncio.run(fill())
    return module_database_url


class Explaining(Database):
    """A database that notes how each of its statements is answered."""

    def __init__(self, url: str) -> None:
        super().__init__(Config(database_url=url, pool_max=1))
        self.plans: list[Plan] = []

    async def fetch(self, sql: str, *args: Any) -> list[Record]:
        self.plans.append(_plan(await super().fetch(EXPLAIN + sql, *args)))
        return await super().fetch(sql, *args)


def _plan(rows: list[Record]) -> Plan:
    plan: Plan = orjson.loads(rows[0][0])[0]["Plan"]
    return plan


def scanned(plan: Plan) -> set[str]:
    """The tables that are read from end to end."""
    found = {plan["Relation Name"]} if plan["Node Type"] == "Seq Scan" else set()
    return found.union(*(scanned(part) for part in plan.get("Plans", ())))


def pages(plan: Plan) -> int:
    """How many pages were looked at, in memory or not."""
    count: int = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    return count


@pytest.fixture(params=["force_custom_plan", "force_generic_plan"])
async def database(big: str, request: pytest.FixtureRequest) -> AsyncIterator[Explaining]:
    sql = await asyncpg.connect(big)
    name = await sql.fetchval("SELECT quote_ident(current_database())")
    await sql.execute(f"ALTER DATABASE {name} SET plan_cache_mode = {request.param}")
    await sql.close()
    database = Explaining(big)
    await database.open()
    yield database
    await database.close()


@pytest.fixture
async def channels(database: Explaining) -> list[int]:
    """Those that are talked in."""
    rows = await Database.fetch(database, "SELECT DISTINCT channel_id FROM members ORDER BY 1")
    return [row[0] for row in rows]


@pytest.fixture
async def users(database: Explaining) -> list[int]:
    rows = await Database.fetch(database, "SELECT id FROM users ORDER BY 1")
    return [row[0] for row in rows]


@pytest.mark.parametrize(
    "where",
    [{}, {"before": 900}, {"before": 60}, {"after": 10}, {"after": 940}],
    ids=["the newest", "before 900", "before 60", "after 10", "after 940"],
)
async def test_a_page_of_history_costs_the_same_at_any_depth(
    database: Explaining, channels: list[int], users: list[int], where: dict[str, int]
) -> None:
    """51 entries, each on a page of its own at worst, and the way down four indexes.

    Where 60 are left, PostgreSQL may take them all and sort them.
    """
    bounds = {"before": None, "after": None} | where
    found = await MessageStore(database).page(channels[50], users[0], limit=50, **bounds)
    assert found is not None
    (plan,) = database.plans
    assert (scanned(plan), pages(plan) <= 60 + 4 * 4) == (set(), True)


async def test_a_page_with_reactions_costs_one_range_of_them(
    database: Explaining, channels: list[int], users: list[int]
) -> None:
    """Five messages of it have three each: one way down an index, and where they lie."""
    store = MessageStore(database)
    for after in (10, 500, 940):
        found = await store.page(channels[60], users[0], before=None, after=after, limit=50)
        assert found is not None
        assert sum(isinstance(m.reactions, list) for m in found.items) == 5
    one = await store.one(channels[60], 3, users[0])
    assert one is not None
    assert isinstance(one.reactions, list)
    for plan in database.plans:
        read = [p for p in parts(plan) if p.get("Relation Name") == "reactions"]
        assert [p["Actual Loops"] for p in read] == [1]
        assert (scanned(plan), pages(plan) <= 60 + 5 * 4 + 15) == (set(), True)


async def test_what_a_batch_reads_of_reactions_does_not_grow_with_them(
    database: Explaining, channels: list[int]
) -> None:
    """A thousand reacted to each of these: two emoji, and of each as many as are asked for."""
    async with database.transaction() as c:
        await c.execute(log.BY_KEY)
        arrays = ([channels[40]] * 2, [500, 990], [2, 3])
        plan = _plan(await c.fetch(EXPLAIN + log.REACTED, *arrays))
        rows = await c.fetch(log.REACTED, *arrays)
    assert [row["target"] for row in rows] == [500] * 4 + [990] * 6
    assert (scanned(plan), pages(plan) <= 2 * (3 + 2) * 5) == (set(), True)


async def test_catching_up_reads_what_it_brings(database: Explaining, channels: list[int]) -> None:
    entries = await MessageStore(database).entries(channels[50], 500, None, 200)
    assert len(entries) == 200
    (plan,) = database.plans
    assert (scanned(plan), pages(plan) <= 200 + 10) == (set(), True)


async def test_ones_sessions_are_looked_up(database: Explaining, users: list[int]) -> None:
    """Ten that stand, wherever they are among those of everybody."""
    for user in (users[0], users[-1]):
        assert len(await SessionStore(database).listing(user, 1, 0, 51)) == 10
    assert [scanned(plan) for plan in database.plans] == [set(), set()]
    assert [pages(plan) <= 20 for plan in database.plans] == [True, True]


async def test_heads_and_standings_are_looked_up(
    database: Explaining, channels: list[int], users: list[int]
) -> None:
    """100 channels: three pages of an index and one of the table for each, and for each member."""
    await ChannelStore(database, 1000).standing(users[5], channels)
    await MessageStore(database).heads(channels)
    assert [scanned(plan) - {"log_epochs"} for plan in database.plans] == [set(), set()]
    assert [pages(plan) <= 8 * len(channels) for plan in database.plans] == [True, True]


@pytest.mark.parametrize("found", [0, 500])
async def test_what_a_batch_reads_is_looked_up(
    database: Explaining, channels: list[int], users: list[int], found: int
) -> None:
    """500 writes with nonces, known or not: a few pages for a member, a channel and a nonce."""
    who, where = [users[n % 10] for n in range(500)], channels * 5
    # Message n is of person n % 10.
    nonces = [f"n{100 + n % 10}" if found else f"new {n}" for n in range(500)]
    async with database.transaction() as c:
        await c.execute(log.BY_KEY)
        ids = ",".join(map(str, channels))
        await c.execute("SELECT set_config('rtchat.locked', $1, true)", ids)
        arrays = (where, who, who, where, nonces)
        plan = _plan(await c.fetch(EXPLAIN + log.READ, *arrays))
        rows = await c.fetch(log.READ, *arrays)
    assert sum(row[2] is None for row in rows) == found
    assert scanned(plan) == set()
    assert pages(plan) <= 500 * (4 + 4 + 4)


def parts(plan: Plan) -> list[Plan]:
    """A plan's nodes."""
    return [plan, *(node for part in plan.get("Plans", ()) for node in parts(part))]


@pytest.mark.parametrize("rows", [0, 1, 3, 100])
async def test_each_thing_a_batch_reads_is_found_by_its_key_however_little_there_was(
    database_url: str, rows: int
) -> None:
    """And by itself, not by comparing: 500 channels with 500 took 9 ms instead of 3."""
    sql = await asyncpg.connect(database_url)
    user = await sql.fetchval("INSERT INTO users (email, name) VALUES ('a', 'a') RETURNING id")
    for statement in BEGINNING.split(";"):
        await sql.execute(statement, user, rows)
    await sql.execute("ANALYZE")
    try:
        async with sql.transaction():
            await sql.execute(log.BY_KEY + "SET LOCAL rtchat.locked = '1'")
            await sql.execute(PREPARE)
            plan = _plan(await sql.fetch(EXECUTE))
        tables = [node for node in parts(plan) if "Relation Name" in node]
        assert {t["Relation Name"] for t in tables} == {"channels", "members", "messages"}
        assert [t for t in tables if "Index Cond" not in t] == []
        assert [node for node in parts(plan) if "Join Filter" in node] == []
    finally:
        await sql.close()


async def test_a_log_that_was_short_when_its_writer_began_is_not_read_through(
    database_url: str,
) -> None:
    """What was planned for an empty table is used for a long one, until that is analyzed."""
    config = Config(database_url=database_url)
    sql = await asyncpg.connect(database_url)
    writer = log.LogWriter(config, await asyncpg.connect(database_url))
    user = await sql.fetchval("INSERT INTO users (email, name) VALUES ('a', 'a') RETURNING id")
    made = "INSERT INTO channels (name, type, created_by) VALUES ('c', 'public', $1) RETURNING id"
    channel = await sql.fetchval(made, user)
    await sql.execute("INSERT INTO members VALUES ($1, $2, 'owner')", channel, user)

    async def store(first: int) -> None:
        for n in range(first, first + 8):  # the plan that is kept is made by the sixth at most
            decision = await writer.store([_send(channel, user, f"nonce {n}")], wait=True)
            assert len(decision.entries) == 1

    async def read_through() -> int:
        await sql.execute("SELECT pg_stat_clear_snapshot()")
        scans = "SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'messages'"
        return int(await sql.fetchval(scans))

    try:
        await store(0)
        await sql.execute(
            "INSERT INTO messages (channel_id, seq, kind, user_id, content, timestamp, nonce)"
            " SELECT $1 + 1, n, 1, $2, 'x', now(), n FROM generate_series(1, 50000) n",
            channel,
            user,
        )
        await sql.execute("SELECT pg_stat_force_next_flush()")
        before = await read_through()
        await store(8)
        await asyncio.sleep(1.2)  # a backend tells its counts once a second
        await store(16)
        assert await read_through() == before
    finally:
        writer.terminate()
        await sql.close()


def _send(channel_id: int, user_id: int, nonce: str) -> Write:
    return Write(Op.SEND, channel_id, user_id, nonce, lambda _: None, given=True, content="x")


async def test_a_plan_that_reads_a_table_from_end_to_end_would_be_seen(
    database: Explaining, channels: list[int]
) -> None:
    await database.fetch("SELECT count(*) FROM messages WHERE channel_id + 0 = $1", channels[0])
    (plan,) = database.plans
    assert (scanned(plan), pages(plan) > 1000) == ({"messages"}, True)
