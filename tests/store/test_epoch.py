"""The log's epoch: read, renewed by an operator, and what a start asks besides."""

import contextlib
from collections.abc import AsyncIterator

import asyncpg
import pytest

from rtchat.errors import StartError
from rtchat.store import epoch
from tests.pods import ROOT
from tests.store.conftest import Rows


@contextlib.asynccontextmanager
async def rolled_back(connection: asyncpg.Connection) -> AsyncIterator[None]:
    """A transaction of which nothing stays, that a failing statement leaves usable."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield
    finally:
        await transaction.rollback()


async def test_renewing_puts_a_fresh_one_in_its_place(rows: Rows):
    """Each time another one, which is then the present one."""
    first = await epoch.current(rows.sql)
    renewed = await epoch.renew(rows.sql)
    assert renewed.before == first
    assert await epoch.current(rows.sql) == renewed.now != first
    again = await epoch.renew(rows.sql)
    assert again.before == renewed.now
    assert len({first, *renewed, *again}) == 3


async def test_renewing_is_whole_or_nothing(rows: Rows):
    """A transaction that fails leaves the epoch as it was."""
    before = await epoch.current(rows.sql)
    transaction = rows.sql.transaction()
    await transaction.start()
    await epoch.renew(rows.sql)
    await transaction.rollback()
    assert await epoch.current(rows.sql) == before


async def test_a_database_without_a_schema_is_told(rows: Rows):
    """With the command that mends it."""
    async with rolled_back(rows.sql):
        await rows.sql.execute("DROP TABLE alembic_version")
        with pytest.raises(StartError, match="rtchat migrate"):
            await epoch.current(rows.sql)


async def test_an_older_schema_than_needed_is_told(rows: Rows):
    """Not a newer one: pods of two versions run side by side during an upgrade."""
    async with rolled_back(rows.sql):
        await rows.sql.execute("UPDATE alembic_version SET version_num = '0000'")
        with pytest.raises(StartError, match=r"0000.*rtchat migrate"):
            await epoch.current(rows.sql)
        await rows.sql.execute("UPDATE alembic_version SET version_num = '9999'")
        assert await epoch.current(rows.sql)


def test_the_schema_that_is_needed_is_the_newest_that_there_is():
    """Whoever adds a migration that the code relies upon says so in one place."""
    versions = sorted(f.stem[:4] for f in (ROOT / "migrations/versions").glob("0*.py"))
    assert versions[-1] == epoch.SCHEMA


def test_at_a_url(module_database_url: str):
    """As the command line does it, each over a connection of its own."""
    before = epoch.read_at(module_database_url)
    renewed = epoch.renew_at(module_database_url)
    assert renewed.before == before
    assert epoch.read_at(module_database_url) == renewed.now


def test_a_url_that_leads_nowhere_is_told():
    for ask in (epoch.read_at, epoch.renew_at):
        with pytest.raises(StartError, match="cannot be used"):
            ask("postgresql://x@127.0.0.1:1/x")


def test_a_database_that_cannot_be_written_keeps_its_epoch(module_database_url: str):
    """A replica: nothing is renewed there, and it says so."""
    standby = f"{module_database_url}?options=-cdefault_transaction_read_only%3Don"
    before = epoch.read_at(standby)
    with pytest.raises(StartError, match="read-only"):
        epoch.renew_at(standby)
    assert epoch.read_at(module_database_url) == before
