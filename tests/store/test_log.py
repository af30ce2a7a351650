"""The writer's transaction: its last request, heads and COMMIT, that fails; and reactions."""

import itertools
import random
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import asyncpg
import pytest
from asyncpg import exceptions as pg

from rtchat.batch import Op, Write
from rtchat.config import Config
from rtchat.model import Kind
from rtchat.store.log import CommitUnknownError, LogWriter

ADD = "INSERT INTO members (channel_id, user_id, role) VALUES ($1, $2, 'member')"
NUMBERS = itertools.count()
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

    async def writer(self, **settings: Any) -> LogWriter:
        config = Config(database_url=self.url, **settings)
        return LogWriter(config, await asyncpg.connect(self.url))

    def send(self, nonce: str = "nonce") -> Write:
        return Write(
            Op.SEND, self.channel, self.user, nonce, lambda _: None, given=True, content="x"
        )

    def about(self, op: Op, seq: int, emoji: str | None = None, user: int | None = None) -> Write:
        nonce = f"\x7f{next(NUMBERS)}"
        return Write(
            op, self.channel, user or self.user, nonce, lambda _: None, content=emoji, target=seq
        )

    async def reactions(self) -> list[tuple[int, str, int, int]]:
        return [
            tuple(row)
            for row in await self.sql.fetch(
                "SELECT target, emoji, user_id, seq FROM reactions ORDER BY 1, 2, 3"
            )
        ]

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


# --- reactions


def folded(entries: list[asyncpg.Record]) -> list[tuple[int, str, int, int]]:
    """What a reader makes of a log: of a message, emoji and user the last entry counts."""
    standing: dict[tuple[int, str, int], int] = {}
    for entry in entries:
        reaction = (entry["target"], entry["content"], entry["user_id"])
        if entry["kind"] == Kind.REACT:
            standing.setdefault(reaction, entry["seq"])
        elif entry["kind"] == Kind.UNREACT:
            standing.pop(reaction, None)
        elif entry["kind"] == Kind.DELETE:
            standing = {r: seq for r, seq in standing.items() if r[0] != entry["target"]}
    return sorted((*reaction, seq) for reaction, seq in standing.items())


@pytest.mark.parametrize("seed", range(3))
async def test_reactions_are_what_the_log_says(place: Place, seed: int):
    """After every batch of some at random; never more different ones than a message may have."""
    lots = random.Random(seed)
    people = [place.user]
    for _ in range(4):
        made = "INSERT INTO users (email, name) VALUES ($1, 'a') RETURNING id"
        people.append(await place.sql.fetchval(made, f"{next(NUMBERS)}"))
        await place.sql.execute(ADD, place.channel, people[-1])
    writer = await place.writer(reactions_max=2)
    refused = 0
    try:
        await writer.store([place.send(f"m{n}") for n in range(4)], wait=True)
        for _ in range(25):
            writes = [
                place.about(
                    lots.choice([Op.REACT, Op.REACT, Op.UNREACT]),
                    lots.randint(1, 3),
                    lots.choice("👍🎉🙂"),
                    lots.choice(people),
                )
                for _ in range(lots.randint(1, 8))
            ]
            if lots.random() < 0.1:
                writes.insert(0, place.about(Op.DELETE, lots.randint(1, 3)))
            await writer.store(writes, wait=True)
            refused += sum(w.error is not None for w in writes)
            log = await place.sql.fetch("SELECT * FROM messages ORDER BY seq")
            stored = await place.reactions()
            assert stored == folded(log)
            assert all(len({r[1] for r in stored if r[0] == seq}) <= 2 for seq in (1, 2, 3))
    finally:
        writer.terminate()
    assert refused


async def test_messages_cost_no_more_for_reactions(place: Place):
    """A batch without any asks nothing of that table."""
    await place.sql.execute("DROP TABLE reactions")
    writer = await place.writer()
    try:
        decision = await writer.store([place.send()], wait=True)
        assert [entry.seq for entry in decision.entries] == [1]
    finally:
        writer.terminate()
