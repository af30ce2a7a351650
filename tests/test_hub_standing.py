"""What a `sub` is answered while that on which the answer rests changes, or is not the present."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from rtchat.errors import ChatError, Code
from rtchat.store.messages import Heads
from tests.world import World, world


@pytest.fixture
async def pod(module_database_url: str) -> AsyncIterator[World]:
    """A pod that looks at heads when something does not fit, and not before."""
    async with world(module_database_url, head_check_ms=600_000) as w:
        yield w


async def set_read_only(url: str, value: str) -> None:
    """As new connections will find it: they stand for those to a primary of yesterday."""
    sql = await asyncpg.connect(url)
    try:
        name = await sql.fetchval("SELECT quote_ident(current_database())")
        await sql.execute("SET default_transaction_read_only = off")
        await sql.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = {value}")
    finally:
        await sql.close()


async def test_a_cursor_ahead_of_a_stale_log_is_not_reset(database_url: str) -> None:
    """The session cannot write, so what it lacks may exist: the client keeps its cursor, and tries
    again. Once the log is the present one, it goes on from there."""
    async with world(database_url) as pod:
        user = await pod.person()
        channel = await pod.channel(user)
        await pod.send(user, channel, *"abc")
    await set_read_only(database_url, "on")
    async with world(database_url, head_check_ms=600_000) as pod:
        socket = pod.connect(user)
        assert await socket.sub({channel: 3}) == {str(channel): {"head": 3}}
        for _ in range(2):  # with its room open, and subscribed
            with pytest.raises(ChatError) as refused:
                await socket.sub({channel: 5})
            assert (refused.value.code, refused.value.after_ms) == (Code.UNAVAILABLE, 100)
        assert socket.read() == []
        assert socket.connection.subs.keys() == {channel}
        room = pod.services.hub.rooms.get(channel)
        assert room is not None
        assert not room.others
        await set_read_only(database_url, "off")
        while True:  # the refusals have it look for the way there
            try:
                assert await socket.sub({channel: 5}) == {str(channel): {"head": 3}}
                break
            except ChatError:
                await asyncio.sleep(0.05)
        assert [event["t"] for event in socket.read()] == ["reset"]


async def test_a_room_that_was_opened_by_a_stale_log_has_another_look(
    pod: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was not there when its head was read comes at once, and not with the next check."""
    user = await pod.person()
    channel = await pod.channel(user)
    await pod.send(user, channel, *"abc")
    messages = pod.services.hub.rooms._messages
    heads = messages.heads

    async def stale(channels: list[int]) -> Heads:
        monkeypatch.setattr(messages, "heads", heads)
        found = await heads(channels)
        return Heads(found.epoch, True, dict.fromkeys(found.of, 1))

    async def before(channel_id: int, *_: Any) -> list[Any]:
        return []

    entries = messages.entries
    monkeypatch.setattr(messages, "heads", stale)
    monkeypatch.setattr(messages, "entries", before)
    await pod.services.hub.rooms.open([channel])
    monkeypatch.setattr(messages, "entries", entries)
    room = pod.services.hub.rooms.get(channel)
    assert room is not None
    assert room.cursor == 1
    while room.cursor < 3:
        await asyncio.sleep(0.005)
    assert room.head == 3


async def test_a_membership_that_begins_meanwhile_is_no_error_of_its_channel(
    pod: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the two readings of it: the whole `sub` is to be tried again, and nothing changed."""
    owner, user = await pod.person(), await pod.person()
    standing_one, channel = await pod.channel(user), await pod.channel(owner, kind="private")
    socket = pod.connect(user)
    channels = pod.services.channels
    standing = channels.standing

    async def late(user_id: int, wanted: list[int]) -> Any:
        found = await standing(user_id, wanted)
        monkeypatch.setattr(channels, "standing", standing)
        await pod.services.database.execute(
            "INSERT INTO members (channel_id, user_id, role) VALUES ($1, $2, 'member')",
            channel,
            user_id,
        )
        return found

    monkeypatch.setattr(channels, "standing", late)
    with pytest.raises(ChatError) as refused:
        await socket.sub({standing_one: None, channel: None})
    assert (refused.value.code, refused.value.after_ms) == (Code.UNAVAILABLE, 100)
    assert socket.connection.subs == {}
    assert all(room.empty for room in pod.services.hub.rooms)
    both = {str(standing_one): {"head": 0}, str(channel): {"head": 0}}
    assert await socket.sub({standing_one: None, channel: None}) == both
