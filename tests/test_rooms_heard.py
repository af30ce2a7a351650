"""Rooms and what the bus brings: joined where it comes together, never held back."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from rtchat import protocol
from rtchat.envelope import Envelope
from rtchat.model import Kind, LogEntry
from tests.world import Socket, World, world


@pytest.fixture(scope="module")
def database_url(module_database_url: str) -> str:
    """One database for all: each test makes people and channels of its own."""
    return module_database_url


@pytest.fixture
async def pod(database_url: str) -> AsyncIterator[World]:
    """A pod that does not look at heads: what it hears here is in no log."""
    async with world(database_url, head_check_ms=600_000) as w:
        yield w


async def member(pod: World) -> tuple[int, int, Socket]:
    """Somebody, a channel, and a live socket in it."""
    user = await pod.person()
    channel = await pod.channel(user)
    socket = pod.connect(user)
    await socket.sub({channel: None})
    return user, channel, socket


def hear(pod: World, channel: int, first: int, kinds: list[Kind], user: int) -> None:
    """Another pod has committed these, each in a batch of its own."""
    for i, kind in enumerate(kinds):
        (envelope,) = protocol.pack([LogEntry(channel, first + i, kind, user, user, "x", 0)], 1)
        pod.services.hub.rooms.receive(pod.services.hub.rooms.stamped(envelope))


async def test_what_the_bus_brings_in_one_turn_leaves_in_one_write(pod: World) -> None:
    """A write a member and a room, in that same turn; where a control ends somebody, it is cut."""
    _, channel, stays = await member(pod)
    leaver = await pod.person()
    await pod.services.chat.join(leaver, channel)
    goes = pod.connect(leaver)
    await goes.sub({channel: None})
    stays.read()
    stays.writes.clear()
    kinds = [Kind.MESSAGE, Kind.MESSAGE, Kind.LEAVE, Kind.MESSAGE, Kind.MESSAGE]
    first = stays.connection.subs[channel].room.cursor + 1
    hear(pod, channel, first, kinds, leaver)
    await asyncio.sleep(0)
    assert stays.writes == [3, 2]
    assert [e["seq"] - first for e in stays.read() if "seq" in e] == [0, 1, 2, 3, 4]
    assert [e["t"] for e in goes.read() if "t" in e][-4:] == ["msg", "msg", "leave", "removed"]


async def test_a_lone_one_leaves_in_the_same_turn(pod: World) -> None:
    """It waits for no timer: a turn of the loop is the step from what is read to what is due."""
    user, channel, socket = await member(pod)
    hear(pod, channel, 1, [Kind.MESSAGE], user)
    await asyncio.sleep(0)
    assert [e["seq"] for e in socket.read() if "seq" in e] == [1]


async def test_what_was_heard_before_a_commit_is_delivered_before_it(pod: World) -> None:
    """The two pods' batches continue each other: no hole is seen, and nothing read of the log."""
    user, channel, socket = await member(pod)
    (own,) = protocol.pack([LogEntry(channel, 2, Kind.MESSAGE, user, None, "own", 0)], 1)
    hear(pod, channel, 1, [Kind.MESSAGE], user)
    pod.services.hub.rooms.deliver(own)
    assert [e["seq"] for e in socket.read() if "seq" in e] == [1, 2]


async def test_one_that_fails_costs_the_others_nothing(
    pod: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Another room's trouble, of whatever kind."""
    user, channel, socket = await member(pod)
    _, broken, _ = await member(pod)
    room = pod.services.hub.rooms.get(broken)
    assert room is not None

    def fail(_: bytes) -> None:
        raise MemoryError

    room.live = dict.fromkeys(room.live, fail)
    hear(pod, broken, 1, [Kind.MESSAGE], user)
    hear(pod, channel, 1, [Kind.MESSAGE], user)
    await asyncio.sleep(0)
    assert [e["seq"] for e in socket.read() if "seq" in e] == [1]
    assert "delivering an envelope failed" in caplog.text


async def test_ones_own_come_back_and_are_not_read(
    pod: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis sends a pod what it published itself; its place tells that it is known."""
    user, channel, socket = await member(pod)
    await pod.send(user, channel, "a")
    assert await socket.seqs(1) == [1]
    monkeypatch.setattr(Envelope, "parse", None)
    hear(pod, channel, 1, [Kind.MESSAGE], user)
    await asyncio.sleep(0)
    assert socket.read() == []


async def test_an_envelope_that_cannot_be_read_costs_no_other(
    pod: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not what came with it, and not what this pod commits in the same turn."""
    user, channel, socket = await member(pod)
    _, quiet, other = await member(pod)
    parse = Envelope.parse

    def starved(data: bytes) -> Envelope:
        if Envelope.place(data)[0] == quiet:
            raise MemoryError
        return parse(data)

    monkeypatch.setattr(Envelope, "parse", starved)
    first = socket.connection.subs[channel].room.cursor + 1
    hear(pod, quiet, other.connection.subs[quiet].room.cursor + 1, [Kind.MESSAGE], user)
    hear(pod, channel, first, [Kind.MESSAGE], user)
    (own,) = protocol.pack([LogEntry(channel, first + 1, Kind.MESSAGE, user, user, "x", 0)], 1)
    socket.read()
    pod.services.hub.rooms.deliver(own)
    assert [e["seq"] - first for e in socket.read() if "seq" in e] == [0, 1]
