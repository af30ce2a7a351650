"""Links to a database that go dead, and transactions over them: all or nothing, and said right."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from asyncpg import exceptions as pg

from rtchat.errors import ChatError
from rtchat.server.postgres import EmbeddedPostgres
from rtchat.store.database import Database
from tests.faults.proxy import FaultProxy
from tests.store.outages import answers, config


@pytest.fixture
async def database(server: EmbeddedPostgres) -> AsyncIterator[Database]:
    database = Database(config(server))
    await database.open()
    yield database
    await database.close()


@pytest.fixture
async def far(server: EmbeddedPostgres) -> AsyncIterator[tuple[Database, FaultProxy]]:
    """A database behind a proxy that can become a black hole."""
    async with FaultProxy(server.url) as proxy:
        database = Database(config(server, database_url=proxy.url))
        await database.open()
        assert await answers(database)
        yield database, proxy
        await database.close()


async def test_whoever_is_cancelled_on_a_dead_link_stays_cancelled(
    far: tuple[Database, FaultProxy],
):
    """A loop that shrugs at `unavailable` would go on for ever, and hold up the end of the pod."""
    database, proxy = far

    async def poll() -> None:
        while True:
            with contextlib.suppress(ChatError):
                await database.fetch("SELECT 1")
            await asyncio.sleep(0.01)

    async def change() -> None:
        while True:
            with contextlib.suppress(ChatError):
                async with database.transaction() as c:
                    await c.execute("SELECT 1")
                    await asyncio.sleep(60)

    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(work()) for work in (poll, change)]
    await asyncio.sleep(0.2)
    proxy.swallows = True
    await asyncio.sleep(0.1)
    for task in tasks:
        task.cancel()
    _, left = await asyncio.wait(tasks, timeout=5)
    assert not left
    assert all(task.cancelled() for task in tasks)


async def fail(database: Database, error: Exception | None) -> None:
    """Write, and raise that, or what the database says."""
    async with database.transaction() as c:
        await c.execute("INSERT INTO pairs VALUES (2)")
        if error is not None:
            raise error
        await c.execute("SELECT * FROM nothing_of_that_name")


async def test_a_transaction_is_read_committed_and_all_or_nothing(
    server: EmbeddedPostgres, database: Database
):
    """Whatever the database's default is; what its block raises undoes it."""
    await database.execute("CREATE TABLE IF NOT EXISTS pairs (n int)")
    name = server.url.rpartition("/")[2]
    await database.execute(
        f"ALTER DATABASE {name} SET default_transaction_isolation = serializable"
    )
    strict = Database(config(server))
    await strict.open()
    try:
        async with strict.transaction() as c:
            assert await c.fetchval("SHOW transaction_isolation") == "read committed"
            await c.execute("INSERT INTO pairs VALUES (1)")
        with pytest.raises(LookupError):
            await fail(strict, LookupError())
        with pytest.raises(pg.UndefinedTableError):
            await fail(strict, None)
        assert [row["n"] for row in await strict.fetch("SELECT n FROM pairs")] == [1]
    finally:
        await strict.close()
        await database.execute(f"ALTER DATABASE {name} RESET default_transaction_isolation")


async def test_a_transaction_that_was_cancelled_is_in_nobodys_way(database: Database):
    """Its connection is cut: a next borrower would write into it, and nobody would commit that."""
    await database.execute("CREATE TABLE IF NOT EXISTS lonely (n int)")
    entered = asyncio.Event()

    async def change() -> None:
        async with database.transaction() as c:
            await c.execute("INSERT INTO lonely VALUES (1)")
            entered.set()
            await asyncio.sleep(60)

    task = asyncio.get_running_loop().create_task(change())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await database.execute("INSERT INTO lonely VALUES (2)")
    assert [row["n"] for row in await database.fetch("SELECT n FROM lonely")] == [2]


async def test_what_was_done_is_not_called_unavailable(far: tuple[Database, FaultProxy]):
    """The link dies behind the answer: whoever asked has it."""
    database, proxy = far
    async with database.connection() as c:
        assert await c.fetchval("SELECT 7") == 7
        await database.reconnect()
        proxy.swallows = True  # so this connection cannot be closed in good order


@pytest.mark.parametrize(
    ("connect_ms", "acquire_ms", "limit"),
    [(300, 2000, "connect_timeout_ms"), (2000, 300, "acquire_timeout_ms")],
)
async def test_a_connection_that_does_not_come_tells_whose_time_it_was(
    server: EmbeddedPostgres, connect_ms: int, acquire_ms: int, limit: str
):
    """The shorter of the two ends first."""
    async with FaultProxy(server.url) as proxy:
        settings = {"connect_timeout_ms": connect_ms, "acquire_timeout_ms": acquire_ms}
        database = Database(config(server, database_url=proxy.url, **settings))
        await database.open()
        async with database.connection() as held:
            proxy.swallows = True
            with pytest.raises(ChatError) as refused:
                await database.fetch("SELECT 1")
            proxy.swallows = False
            assert not held.is_closed()
        assert refused.value.limits == (limit,)
        await database.close()


async def test_a_refused_connection_reaches_no_limit(server: EmbeddedPostgres):
    async with FaultProxy(server.url) as proxy:
        database = Database(config(server, database_url=proxy.url))
        await database.open()
        proxy.refuses = True
        proxy.cut()
        with pytest.raises(ChatError) as refused:
            await database.fetch("SELECT 1")
        assert refused.value.limits == ()
        await database.close()
