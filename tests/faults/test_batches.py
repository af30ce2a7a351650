"""Batches that meet others, or whose rows vanish on the way: the rest of them is stored.

Rows F23, F24, F28 and F40 of the fault matrix.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator

import asyncpg
import pytest

from rtchat.model import Kind
from rtchat.server.valkey import PrivateValkey
from tests.faults.scene import Scene, answers, eventually, message, scene
from tests.people import Person
from tests.pods import Pods
from tests.services import Given
from tests.sockets import Wire, wire


@pytest.fixture(scope="module")
async def two(
    pods: Pods, module_database_url: str, valkey: PrivateValkey | Given
) -> AsyncIterator[Scene]:
    """Two pods, each with all of its writes in one lane."""
    async with scene(pods, module_database_url, 2, redis_urls=valkey.url, lanes=1) as made:
        yield made


# --- F40: rows vanish


class Gate:
    """Lets batches of one lane through one by one: each waits in its COPY for `turn`.

    A lock on `messages` that COPY waits for; the next one is asked for before the first is given
    up, so that it is granted right behind the batch that was let through.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self.sql: asyncpg.Connection | None = None  # what holds the lock; a transaction is open

    async def _lock(self, connection: asyncpg.Connection) -> None:
        await connection.execute("BEGIN; LOCK TABLE messages IN SHARE MODE")

    async def __aenter__(self) -> "Gate":
        self.sql = await asyncpg.connect(self._url)
        await self._lock(self.sql)
        return self

    async def turn(self) -> asyncpg.Connection:
        """Let the batch that waits go; returns when the gate is shut behind it."""
        assert self.sql is not None
        following: asyncpg.Connection = await asyncpg.connect(self._url)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._lock(following))
            await asyncio.sleep(0.2)  # it waits in the queue of the lock, behind the batch
            await self.sql.close()
        self.sql = following
        return following

    async def __aexit__(self, *_: object) -> None:
        assert self.sql is not None
        await self.sql.close()


async def copying(made: Scene) -> bool:
    """Whether a batch waits in its COPY."""
    found = await made.sql.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND query LIKE 'COPY%' AND wait_event_type = 'Lock'"
    )
    return bool(found)


async def begin_batch(made: Scene, one: Wire, channel: int) -> None:
    """Let a batch wait in its COPY, so that what comes now makes the next one together."""
    await one.send(message("first", channel, "first"))
    await eventually(lambda: copying(made))


async def vanish(sql: asyncpg.Connection, person: Person) -> None:
    """Delete a user, as no code of ours does."""
    await sql.execute("DELETE FROM sessions WHERE user_id = $1", person.id)
    await sql.execute("DELETE FROM members WHERE user_id = $1", person.id)
    await sql.execute("DELETE FROM users WHERE id = $1", person.id)


async def test_a_user_who_vanishes_mid_batch_costs_nobody_else(two: Scene) -> None:
    """F40: added as a member, deleted between that check and the insert (23503): `not_found`."""
    ann, bob, eve = await two.people.several(3)
    channel, other = await two.channel(ann, eve), await two.channel(ann)
    path = f"/channels/{channel}/members"
    async with wire(two.pod.ws_url, ann) as one, wire(two.pod.ws_url, eve) as hers:
        async with Gate(two.pod.database_url) as gate, asyncio.TaskGroup() as group:
            await begin_batch(two, one, other)
            for number in range(4):
                await one.send(message(number, (channel, other)[number % 2], f"{number}"))
            await hers.send(message("hers", channel, "hers"))
            await one.alive()
            adding = group.create_task(two.call(ann, "POST", path, {"userId": bob.id}))
            await asyncio.sleep(0.2)
            for number in range(4, 8):
                await one.send(message(number, (channel, other)[number % 2], f"{number}"))
            await one.alive()
            sql = await gate.turn()
            await eventually(lambda: copying(two))
            for gone in (bob, eve):
                await vanish(sql, gone)
            await sql.execute("COMMIT")
        got = await answers(one, set(range(8)))
        assert {answer["t"] for answer in got.values()} == {"ack"}
        assert (await adding).status_code == 404
        hers_got = (await answers(hers, {"hers"}))["hers"]
    assert await two.texts(other) == ["first", "1", "3", "5", "7"]
    said = await two.texts(channel)
    assert [text for text in said if text != "hers"] == ["0", "2", "4", "6"]
    # She was a member when it was decided, under the channel's lock; tried again, she is none.
    assert ("hers" in said) == (hers_got["t"] == "ack")
    assert [r for r in await two.log(channel) if r["kind"] == Kind.JOIN] == []


async def test_a_user_who_vanishes_alone_is_not_found(two: Scene) -> None:
    """F40: the same with no other write in the batch."""
    ann, bob = await two.people.several(2)
    channel, other = await two.channel(ann), await two.channel(ann)
    path = f"/channels/{channel}/members"
    async with Gate(two.pod.database_url) as gate, asyncio.TaskGroup() as group:
        adding = group.create_task(two.call(ann, "POST", path, {"userId": bob.id}))
        await eventually(lambda: copying(two))
        assert gate.sql is not None
        await vanish(gate.sql, bob)
        await gate.sql.execute("COMMIT")
    answer = await adding
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert await two.log(channel) == []
    async with wire(two.pod.ws_url, ann) as one:
        assert (await one.ask(message(1, channel, "x")))["seq"] == 1
        assert (await one.ask(message(2, other, "x")))["seq"] == 1


async def test_a_channel_that_vanishes_before_its_batch_costs_no_other(two: Scene) -> None:
    """F40: its row deleted between acceptance and lock: `not_found`, final; the rest is stored."""
    ann = (await two.people.several(1))[0]
    doomed, other = await two.channel(ann), await two.channel(ann)
    async with wire(two.pod.ws_url, ann) as one:
        async with Gate(two.pod.database_url):
            await begin_batch(two, one, other)
            for number in range(6):
                await one.send(message(number, (doomed, other)[number % 2], f"{number}"))
            await one.alive()
            await two.sql.execute("DELETE FROM members WHERE channel_id = $1", doomed)
            await two.sql.execute("DELETE FROM channels WHERE id = $1", doomed)
        got = await answers(one, set(range(6)))
        assert [got[n]["t"] for n in (1, 3, 5)] == ["ack"] * 3
        assert [(got[n]["code"], got[n]["retry"]) for n in (0, 2, 4)] == [("not_found", False)] * 3
    assert await two.texts(other) == ["first", "1", "3", "5"]
    assert await two.log(doomed) == []


# --- F23, F24: batches that meet


async def deadlocks(made: Scene) -> int:
    """How many this database has seen."""
    return int(
        await made.sql.fetchval(
            "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        )
    )


async def storm(made: Scene, channels: list[int], talkers: list[Person], count: int) -> None:
    """Everybody writes to all channels at once, on both pods, each in an order of its own."""

    async def talk(number: int, person: Person) -> None:
        order = list(channels) if number % 2 else list(reversed(channels))
        async with wire(made.pods[number % 2].ws_url, person) as one:
            for n, (_, channel) in enumerate(itertools.product(range(count), order)):
                await one.send(message(n, channel, f"{number} {n}", f"{number} {n}"))
            got = await answers(one, set(range(count * len(order))))
            assert {answer["t"] for answer in got.values()} == {"ack"}

    async with asyncio.TaskGroup() as group:
        for number, person in enumerate(talkers):
            group.create_task(talk(number, person))


async def test_opposite_orders_do_not_deadlock(two: Scene) -> None:
    """F23: overlapping batches over many channels, one pod going up and the other one down."""
    crowd = await two.people.several(6)
    channels = [await two.channel(*crowd) for _ in range(30)]
    before = await deadlocks(two)
    await storm(two, channels, crowd, 10)
    for channel in channels:
        rows = await two.log(channel)
        assert [r["seq"] for r in rows] == list(range(1, 61))
        assert len({r["nonce"] for r in rows}) == 60
    await asyncio.sleep(1.1)  # a session tells its figures once a second
    await two.sql.execute("SELECT pg_stat_clear_snapshot()")
    assert await deadlocks(two) == before
    assert all("DeadlockDetected" not in pod.log() for pod in two.pods)
