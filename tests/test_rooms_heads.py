"""Rooms and what is too much or too little: looks, garbage, a log that is gone."""

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator

import pytest

from rtchat import notice
from rtchat.notice import Removed
from rtchat.store.messages import Heads
from tests.world import World, world


@pytest.fixture
async def pod(module_database_url: str) -> AsyncIterator[World]:
    """A pod that looks at heads when it is told to, and not before."""
    async with world(module_database_url, head_check_ms=600_000) as w:
        yield w


async def test_whoever_asks_for_looks_again_and_again_gets_ten_a_second(
    pod: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one that was asked for while another one was made is made, too."""
    rooms = pod.services.hub.rooms
    times: list[float] = []
    heads = rooms._messages.heads
    loop = asyncio.get_running_loop()

    async def noted(channels: list[int]) -> Heads:
        times.append(loop.time())
        return await heads(channels)

    monkeypatch.setattr(rooms._messages, "heads", noted)
    while len(times) < 4:
        rooms.look_soon()
        await asyncio.sleep(0.001)
    assert all(b - a > 0.09 for a, b in itertools.pairwise(times))
    rooms.look_soon()
    while len(times) < 5:
        await asyncio.sleep(0.01)


async def test_garbage_from_the_bus_is_said_once_in_a_while(
    pod: World, caplog: pytest.LogCaptureFixture
) -> None:
    """A hundred thousand lines a second would be an outage of their own; the rest is counted."""
    with caplog.at_level(logging.WARNING):
        for _ in range(1000):
            pod.services.hub.rooms.receive(b"garbage")
            pod.services.connections.receive(b"garbage")
        await asyncio.sleep(0)
    said = [
        r.getMessage() for r in caplog.records if r.name in ("rtchat.rooms", "rtchat.connections")
    ]
    assert said == ["not a notice", "not an envelope"]


async def test_who_was_told_that_a_channel_is_gone_is_not_told_again(pod: World) -> None:
    """The pod has missed entries and the tombstone behind them, and finds the log purged; the
    notice, which knows the tombstone's seq, comes last."""
    user = await pod.person()
    channel = await pod.channel(user)
    await pod.send(user, channel, "a")
    socket = pod.connect(user)
    await socket.sub({channel: None})
    for table, column in (
        ("messages", "channel_id"),
        ("members", "channel_id"),
        ("channels", "id"),
    ):
        await pod.services.database.execute(f"DELETE FROM {table} WHERE {column} = $1", channel)
    pod.services.hub.rooms.look_soon()
    told = await socket.until(lambda events: len(events) > 0)
    late = notice.encode(Removed("another pod", channel, [user], 7, "deleted"))
    pod.services.connections.receive(late)
    assert told + socket.read() == [{"t": "removed", "ch": channel, "reason": "deleted"}]
