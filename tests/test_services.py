"""The fixtures that other tests stand on."""

import asyncio

import asyncpg
import uvloop

from tests.services import Databases


async def test_async_tests_run_on_uvloop() -> None:
    assert isinstance(asyncio.get_running_loop(), uvloop.Loop)


async def test_database_has_the_newest_schema(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        assert await connection.fetchval("SELECT count(*) FROM alembic_version") == 1
        assert await connection.fetchval("SELECT to_regclass('channels')") is not None
    finally:
        await connection.close()


def test_every_test_has_its_own_database(databases: Databases, database_url: str) -> None:
    with databases.fresh() as other:
        assert other != database_url


def test_module_database_is_another_one(module_database_url: str, database_url: str) -> None:
    assert module_database_url != database_url
