"""How Alembic reaches the database: on asyncpg, one at a time, from `rtchat.store.schema`."""

import asyncio

import asyncpg
from alembic import context
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from rtchat.store.migrate import LOCK_KEY
from rtchat.store.schema import metadata


def migrate(connection: Connection) -> None:
    # Waits for whoever migrates now; released with the connection, so a crash releases it too.
    connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": LOCK_KEY})
    # A migration that would wait longer than this for a table would queue every send behind it.
    connection.execute(text("SET lock_timeout = '5s'"))
    connection.commit()
    context.configure(
        connection=connection, target_metadata=metadata, transaction_per_migration=True
    )
    with context.begin_transaction():
        context.run_migrations()


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
