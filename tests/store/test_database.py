"""Connections to a database that goes away, hangs, fills up, or is set so that it forgets."""

import asyncio
import logging
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from asyncpg import exceptions as pg

from rtchat.config import Config
from rtchat.errors import ChatError, Code, StartError
from rtchat.server.postgres import EmbeddedPostgres
from rtchat.store.database import AnyConnection, Database
from tests.store.outages import answers, answers_soon, config, refused, until


@pytest.fixture
async def database(server: EmbeddedPostgres) -> AsyncIterator[Database]:
    database = Database(config(server))
    await database.open()
    yield database
    await database.close()


async def test_rows_come_back(database: Database):
    assert [tuple(row) for row in await database.fetch("VALUES (1), (2)")] == [(1,), (2,)]
    row = await database.fetchrow("SELECT $1::text AS word", "hi")
    assert row is not None
    assert row["word"] == "hi"
    assert await database.fetchrow("SELECT 1 WHERE false") is None
    assert await database.execute("CREATE TEMPORARY TABLE t (n int)") == "CREATE TABLE"


async def test_a_database_that_went_away_is_unavailable_and_found_again(
    server: EmbeddedPostgres, database: Database
):
    """Each statement is told so in time; the pool recovers by itself."""
    assert await answers(database)
    server.kill()
    try:
        for _ in range(3):
            assert await refused(database) < 2
    finally:
        server.start()
    await answers_soon(database)


async def test_a_database_that_hangs_is_unavailable_in_time(
    server: EmbeddedPostgres, database: Database
):
    """No statement waits longer than its settings say, though the link stands."""
    assert await answers(database)
    server.send_signal(signal.SIGSTOP)
    try:
        for _ in range(3):
            assert await refused(database) < 2.5
    finally:
        server.send_signal(signal.SIGCONT)
    await answers_soon(database)


async def test_a_slow_statement_is_cut_off(database: Database):
    """And the connection is good for the next one."""
    assert await refused(database, "SELECT pg_sleep(30)") < 2
    assert await answers(database)


async def test_connections_that_were_ended_are_replaced(
    server: EmbeddedPostgres, database: Database
):
    """An administrator's doing: at most the statements under way are refused."""
    assert await answers(database)
    other = Database(config(server))
    await other.open()
    await other.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'rtchat' AND pid <> pg_backend_pid()"
    )
    await answers_soon(database)
    await other.close()


async def test_waiting_for_a_connection_is_bounded(server: EmbeddedPostgres, database: Database):
    """All busy: `unavailable` after the time that is set, and free again afterwards."""
    async with database.connection(), database.connection():
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(refused(database)) for _ in range(20)]
        assert all(0.25 < task.result() < 1.5 for task in tasks)
    assert await answers(database)


async def test_reads_cannot_starve_the_writer(database: Database):
    """A dedicated connection is opened beside the pool."""
    async with database.connection(), database.connection():
        own = await database.dedicated()
        assert await own.fetchval("SELECT 1") == 1
        assert await own.fetchval("SHOW application_name") == "rtchat writer"
        await own.close()


async def test_a_server_without_a_free_connection_is_unavailable(
    server: EmbeddedPostgres, database: Database
):
    """Too many clients is a state that passes."""
    crowd = Database(config(server, pool_max=30))
    await crowd.open()
    held = 0
    refusal = None
    async with AsyncExitStack() as lent:
        while refusal is None and held < 30:
            try:
                await lent.enter_async_context(crowd.connection())
                held += 1
            except ChatError as error:
                refusal = error.code
    assert refusal is Code.UNAVAILABLE
    assert 5 < held < 20
    await crowd.close()
    await answers_soon(database)


async def test_a_read_only_server_is_unavailable(server: EmbeddedPostgres, database: Database):
    """A standby that is not promoted yet: writing has to wait, reading goes on."""
    await database.execute("CREATE TABLE IF NOT EXISTS t (n int)")
    name = server.url.rpartition("/")[2]
    await database.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    standby = Database(config(server))
    await standby.open()
    try:
        await refused(standby, "INSERT INTO t VALUES (1)")
        assert await answers(standby)
    finally:
        await standby.close()
        await database.execute(
            f"BEGIN READ WRITE; ALTER DATABASE {name} RESET default_transaction_read_only; COMMIT"
        )


async def test_mistakes_are_not_dressed_up(database: Database):
    """A wrong statement or a broken constraint is nothing that waiting mends."""
    with pytest.raises(pg.PostgresSyntaxError):
        await database.fetch("SELEC 1")
    with pytest.raises(pg.UndefinedTableError):
        await database.fetch("SELECT * FROM nothing_of_that_name")
    with pytest.raises(pg.NotNullViolationError):
        await database.execute("CREATE TABLE u (n int NOT NULL); INSERT INTO u VALUES (NULL)")


async def test_before_it_is_opened_and_after_it_is_closed_it_is_unavailable(
    server: EmbeddedPostgres,
):
    database = Database(config(server))
    for _ in range(2):
        with pytest.raises(ChatError) as caught:
            await database.fetch("SELECT 1")
        assert caught.value.code is Code.UNAVAILABLE
        await database.open()
        assert await answers(database)
        await database.close()
        await database.close()


@pytest.mark.parametrize(
    ("part", "wrong", "words"),
    [
        ("//rtchat:", "//rtchat:x", "password"),
        ("/rtchat?", "/nothing?", "does not exist"),
        ("postgresql:", "nonsense:", "cannot be read"),
    ],
)
async def test_an_operators_mistake_is_told_at_the_start(
    server: EmbeddedPostgres, part: str, wrong: str, words: str
):
    """A wrong password, name or URL: no waiting mends it."""
    database_url = f"{server.url}?".replace(part, wrong)
    database = Database(Config(database_url=database_url))
    with pytest.raises(StartError, match=words):
        await database.open()
    await database.close()


async def test_a_database_that_is_not_there_is_opened_all_the_same(server: EmbeddedPostgres):
    """Soon, and used once it is there and what the start needs was read; until then, not at all."""
    read: list[int] = []
    waiting: list[bool] = []

    async def begin(connection: AnyConnection) -> None:
        waiting.append(await answers(away))
        read.append(await connection.fetchval("SELECT 7"))

    away = Database(config(server))
    server.kill()
    try:
        started = time.monotonic()
        await away.open(begin)
        assert time.monotonic() - started < 4
        await refused(away)
        assert read == []
    finally:
        server.start()
    await answers_soon(away)
    assert (read, waiting) == ([7], [False])
    await away.close()


async def test_a_mistake_that_shows_later_is_waited_for(
    server: EmbeddedPostgres, database: Database, caplog: pytest.LogCaptureFixture
):
    """Nobody is there any more to be told; it is logged, and mended without a restart."""
    missing = ["no schema yet"]

    async def begin(_: AnyConnection) -> None:
        if missing:
            raise StartError(missing[0])

    late = Database(config(server))
    server.send_signal(signal.SIGSTOP)
    try:
        await late.open(begin)
    finally:
        server.send_signal(signal.SIGCONT)
    await answers_soon(database)
    await until(lambda: "no schema yet" in [vars(r).get("reason") for r in caplog.records])
    assert not await answers(late)
    missing.clear()
    await answers_soon(late)
    await late.close()


async def test_an_unforeseen_failure_of_the_start_is_logged_and_it_is_tried_again(
    server: EmbeddedPostgres, caplog: pytest.LogCaptureFixture
):
    """Otherwise the pod would stand there without its database for ever."""
    failures = [RuntimeError("unforeseen")]

    async def begin(_: AnyConnection) -> None:
        if failures:
            raise failures.pop()

    database = Database(config(server))
    await database.open(begin)
    await answers_soon(database)
    assert "the start failed" in [r.getMessage() for r in caplog.records]
    await database.close()


async def test_a_connection_that_cannot_write_is_replaced(
    server: EmbeddedPostgres, database: Database
):
    """It may lead to the primary of yesterday; a new one finds that of today."""
    await database.execute("CREATE TABLE IF NOT EXISTS t (n int)")
    name = server.url.rpartition("/")[2]
    await database.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    old = Database(config(server))
    await old.open()
    await database.execute(
        f"BEGIN READ WRITE; ALTER DATABASE {name} RESET default_transaction_read_only; COMMIT"
    )
    await refused(old, "INSERT INTO t VALUES (1)")
    assert await old.execute("INSERT INTO t VALUES (1)") == "INSERT 0 1"
    await old.close()


async def test_closing_does_not_wait_for_a_busy_connection(server: EmbeddedPostgres):
    """A second, then it is cut."""
    database = Database(config(server, query_timeout_ms=20_000))
    await database.open()
    async with asyncio.TaskGroup() as group:
        group.create_task(refused(database, "SELECT pg_sleep(20)"))
        await asyncio.sleep(0.1)
        started = time.monotonic()
        await database.close()
        assert time.monotonic() - started < 3


# --- durability


async def test_a_safe_server_has_no_unsafe_settings(database: Database):
    assert await database.probe(2) == []


async def test_a_setting_that_becomes_unsafe_is_found(
    server: EmbeddedPostgres, database: Database, monkeypatch: pytest.MonkeyPatch
):
    """However much the database has to answer besides."""
    monkeypatch.setattr("rtchat.store.database.LOOK_S", 0.1)
    assert await database.probe(2) == []
    for value, found in (("off", ["full_page_writes"]), ("on", [])):
        await database.execute(f"ALTER SYSTEM SET full_page_writes = {value}")
        await database.execute("SELECT pg_reload_conf()")
        async with asyncio.timeout(10):
            while await database.probe(2) != found:
                await database.execute("SELECT 1")
                await asyncio.sleep(0.02)


async def test_a_pool_that_is_busy_is_no_database_that_is_away(
    database: Database, monkeypatch: pytest.MonkeyPatch
):
    """Whoever probes has a connection of its own."""
    monkeypatch.setattr("rtchat.store.database.QUIET_S", 0.0)
    monkeypatch.setattr("rtchat.store.database.SILENT_S", 1.0)
    async with database.connection(), database.connection():
        await asyncio.sleep(1.1)
        assert await database.probe(5) == []


async def test_probes_of_a_busy_database_ask_it_nothing(server: EmbeddedPostgres):
    """What it answers to others tells enough; nothing for a while, and it counts as away."""
    database = Database(config(server, pool_max=1))
    await database.open()
    server.send_signal(signal.SIGSTOP)
    try:
        assert await database.probe(0) == []
        async with asyncio.timeout(20):
            while await probed(database):
                await asyncio.sleep(0.05)
    finally:
        server.send_signal(signal.SIGCONT)
    async with asyncio.timeout(10):
        while not await probed(database):
            await asyncio.sleep(0.05)
    await database.close()


async def probed(database: Database) -> bool:
    try:
        return await database.probe(0.1) == []
    except ChatError:
        return False


async def test_unsafe_settings_are_named(
    server: EmbeddedPostgres, caplog: pytest.LogCaptureFixture
):
    """Each that would let an acknowledged message die; at the start they are complained of."""
    server.stop()
    server.settings |= {"fsync": "off", "full_page_writes": "off"}
    server.start()
    try:
        database = Database(config(server))
        with caplog.at_level(logging.ERROR, "rtchat.store.database"):
            await database.open()
        assert sorted(await database.probe(2)) == ["fsync", "full_page_writes"]
        assert [vars(record)["setting"] for record in caplog.records] == [
            "fsync", "full_page_writes",
        ]  # fmt: skip
        await database.close()
    finally:
        server.stop()
        for name in ("fsync", "full_page_writes"):
            del server.settings[name]
        server.start()


async def test_it_works_without_prepared_statements(server: EmbeddedPostgres):
    """As behind a pooler that hands out another session each time."""
    database = Database(config(server, statement_cache=0))
    await database.open()
    for _ in range(3):
        assert await answers(database)
    row = await database.fetchrow("SELECT count(*) AS n FROM pg_prepared_statements")
    assert row is not None
    assert row["n"] <= 1
    await database.close()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://rtchat:hunter/secret@127.0.0.1:1/rtchat",
        "postgresql://rtchat:hunter?secret@127.0.0.1:1/rtchat",
        "postgresql://rtchat:hunter#secret@127.0.0.1:1/rtchat",
        "postgresql://rtchat:hunter%zzsecret@127.0.0.1:port/rtchat",
        "rtchat:huntersecret@127.0.0.1:1/rtchat",
        "host=127.0.0.1 password=huntersecret",
    ],
)
async def test_no_piece_of_a_password_is_told_of_a_url_that_cannot_be_read(
    url: str, caplog: pytest.LogCaptureFixture
):
    """Not by the error, not by what it came from, not by the log."""
    database = Database(Config(database_url=url))
    with pytest.raises(StartError) as raised:
        await database.open()
    await database.close()
    told = f"{raised.value!r} {raised.value.__cause__!r} {caplog.text}"
    assert "RTCHAT_DATABASE_URL cannot be read" in told
    assert "hunter" not in told
    assert "secret" not in told
