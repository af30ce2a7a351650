"""A PostgreSQL of a test's own, which may be killed, frozen and badly set, and who asks it."""

import asyncio
import time
from collections.abc import Callable

import msgspec
import pytest

from rtchat.config import Config
from rtchat.errors import ERRORS, ChatError, Code
from rtchat.server.postgres import EmbeddedPostgres
from rtchat.store.database import Database


def config(server: EmbeddedPostgres, **changes: int | str) -> Config:
    """Few connections and short times."""
    short = Config(
        database_url=server.url,
        pool_max=2,
        connect_timeout_ms=500,
        acquire_timeout_ms=300,
        query_timeout_ms=500,
    )
    return msgspec.structs.replace(short, **changes)


async def refused(database: Database, sql: str = "SELECT 1") -> float:
    """Check that a statement is `unavailable`, and when to retry; returns its seconds."""
    started = time.monotonic()
    with pytest.raises(ChatError) as caught:
        await database.fetch(sql)
    assert caught.value.code is Code.UNAVAILABLE
    assert ERRORS[caught.value.code].retry
    assert caught.value.after_ms
    return time.monotonic() - started


async def answers(database: Database) -> bool:
    try:
        return [row[0] for row in await database.fetch("SELECT 1")] == [1]
    except ChatError:
        return False


async def answers_soon(database: Database) -> None:
    """Wait until the database is found again."""
    async with asyncio.timeout(10):
        while not await answers(database):
            await asyncio.sleep(0.02)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.02)
