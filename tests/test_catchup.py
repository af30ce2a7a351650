"""Catching up: one task a connection, which ends with what it has to do; one reading for many."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from rtchat.envelope import Envelope
from rtchat.errors import ChatError, Code
from rtchat.model import LogEntry
from tests.world import Socket, World, world


@pytest.fixture(scope="module")
def database_url(module_database_url: str) -> str:
    """One database for all: each test makes people and channels of its own."""
    return module_database_url


@pytest.fixture
async def pod(database_url: str) -> AsyncIterator[World]:
    """A pod that keeps no tails: whoever is behind reads the log."""
    async with world(
        database_url, tail_max_bytes=0, write_low_bytes=1024, write_high_bytes=4096
    ) as w:
        yield w


def tasks(pod: World) -> int:
    return len(pod.services.hub._catch_up._tasks)


async def until_caught_up(socket: Socket) -> list[int]:
    seqs = []
    while socket.connection.catching_up:
        await asyncio.sleep(0.005)
        seqs += [event["seq"] for event in socket.read() if "seq" in event]
    return seqs


async def test_many_reasons_to_go_on_are_one_task(
    pod: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket drains, and in the same turn of the loop come entries that it waits for, too."""
    user = await pod.person()
    channel = await pod.channel(user)
    socket = pod.connect(user, high=4096)
    await socket.sub({channel: None})
    await pod.send(user, channel, *["x" * 1000] * 6)
    await asyncio.sleep(0)
    assert socket.connection.paused
    rooms = pod.services.hub.rooms
    late: list[Envelope] = []
    with monkeypatch.context() as patch:
        patch.setattr(rooms, "deliver", late.append)
        await pod.send(user, channel, *"abcde")
    seqs = [event["seq"] for event in socket.read()]
    for envelope in late:
        rooms.deliver(envelope)
    assert tasks(pod) == 1
    assert seqs + await until_caught_up(socket) == list(range(1, 12))
    await asyncio.sleep(0.01)
    assert (tasks(pod), socket.connection.moved) == (0, None)


async def test_a_task_ends_with_what_it_was_for(pod: World) -> None:
    """Once all is live; not when the next thing happens to the connection."""
    user = await pod.person()
    channels = [await pod.channel(user) for _ in range(2)]
    for channel in channels:
        await pod.send(user, channel, *["x" * 500] * 3)
    socket = pod.connect(user)
    await socket.sub(dict.fromkeys(channels, 0))
    assert tasks(pod) == 1
    assert sorted(await until_caught_up(socket)) == [1, 1, 2, 2, 3, 3]
    await asyncio.sleep(0.01)
    assert (tasks(pod), socket.connection.moved) == (0, None)


# --- many come back at once, to a room that was just opened


class Reads:
    """The pages that a pod reads of the log; held up until they are let go, the first of them
    failing where that is wanted."""

    def __init__(self, pod: World, monkeypatch: pytest.MonkeyPatch, failing: int = 0) -> None:
        messages = pod.services.hub.rooms._messages
        self.ranges: list[tuple[int, int | None]] = []
        self.go = asyncio.Event()
        self._failing = failing
        self._entries = messages.entries
        monkeypatch.setattr(messages, "entries", self)

    async def __call__(
        self, channel_id: int, after: int, upto: int | None, limit: int
    ) -> list[LogEntry]:
        self.ranges.append((after, upto))
        await self.go.wait()
        if self._failing:
            self._failing -= 1
            raise ChatError(Code.UNAVAILABLE)
        return await self._entries(channel_id, after, upto, limit)


async def come_back(
    pod: World, monkeypatch: pytest.MonkeyPatch, cursors: list[int], **reads: Any
) -> tuple[Reads, list[Socket]]:
    """So many, to a channel with ten messages and no tail; all wait for the first page."""
    user = await pod.person()
    channel = await pod.channel(user)
    await pod.send(user, channel, *"abcdefghij")
    counted = Reads(pod, monkeypatch, **reads)
    sockets = [pod.connect(user) for _ in cursors]
    for socket, cursor in zip(sockets, cursors, strict=True):
        await socket.sub({channel: cursor})
    await asyncio.sleep(0.01)
    assert len(counted.ranges) == 1
    return counted, sockets


@pytest.fixture
async def roomy(database_url: str) -> AsyncIterator[World]:
    """A pod with tails."""
    async with world(database_url) as w:
        yield w


async def test_a_page_is_read_once_for_all_who_miss_it(
    roomy: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is further behind than the first reads the rest, once again for all such."""
    cursors = [6, 7, 6, 9, 3, 3, 5, 8]
    reads, sockets = await come_back(roomy, monkeypatch, cursors)
    reads.go.set()
    for socket, cursor in zip(sockets, cursors, strict=True):
        assert await socket.seqs(10) == list(range(cursor + 1, 11))
    assert reads.ranges[0] == (6, 10)
    assert reads.ranges[1:] in ([(3, 6)], [(5, 6), (3, 5)])
    assert not any(s.connection.catching_up for s in sockets)


async def test_who_leaves_while_reading_has_read_for_the_others(
    roomy: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads, (first, *others) = await come_back(roomy, monkeypatch, [5, 5, 5])
    first.leave()
    reads.go.set()
    for socket in others:
        assert await socket.seqs(10) == [6, 7, 8, 9, 10]
    assert len(reads.ranges) == 1
    assert first.read() == []


async def test_a_page_that_cannot_be_read_keeps_nobody_waiting(
    roomy: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They try again, at different times."""
    reads, sockets = await come_back(roomy, monkeypatch, [5] * 4, failing=1)
    reads.go.set()
    for socket in sockets:
        assert await socket.seqs(10) == [6, 7, 8, 9, 10]
    assert len(reads.ranges) == 2
    assert not roomy.services.hub._catch_up._joining


async def test_without_room_in_the_tails_each_reads_for_itself(
    pod: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And waits once at most for what is not kept."""
    reads, sockets = await come_back(pod, monkeypatch, [5] * 4)
    reads.go.set()
    for socket in sockets:
        assert await socket.seqs(10) == [6, 7, 8, 9, 10]
    assert len(reads.ranges) == 4


async def test_a_tail_grows_backwards_by_a_few_pages_only(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who reads all of a long log does not fill the tails with it."""
    async with world(database_url, catch_up_rows=10) as pod:
        user = await pod.person()
        channel = await pod.channel(user)
        await pod.services.database.execute(
            "INSERT INTO messages (channel_id, seq, kind, user_id, content, timestamp, nonce)"
            " SELECT $1, n, 1, $2, 'm' || n, now(), n::text FROM generate_series(1, 100) n",
            channel,
            user,
        )
        await pod.services.database.execute(
            "UPDATE channels SET last_seq = 100 WHERE id = $1", channel
        )
        for cursor in range(100, -1, -10):
            socket = pod.connect(user)
            await socket.sub({channel: cursor})
            if cursor < 100:
                assert await socket.seqs(100) == list(range(cursor + 1, 101))
        room = pod.services.hub.rooms.get(channel)
        assert room is not None
        assert room.kept_from == 51
