"""Rooms when the log is another one than before: a new epoch, or a head that went back."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from rtchat import events, protocol
from rtchat.bus.memory import Exchange, MemoryBus
from rtchat.envelope import Envelope
from rtchat.errors import ChatError, Code
from rtchat.store import epoch
from rtchat.store.messages import Heads, MessageStore
from tests.world import Socket, World, world

NEVER_MS = 600_000  # for tests that look at heads themselves


@pytest.fixture(scope="module")
def database_url(module_database_url: str) -> str:
    """One database for all: each test makes people and channels of its own."""
    return module_database_url


@pytest.fixture
async def pod(database_url: str) -> AsyncIterator[World]:
    """A pod that looks at heads only when it is told to."""
    async with world(database_url, head_check_ms=NEVER_MS, catch_up_rows=10) as w:
        yield w


async def look(pod: World) -> None:
    await pod.services.hub.rooms._check_heads()


async def renew(pod: World) -> str:
    """What `rtchat epoch renew` does."""
    async with pod.services.database.connection() as connection:
        return (await epoch.renew(connection)).now


async def rewind(pod: World, channel: int, head: int) -> None:
    """The log as it was in a backup."""
    async with pod.services.database.connection() as connection, connection.transaction():
        await connection.execute(
            "DELETE FROM messages WHERE channel_id = $1 AND seq > $2", channel, head
        )
        await connection.execute("UPDATE channels SET last_seq = $2 WHERE id = $1", channel, head)


async def write_elsewhere(pod: World, user: int, channel: int, seq: int) -> None:
    """What a pod of which nothing is heard has stored."""
    await pod.services.database.execute(
        "INSERT INTO messages (channel_id, seq, kind, user_id, content, timestamp, nonce)"
        " VALUES ($1, $2::bigint, 1, $3, 'x', now(), gen_random_uuid()::text)",
        channel,
        seq,
        user,
    )
    await pod.services.database.execute(
        "UPDATE channels SET last_seq = $2 WHERE id = $1", channel, seq
    )


async def talk(pod: World, *contents: str) -> tuple[int, int]:
    """Somebody, and a channel in which that was said."""
    user = await pod.person()
    channel = await pod.channel(user)
    await pod.send(user, channel, *contents)
    return user, channel


async def subscribed(pod: World, user: int, channel: int, **marks: Any) -> Socket:
    socket = pod.connect(user, **marks)
    await socket.sub({channel: None})
    return socket


class Slow:
    """A method of the log's that stops behind its question, until it is let go."""

    def __init__(self, pod: World, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self.asked, self.go = asyncio.Event(), asyncio.Event()
        self._ask: Callable[..., Awaitable[Any]] = getattr(self.store(pod), name)
        monkeypatch.setattr(self.store(pod), name, self)

    @staticmethod
    def store(pod: World) -> MessageStore:
        return pod.services.hub.rooms._messages

    async def __call__(self, *args: Any) -> Any:
        answer = await self._ask(*args)
        self.asked.set()
        await self.go.wait()
        return answer


# --- another epoch


async def test_a_new_epoch_resets_everything_and_sends_everybody_away(database_url: str) -> None:
    """On every pod: each subscription by `reset` with head and epoch, then `bye` and 4201."""
    exchange = Exchange()
    async with (
        world(database_url, MemoryBus(exchange), head_check_ms=100) as one,
        world(database_url, MemoryBus(exchange), head_check_ms=100) as two,
    ):
        user, channel = await talk(one, "a", "b", "c")
        quiet = await one.channel(user)
        sockets = [await subscribed(pod, user, channel) for pod in (one, two)]
        await sockets[0].sub({quiet: 0})
        idle = two.connect(user)
        await rewind(one, channel, 2)
        now = await renew(one)
        for socket in (*sockets, idle):
            while socket.closed_with is None:
                await asyncio.sleep(0.01)
            assert socket.closed_with == 4201
        first, second, third = (socket.read() for socket in (*sockets, idle))
        reset = {"t": "reset", "ch": channel, "head": 2, "epoch": now}
        resets = [reset, {"t": "reset", "ch": quiet, "head": 0, "epoch": now}]
        assert sorted(first[:-1], key=lambda event: event["ch"]) == resets
        assert second[:-1] == [reset]
        assert third[:-1] == []
        for byes in (first[-1:], second[-1:], third[-1:]):
            assert [(e["t"], e["code"]) for e in byes] == [("bye", 4201)]
        for pod in (one, two):
            assert pod.services.hub.epoch == now
            assert pod.services.hub.rooms._tails.bytes == 0
        back = two.connect(user)
        await back.sub({channel: 2}, epoch=now)
        await one.send(user, channel, "after")
        assert await back.seqs(3) == [3]


async def test_a_pod_without_rooms_learns_it_too(pod: World) -> None:
    """`hello` is where clients learn the epoch."""
    now = await renew(pod)
    assert pod.services.hub.epoch != now
    await look(pod)
    assert pod.services.hub.epoch == now


@pytest.mark.parametrize("warm", [True, False], ids=["open room", "cold room"])
async def test_a_subscribe_notices_at_once(pod: World, warm: bool) -> None:
    """It is refused for the moment; everybody is told, though the next look is far away."""
    user, channel = await talk(pod, "a")
    other = await pod.channel(user)
    bystander = await subscribed(pod, user, channel)
    now = await renew(pod)
    socket = pod.connect(user)
    with pytest.raises(ChatError) as refused:
        await socket.sub({channel if warm else other: 0})
    assert (refused.value.code, refused.value.after_ms) == (Code.UNAVAILABLE, 100)
    for each in (socket, bystander):
        while each.closed_with is None:
            await asyncio.sleep(0.01)
    assert bystander.read()[0] == {"t": "reset", "ch": channel, "head": 1, "epoch": now}
    assert await pod.connect(user).sub({other: 0}, epoch=now) == {str(other): {"head": 0}}


async def test_a_channel_that_the_new_history_does_not_have(pod: World) -> None:
    """Made after the backup: it is gone, as if it had been deleted."""
    user, channel = await talk(pod, "a")
    socket = await subscribed(pod, user, channel)
    for table, column in (
        ("messages", "channel_id"),
        ("members", "channel_id"),
        ("channels", "id"),
    ):
        await pod.services.database.execute(f"DELETE FROM {table} WHERE {column} = $1", channel)
    await renew(pod)
    await look(pod)
    removed, bye = await socket.until(lambda events: len(events) == 2)
    assert removed == {"t": "removed", "ch": channel, "reason": "deleted"}
    assert bye["t"] == "bye"


async def test_what_was_read_for_a_room_of_before_is_thrown_away(
    pod: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that was asked for in the old history comes to nobody in the new one."""
    user, channel = await talk(pod, *["old"] * 30)
    live = await subscribed(pod, user, channel)
    late = pod.connect(user)
    slow = Slow(pod, monkeypatch, "entries")
    await late.sub({channel: 0})
    await slow.asked.wait()
    await renew(pod)
    await look(pod)
    slow.go.set()
    await asyncio.sleep(0.1)
    for socket in (live, late):
        assert [event["t"] for event in socket.read()] == ["reset", "bye"]


async def test_a_hole_of_before_is_not_filled(pod: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read for it is thrown away, and does not hold up the room that has its place."""
    user, channel = await talk(pod, "a")
    await subscribed(pod, user, channel)
    slow = Slow(pod, monkeypatch, "entries")
    await write_elsewhere(pod, user, channel, 2)
    await look(pod)
    await slow.asked.wait()
    now = await renew(pod)
    await look(pod)
    monkeypatch.undo()
    socket = pod.connect(user)
    await socket.sub({channel: None}, epoch=now)
    await write_elsewhere(pod, user, channel, 3)
    await look(pod)
    assert await socket.seqs(3) == [3]
    held = pod.services.hub.rooms._tails.bytes
    slow.go.set()
    await asyncio.sleep(0.1)
    assert pod.services.hub.rooms._tails.bytes == held


async def test_a_room_does_not_open_with_a_head_of_before(
    pod: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its head was read in the old history, and the pod has taken up the new one meanwhile."""
    user, channel = await talk(pod, "a", "b")
    slow = Slow(pod, monkeypatch, "heads")
    socket = pod.connect(user)
    opening = asyncio.get_running_loop().create_task(socket.sub({channel: None}))
    await slow.asked.wait()
    await rewind(pod, channel, 1)
    now = await renew(pod)
    monkeypatch.undo()
    await look(pod)
    slow.go.set()
    with pytest.raises(ChatError):
        await opening
    assert socket.closed_with == 4201
    back = pod.connect(user)
    assert await back.sub({channel: None}, epoch=now) == {str(channel): {"head": 1}}


async def test_a_room_that_opens_while_the_epoch_is_read_is_reset_too(
    pod: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of its head was asked; so it is asked again at once."""
    user, channel = await talk(pod, "a")
    now = await renew(pod)
    slow = Slow(pod, monkeypatch, "heads")
    pod.services.hub.rooms.look_soon()
    await slow.asked.wait()
    monkeypatch.undo()
    pod.services.hub.rooms.epoch = now
    socket = await subscribed(pod, user, channel)
    pod.services.hub.rooms.epoch = "of before"
    slow.go.set()
    while socket.closed_with is None:
        await asyncio.sleep(0.01)
    assert socket.read()[0] == {"t": "reset", "ch": channel, "head": 1, "epoch": now}


async def test_an_envelope_of_before_that_comes_late_is_dropped(pod: World) -> None:
    """From a pod that was frozen behind its commit, and would continue the room by its number."""
    user, channel = await talk(pod, "a", "b")
    rooms = pod.services.hub.rooms
    frame = protocol.reset(channel, 0, "a frame like any other")
    late = rooms.stamped(Envelope(channel, 2, (len(frame),), (), frame))
    await rewind(pod, channel, 1)
    await renew(pod)
    await look(pod)
    socket = await subscribed(pod, user, channel)
    rooms.receive(late)
    await asyncio.sleep(0)  # the end of the turn
    assert (socket.read(), rooms.get(channel).cursor) == ([], 1)  # type: ignore[union-attr]
    rooms.receive(rooms.stamped(Envelope(channel, 2, (len(frame),), (), frame)))
    await asyncio.sleep(0)
    assert len(socket.read()) == 1


# --- the same epoch, and less of a log than before


async def test_a_head_that_went_back_resets_its_room_and_is_an_error(
    pod: World, caplog: pytest.LogCaptureFixture
) -> None:
    """An operator forgot something, and is told; sockets stay, other channels go on."""
    user, channel = await talk(pod, "a", "b", "c")
    other = await pod.channel(user)
    socket = await subscribed(pod, user, channel)
    await socket.sub({other: None})
    await rewind(pod, channel, 1)
    with caplog.at_level(logging.ERROR):
        await look(pod)
    assert "rtchat epoch renew" in caplog.text
    now = pod.services.hub.epoch
    assert socket.read() == [{"t": "reset", "ch": channel, "head": 1, "epoch": now}]
    await pod.send(user, channel, "B")
    await pod.send(user, other, "x")
    assert [(e["ch"], e["seq"]) for e in await socket.until(lambda events: len(events) == 1)] == [
        (other, 1)
    ]
    await socket.sub({channel: 1}, epoch=now)
    await pod.send(user, channel, "C")
    got = await socket.until(lambda events: len(events) == 2)
    assert [(e["seq"], e["content"]) for e in got] == [(2, "B"), (3, "C")]
    assert socket.closed_with is None


async def test_who_is_joining_is_reset_behind_its_answer(
    pod: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`ok` first, or a client would take the subscription for a standing one."""
    user, channel = await talk(pod, "a", "b")
    await subscribed(pod, user, channel)
    socket = pod.connect(user)
    standing = pod.services.channels.standing

    async def slowly(*args: Any) -> Any:
        answer = await standing(*args)
        await rewind(pod, channel, 1)
        await look(pod)
        return answer

    monkeypatch.setattr(pod.services.channels, "standing", slowly)
    order: list[Any] = []
    await pod.services.hub.subscribe(
        socket.connection, {channel: 2}, None, lambda heads: order.append((heads, socket.read()))
    )
    assert order == [({str(channel): events.Head(head=2)}, [])]
    assert [event["t"] for event in socket.read()] == ["reset"]
    assert socket.connection.subs == {}


async def test_a_room_that_moves_on_meanwhile_did_not_go_back(
    pod: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Heads are compared with the cursors of before the question."""
    user, channel = await talk(pod, "a")
    socket = await subscribed(pod, user, channel)
    slow = Slow(pod, monkeypatch, "heads")
    looking = asyncio.get_running_loop().create_task(look(pod))
    await slow.asked.wait()
    await pod.send(user, channel, "b", "c")
    slow.go.set()
    await looking
    assert await socket.seqs(3) == [2, 3]
    assert socket.connection.subs.keys() == {channel}


async def test_who_catches_up_in_a_log_that_went_back_is_reset(database_url: str) -> None:
    """Not `removed`: the channel is there, with fewer entries than the room has seen."""
    async with world(
        database_url, head_check_ms=NEVER_MS, catch_up_rows=10, tail_max_bytes=0
    ) as pod:
        user, channel = await talk(pod, *["x"] * 30)
        await subscribed(pod, user, channel)
        await rewind(pod, channel, 20)
        socket = pod.connect(user)
        # A subscribe sees the head; so let it be one that began before.
        await pod.services.database.execute(
            "UPDATE channels SET last_seq = 30 WHERE id = $1", channel
        )
        await socket.sub({channel: 5})
        await pod.services.database.execute(
            "UPDATE channels SET last_seq = 20 WHERE id = $1", channel
        )
        arrived = await socket.until(lambda events: any("seq" not in e for e in events))
        assert [e["seq"] for e in arrived[:-1]] == list(range(6, 21))
        assert (arrived[-1]["t"], arrived[-1]["head"]) == ("reset", 20)


async def test_a_session_that_cannot_write_proves_nothing(
    pod: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replica that is behind, or the primary of yesterday: what it has counts, no more."""
    user, channel = await talk(pod, "a", "b")
    gone = await pod.channel(user)
    socket = await subscribed(pod, user, channel)
    await socket.sub({gone: None})

    async def replica(_: list[int]) -> Heads:
        return Heads("of before", True, {channel: 1})

    with monkeypatch.context() as patch:
        patch.setattr(Slow.store(pod), "heads", replica)
        await look(pod)
    assert socket.read() == []
    await pod.send(user, channel, "c")
    assert await socket.seqs(3) == [3]
    assert socket.connection.subs.keys() == {channel, gone}


async def test_an_ended_subscription_is_not_revived(pod: World) -> None:
    """A round of catching up may come to one that ended while another one's page was read."""
    user, channel = await talk(pod, "a")
    socket = await subscribed(pod, user, channel)
    sub = socket.connection.subs[channel]
    pod.services.hub.unsubscribe(socket.connection, [channel])
    pod.services.hub._catch_up._from_tail(socket.connection, sub)
    await pod.send(user, channel, "b")
    assert socket.read() == []
