"""Catching up: one task a connection, which ends with what it has to do."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from rtchat.envelope import Envelope
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
