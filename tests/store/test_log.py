"""The writer's transaction where its last request, heads and COMMIT, does not succeed."""

from collections.abc import AsyncIterator
from typing import NamedTuple

import asyncpg
import pytest
from asyncpg import exceptions as pg

from rtchat.batch import Op, Write
from rtchat.config import Config
from rtchat.store.log import CommitUnknownError, LogWriter

REFUSE = "RAISE EXCEPTION 'refused'"
DIE = "PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(5)"
ON_HEADS = """
CREATE FUNCTION on_heads() RETURNS trigger AS $$ BEGIN {what}; RETURN NEW; END $$ LANGUAGE plpgsql;
CREATE TRIGGER on_heads BEFORE UPDATE ON channels FOR EACH ROW EXECUTE FUNCTION on_heads()
"""


class Place(NamedTuple):
    """A channel with a member, and connections beside the writer's."""

    url: str
    sql: asyncpg.Connection
    channel: int
    user: int

    async def writer(self) -> LogWriter:
        return LogWriter(Config(database_url=self.url), await asyncpg.connect(self.url))

    def send(self) -> Write:
        nonce = "nonce"
        return Write(
            Op.SEND, self.channel, self.user, nonce, lambda _: None, given=True, content="x"
        )

    async def stored(self) -> int:
        return int(await self.sql.fetchval("SELECT count(*) FROM messages"))


@pytest.fixture
async def place(database_url: str) -> AsyncIterator[Place]:
    sql = await asyncpg.connect(database_url)
    user = await sql.fetchval("INSERT INTO users (email, name) VALUES ('a', 'a') RETURNING id")
    made = "INSERT INTO channels (name, type, created_by) VALUES ('c', 'public', $1) RETURNING id"
    channel = await sql.fetchval(made, user)
    await sql.execute("INSERT INTO members VALUES ($1, $2, 'owner')", channel, user)
    yield Place(database_url, sql, channel, user)
    await sql.close()


async def test_heads_that_are_refused_are_no_unknown_commit(place: Place):
    """The server answered: nothing is stored, and the connection goes on with the next batch."""
    await place.sql.execute(ON_HEADS.format(what=REFUSE))
    writer = await place.writer()
    try:
        with pytest.raises(pg.RaiseError):
            await writer.store([place.send()], wait=True)
        assert writer.usable
        assert await place.stored() == 0
        await place.sql.execute("DROP TRIGGER on_heads ON channels")
        decision = await writer.store([place.send()], wait=True)
        assert [entry.seq for entry in decision.entries] == [1]
        assert await place.stored() == 1
    finally:
        writer.terminate()


async def test_a_link_that_dies_before_the_answer_leaves_it_unknown(place: Place):
    """Whether the heads or the COMMIT behind them were under way cannot be told from here."""
    await place.sql.execute(ON_HEADS.format(what=DIE))
    writer = await place.writer()
    try:
        with pytest.raises(CommitUnknownError):
            await writer.store([place.send()], wait=True)
        assert not writer.usable
    finally:
        writer.terminate()
