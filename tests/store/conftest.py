"""Fixtures of the tests of the SQL: a database with rows put in by hand."""

import itertools
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest

from rtchat.config import Config
from rtchat.model import ChannelType, Kind, Role
from rtchat.server.postgres import EmbeddedPostgres
from rtchat.store.database import Database
from tests.services import temporary_directory


class Rows:
    """Puts rows into the tables, past the stores that are tested."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.sql = connection
        self._numbers = itertools.count(1)

    async def user(self, name: str = "ann", email: str | None = None) -> int:
        """A user."""
        email = email or f"{next(self._numbers)}-{id(self)}@example.org"
        user_id: int = await self.sql.fetchval(
            "INSERT INTO users (email, name) VALUES ($1, $2) RETURNING id", email, name
        )
        return user_id

    async def channel(self, owner: int, channel_type: ChannelType = ChannelType.PUBLIC) -> int:
        """A channel that `owner` owns."""
        channel_id: int = await self.sql.fetchval(
            "INSERT INTO channels (name, type, created_by) VALUES ('x', $1, $2) RETURNING id",
            channel_type.value,
            owner,
        )
        await self.member(channel_id, owner, Role.OWNER)
        return channel_id

    async def member(
        self, channel_id: int, user_id: int, role: Role = Role.MEMBER, read_seq: int = 0
    ) -> None:
        """A membership."""
        await self.sql.execute(
            "INSERT INTO members (channel_id, user_id, role, read_seq) VALUES ($1, $2, $3, $4)",
            channel_id,
            user_id,
            role.value,
            read_seq,
        )

    async def entry(
        self,
        channel_id: int,
        user_id: int,
        content: str | None = "hi",
        kind: Kind = Kind.MESSAGE,
        *,
        nonce: str | None = None,
        target: int | None = None,
    ) -> int:
        """The next entry of a channel's log."""
        seq: int = await self.sql.fetchval(
            "UPDATE channels SET last_seq = last_seq + 1 WHERE id = $1 RETURNING last_seq",
            channel_id,
        )
        await self.sql.execute(
            "INSERT INTO messages (channel_id, seq, kind, user_id, content, timestamp, nonce,"
            " target) VALUES ($1, $2, $3, $4, $5, now(), $6, $7)",
            channel_id,
            seq,
            int(kind),
            user_id,
            content,
            nonce or f"\x7f{next(self._numbers)}",
            target,
        )
        return seq

    async def reaction(self, channel_id: int, target: int, emoji: str, user_id: int) -> None:
        """A reaction that stands, with its entry."""
        seq = await self.entry(channel_id, user_id, emoji, Kind.REACT, target=target)
        await self.sql.execute(
            "INSERT INTO reactions (channel_id, target, emoji, user_id, seq)"
            " VALUES ($1, $2, $3, $4, $5)",
            channel_id,
            target,
            emoji,
            user_id,
            seq,
        )


@pytest.fixture(scope="module")
async def database(module_database_url: str) -> AsyncIterator[Database]:
    """A `Database` on the module's database."""
    database = Database(Config(database_url=module_database_url))
    await database.open()
    yield database
    await database.close()


@pytest.fixture(scope="module")
async def rows(module_database_url: str) -> AsyncIterator[Rows]:
    """Another connection to it."""
    connection = await asyncpg.connect(module_database_url)
    yield Rows(connection)
    await connection.close()


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL that may be killed, frozen and badly set."""
    with (
        temporary_directory() as directory,
        EmbeddedPostgres(directory / "data", {"max_connections": "20"}) as server,
    ):
        yield server
