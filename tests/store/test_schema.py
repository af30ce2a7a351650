"""The schema: the way to it from nothing, several at once, and back; and what it forbids."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Coroutine, Iterator
from typing import Any

import asyncpg
import pytest
from alembic import command
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from asyncpg import exceptions as pg

from rtchat.store import migrate
from rtchat.store.schema import metadata
from tests.services import Databases
from tests.store.conftest import Rows


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run to its end: migrations have a loop of their own, so these tests are in none."""
    with asyncio.Runner() as runner:
        return runner.run(work)


def sql(url: str, statement: str) -> list[asyncpg.Record]:
    async def execute() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(url)
        try:
            rows: list[asyncpg.Record] = await connection.fetch(statement)
            return rows
        finally:
            await connection.close()

    found: list[asyncpg.Record] = run(execute())
    return found


def tables(url: str) -> dict[str, int]:
    """The tables, each with the number that tells it from one of the same name made anew."""
    found = sql(
        url,
        "SELECT relname, oid::bigint FROM pg_class"
        " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
    )
    return {row["relname"]: row["oid"] for row in found}


@pytest.fixture
def empty_url(databases: Databases) -> Iterator[str]:
    """A database with nothing in it."""
    with databases.fresh() as url:
        sql(url, "DROP SCHEMA public CASCADE")
        sql(url, "CREATE SCHEMA public")
        yield url


def test_migrations_lead_from_nothing_to_the_schema(empty_url: str):
    """Every table of `store.schema` is there afterwards, and one history has begun."""
    assert tables(empty_url) == {}
    migrate.upgrade(empty_url)
    assert set(tables(empty_url)) == set(metadata.tables) | {"alembic_version"}
    assert len(sql(empty_url, "SELECT epoch FROM log_epochs")) == 1


def test_migrating_again_changes_nothing(empty_url: str):
    """No table is made anew, no second epoch begins."""
    migrate.upgrade(empty_url)
    before = tables(empty_url), sql(empty_url, "SELECT epoch FROM log_epochs")
    migrate.upgrade(empty_url)
    assert (tables(empty_url), sql(empty_url, "SELECT epoch FROM log_epochs")) == before


def test_pods_may_migrate_together(empty_url: str):
    """Three at once in processes of their own: one does it, the others wait, all succeed."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("RTCHAT_")}
    children = [
        subprocess.Popen(
            [sys.executable, "-m", "rtchat", "migrate"],
            env={**environ, "RTCHAT_DATABASE_URL": empty_url},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for _ in range(3)
    ]
    said = [child.communicate(timeout=50)[0].decode() for child in children]
    assert [child.returncode for child in children] == [0, 0, 0], said
    assert set(tables(empty_url)) == set(metadata.tables) | {"alembic_version"}
    assert len(sql(empty_url, "SELECT epoch FROM log_epochs")) == 1
    assert len(sql(empty_url, "SELECT * FROM alembic_version")) == 1


def test_who_migrates_second_waits_for_the_first(empty_url: str):
    """The lock is held in the database: nothing happens while another session has it."""

    async def hold() -> None:
        holder = await asyncpg.connect(empty_url)
        try:
            await holder.execute("SELECT pg_advisory_lock($1)", migrate.LOCK_KEY)
            waiting = asyncio.get_running_loop().run_in_executor(None, migrate.upgrade, empty_url)
            done, _ = await asyncio.wait([waiting], timeout=1)
            assert not done
            assert await holder.fetchval("SELECT to_regclass('users')") is None
            await holder.execute("SELECT pg_advisory_unlock($1)", migrate.LOCK_KEY)
            await waiting
            assert await holder.fetchval("SELECT to_regclass('users')") is not None
        finally:
            await holder.close()

    run(hold())


def test_migrations_and_schema_say_the_same(database_url: str):
    """What Alembic would generate to get from one to the other is nothing."""
    migrate.check(database_url)


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE users ADD COLUMN age int",
        "ALTER TABLE users DROP COLUMN status",
        "ALTER TABLE messages ALTER COLUMN content TYPE varchar(10)",
        "ALTER TABLE members ALTER COLUMN role DROP NOT NULL",
        "DROP INDEX uq_members_owner",
        "ALTER TABLE messages DROP CONSTRAINT uq_messages_user_id_channel_id_nonce",
        "CREATE TABLE other (id int)",
    ],
)
def test_the_check_finds_a_difference(database_url: str, change: str):
    """It fails when it should: so that it says something when it does not."""
    sql(database_url, change)
    with pytest.raises(CommandError):
        migrate.check(database_url)


def test_there_is_a_way_back(database_url: str):
    """Down to nothing, and up again."""
    command.downgrade(migrate._config(database_url), "base")
    assert set(tables(database_url)) == {"alembic_version"}
    migrate.upgrade(database_url)
    migrate.check(database_url)


def test_migrations_are_one_line():
    """One head, no branches: pods of one version agree on what is newest."""
    script = ScriptDirectory.from_config(migrate._config("postgresql://nobody@nowhere/x"))
    assert len(script.get_heads()) == 1
    assert len(script.get_bases()) == 1


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:geheim@127.0.0.1:1/x",
        "postgresql://ann:geheim@no-such-host.invalid/x",
        "nonsense",
        "postgresql://",
    ],
)
def test_a_database_that_is_not_there_is_an_error_of_ours(url: str):
    """MigrationError, without the password."""
    with pytest.raises(migrate.MigrationError) as caught:
        migrate.upgrade(url)
    assert "geheim" not in str(caught.value)


# --- what the schema forbids


async def test_an_address_is_unique_without_case(rows: Rows):
    await rows.user(email="Ann@Example.org")
    with pytest.raises(pg.UniqueViolationError):
        await rows.user(email="aNN@eXAMPLE.ORG")


async def test_a_channel_has_one_owner(rows: Rows):
    """Members and admins as many as there are."""
    ann, bob = await rows.user(), await rows.user()
    channel = await rows.channel(ann)
    await rows.member(channel, bob)
    await rows.sql.execute("UPDATE members SET role = 'admin' WHERE user_id = $1", bob)
    with pytest.raises(pg.UniqueViolationError):
        await rows.sql.execute("UPDATE members SET role = 'owner' WHERE user_id = $1", bob)


NEW_CHANNEL = "INSERT INTO channels (name, type, created_by, dm_key) VALUES"
SAME_NONCE = (
    "INSERT INTO messages (channel_id, seq, kind, user_id, timestamp, nonce)"
    " SELECT channel_id, seq + 1, kind, user_id, timestamp, nonce"
    " FROM messages WHERE user_id = $1"
)
FORBIDDEN = {
    "a channel without a name": (f"{NEW_CHANNEL} (NULL, 'public', $1, NULL)", "check"),
    "a channel of an unknown type": (f"{NEW_CHANNEL} ('x', 'other', $1, NULL)", "check"),
    "a dm with a name": (f"{NEW_CHANNEL} ('x', 'dm', $1, '1,2')", "check"),
    "a dm without its people": (f"{NEW_CHANNEL} (NULL, 'dm', $1, NULL)", "check"),
    "a channel of nobody's": (f"{NEW_CHANNEL} ('x', 'public', $1 + 999999, NULL)", "foreign"),
    "a member of nothing": (
        "INSERT INTO members (channel_id, user_id, role) VALUES (999999, $1, 'member')",
        "foreign",
    ),
    "an unknown role": ("UPDATE members SET role = 'king' WHERE user_id = $1", "check"),
    "a member twice": ("INSERT INTO members SELECT * FROM members WHERE user_id = $1", "unique"),
    "a seq twice": ("INSERT INTO messages SELECT * FROM messages WHERE user_id = $1", "unique"),
    "a nonce twice": (SAME_NONCE, "unique"),
    "a user who is needed to go": ("DELETE FROM users WHERE id = $1", "foreign"),
}
ERRORS = {
    "check": pg.CheckViolationError,
    "foreign": pg.ForeignKeyViolationError,
    "unique": pg.UniqueViolationError,
}


@pytest.mark.parametrize("what", FORBIDDEN)
async def test_the_schema_forbids(rows: Rows, what: str):
    """What no statement may bring about, whoever wrote it."""
    ann = await rows.user()
    await rows.entry(await rows.channel(ann), ann, nonce="n")
    statement, error = FORBIDDEN[what]
    with pytest.raises(ERRORS[error]):
        await rows.sql.execute(statement, ann)


async def test_there_is_one_dm_for_each_key(rows: Rows):
    ann = await rows.user()
    statement = "INSERT INTO channels (type, created_by, dm_key) VALUES ('dm', $1, 'a,b')"
    await rows.sql.execute(statement, ann)
    with pytest.raises(pg.UniqueViolationError):
        await rows.sql.execute(statement, ann)


def test_a_url_means_to_migrations_what_it_means_to_the_server(database_url: str):
    """asyncpg reads it in both places: what managed databases append is understood."""
    migrate.upgrade(f"{database_url}?sslmode=prefer&application_name=x")
