"""How Alembic reaches the database: on asyncpg, one at a time, from `rtchat.store.schema`."""

import asyncio
import time

import asyncpg
from alembic import context
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from rtchat.store.migrate import LOCK_KEY
from rtchat.store.schema import metadata

LOCK_WAIT_MS = 500
TRIES, AGAIN_S = 120, 1.0  # three minutes for whoever reads a table for long
NOT_NOW = ("55P03", "40P01")  # lock not available, deadlock: nothing of the revision is done


def migrate(connection: Connection) -> None:
    # Waits for whoever migrates now; released with the connection, so a crash releases it too.
    connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": LOCK_KEY})
    # While a migration waits for a table, every send queues behind it.
    connection.execute(text(f"SET lock_timeout = {LOCK_WAIT_MS}"))
    connection.commit()
    context.configure(
        connection=connection, target_metadata=metadata, transaction_per_migration=True
    )
    for left in reversed(range(TRIES)):
        try:
            with context.begin_transaction():
                context.run_migrations()
            return
        except DBAPIError as error:
            if left == 0 or getattr(error.orig, "sqlstate", None) not in NOT_NOW:
                raise
        connection.rollback()
        time.sleep(AGAIN_S)  # let the sends through


async def run() -> None:
    # asyncpg itself reads the URL, as it does for the server: one URL, one meaning.
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: asyncpg.connect(context.config.attributes["url"], timeout=10),
        poolclass=NullPool,
    )
    async with engine.connect() as connection:
        await connection.run_sync(migrate)
        await connection.commit()
    await engine.dispose()


asyncio.run(run())
