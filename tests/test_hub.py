"""The hub: subscribers stay in order whatever is lost on the way. On a real database, with the bus
that the pods of one process share."""

import asyncio
from collections.abc import AsyncIterator, Iterable

import pytest

from rtchat.bus.memory import Exchange, MemoryBus
from rtchat.envelope import Envelope
from rtchat.errors import ChatError, Code
from rtchat.model import Role
from tests.world import World, world


@pytest.fixture(scope="module")
def database_url(module_database_url: str) -> str:
    """One database for all: each test makes people and channels of its own."""
    return module_database_url


@pytest.fixture
async def pod(database_url: str) -> AsyncIterator[World]:
    async with world(database_url, head_check_ms=200) as w:
        yield w


@pytest.fixture
async def pods(database_url: str) -> AsyncIterator[tuple[World, World]]:
    exchange = Exchange()
    async with (
        world(database_url, MemoryBus(exchange)) as one,
        world(database_url, MemoryBus(exchange)) as two,
    ):
        yield one, two


async def test_ok_tells_the_head_and_the_entries_follow_the_cursor(pod: World) -> None:
    """`ok`, then each channel's entries after its cursor, in order, then the live ones."""
    user = await pod.person()
    channel = await pod.channel(user)
    await pod.send(user, channel, "a", "b", "c")
    socket = pod.connect(user)
    assert await socket.sub({channel: 1}) == {str(channel): {"head": 3}}
    assert await socket.seqs(3) == [2, 3]
    await pod.send(user, channel, "d")
    assert await socket.seqs(4) == [4]


async def test_null_is_from_the_head_on(pod: World) -> None:
    """Nothing old comes to one who asks for nothing old."""
    user = await pod.person()
    channel = await pod.channel(user)
    await pod.send(user, channel, "a", "b")
    socket = pod.connect(user)
    await socket.sub({channel: None})
    await pod.send(user, channel, "c")
    assert await socket.seqs(3) == [3]


@pytest.mark.parametrize("gap", [0, 1, 199, 200, 201, 1000])
async def test_resuming_is_whole_whatever_the_gap(pod: World, gap: int) -> None:
    """From any cursor, however old: (cursor, head], each once, in order. The page is 200."""
    user = await pod.person()
    channel = await pod.channel(user)
    await pod.services.database.execute(
        "INSERT INTO messages (channel_id, seq, kind, user_id, content, timestamp, nonce)"
        " SELECT $1, n, 1, $2, 'm' || n, now(), n::text FROM generate_series(1, 1000) n",
        channel,
        user,
    )
    await pod.services.database.execute(
        "UPDATE channels SET last_seq = 1000 WHERE id = $1", channel
    )
    socket = pod.connect(user)
    await socket.sub({channel: 1000 - gap})
    await pod.send(user, channel, "live")
    assert await socket.seqs(1001) == list(range(1001 - gap, 1002))


async def test_backlog_and_live_join_without_hole_or_double(pod: World) -> None:
    """Subscribers who come while messages fly see a dense run each."""
    user = await pod.person()
    channel = await pod.channel(user)

    sent = 0

    async def talk() -> None:
        nonlocal sent
        for i in range(300):
            await pod.send(user, channel, f"m{i}")
            sent += 1

    async def come(cursor: int) -> list[int]:
        socket = pod.connect(user)
        await socket.sub({channel: cursor})
        seen = await socket.seqs(300)
        socket.leave()
        return seen

    async with asyncio.TaskGroup() as group:
        group.create_task(talk())
        visits = []
        for i in range(40):
            cursor = max(0, sent - 5 * i)
            visits.append((cursor, group.create_task(come(cursor))))
            await asyncio.sleep(0.01)
    for cursor, visit in visits:
        assert visit.result() == list(range(cursor + 1, 301))


async def test_foreign_and_missing_channels_answer_alike(pod: World) -> None:
    """One that may not be seen looks like one that is not there; a public one says forbidden."""
    owner, stranger = await pod.person(), await pod.person()
    private = await pod.channel(owner, kind="private")
    public = await pod.channel(owner)
    socket = pod.connect(stranger)
    answers = await socket.sub({private: None, 999_999_999: None, public: 0})
    assert answers[str(private)] == answers["999999999"] == {"error": "not_found"}
    assert answers[str(public)] == {"error": "forbidden"}


async def test_a_cursor_ahead_of_the_head_is_reset(pod: World) -> None:
    """`reset` ends the subscription, and says where the log stands."""
    user = await pod.person()
    channel = await pod.channel(user)
    await pod.send(user, channel, "a")
    socket = pod.connect(user)
    await socket.sub({channel: 7})
    epoch = pod.services.hub.epoch
    assert socket.read() == [{"t": "reset", "ch": channel, "head": 1, "epoch": epoch}]
    await pod.send(user, channel, "b")
    assert socket.read() == []


async def test_a_cursor_of_another_history_is_reset(pod: World) -> None:
    """A cursor is of one epoch; without one, or from null on, there is nothing to compare."""
    user = await pod.person()
    channel = await pod.channel(user)
    await pod.send(user, channel, "a", "b")
    socket = pod.connect(user)
    epoch = pod.services.hub.epoch
    await socket.sub({channel: 1}, epoch="another")
    assert socket.read() == [{"t": "reset", "ch": channel, "head": 2, "epoch": epoch}]
    await socket.sub({channel: 1}, epoch=epoch)
    assert await socket.seqs(2) == [2]


async def test_subscribing_again_moves_the_cursor(pod: World) -> None:
    """With a cursor: from there again; with null: no change."""
    user = await pod.person()
    channel = await pod.channel(user)
    await pod.send(user, channel, "a", "b", "c")
    socket = pod.connect(user)
    await socket.sub({channel: 2})
    assert await socket.seqs(3) == [3]
    await socket.sub({channel: 0})
    assert await socket.seqs(3) == [1, 2, 3]
    await socket.sub({channel: None})
    await pod.send(user, channel, "d")
    assert await socket.seqs(4) == [4]


async def test_nothing_follows_unsub(pod: World) -> None:
    """After `unsub` the channel is silent; unsubscribing from nothing is no error."""
    user = await pod.person()
    channel = await pod.channel(user)
    socket = pod.connect(user)
    await socket.sub({channel: None})
    pod.services.hub.unsubscribe(socket.connection, [channel, 12345])
    await pod.send(user, channel, "a")
    assert socket.read() == []


async def test_too_many_subscriptions_change_nothing(database_url: str) -> None:
    """Beyond the limit the whole `sub` is refused."""
    async with world(database_url, subs_max=2) as pod:
        user = await pod.person()
        channels = [await pod.channel(user) for _ in range(3)]
        socket = pod.connect(user)
        await socket.sub({channels[0]: None})
        with pytest.raises(ChatError) as refused:
            await socket.sub(dict.fromkeys(channels, None))
        assert refused.value.code is Code.TOO_LONG
        assert list(socket.connection.subs) == channels[:1]


async def test_a_removed_member_hears_nothing_after_the_removal(
    pods: tuple[World, World],
) -> None:
    """On every pod: the removal is the last that comes, then `removed`, once."""
    one, two = pods
    owner, member = await one.person(), await one.person()
    channel = await one.channel(owner, member)
    sockets = [one.connect(member), two.connect(member)]
    for socket in sockets:
        await socket.sub({channel: None})
    await one.send(owner, channel, "a")
    await one.services.chat.remove_member(owner, channel, member)
    await one.send(owner, channel, "b")
    for socket in sockets:
        arrived = await socket.until(lambda events: any(e["t"] == "removed" for e in events))
        await asyncio.sleep(0.05)
        arrived += socket.read()
        assert [(e["t"], e.get("seq"), e.get("reason")) for e in arrived] == [
            ("msg", 1, None),
            ("leave", 2, None),
            ("removed", None, "removed"),
        ]


async def test_those_who_were_not_subscribed_are_told_too(pods: tuple[World, World]) -> None:
    """`added` and `removed` come to every connection of the user, on every pod."""
    one, two = pods
    owner, guest = await one.person(), await one.person()
    channel = await one.channel(owner)
    sockets = [one.connect(guest), two.connect(guest)]
    await one.services.chat.add_member(owner, channel, guest, Role.MEMBER)
    for socket in sockets:
        (added,) = await socket.until(lambda events: len(events) == 1)
        assert (added["t"], added["ch"], added["channel"]["role"]) == ("added", channel, "member")
    await one.services.chat.leave(guest, channel)
    for socket in sockets:
        told = await socket.until(lambda events: len(events) == 1)
        assert told == [{"t": "removed", "ch": channel, "reason": "left"}]


async def test_a_deleted_channel_ends_for_everybody(pods: tuple[World, World]) -> None:
    """Subscribed or not, on every pod, once; then it is as if it had never been."""
    one, two = pods
    owner, member = await one.person(), await one.person()
    channel = await one.channel(owner, member)
    subscribed, idle = two.connect(member), two.connect(member)
    await subscribed.sub({channel: None})
    await one.services.chat.drop(owner, channel)
    for socket in (subscribed, idle):
        arrived = await socket.until(lambda events: len(events) > 0)
        await asyncio.sleep(0.05)
        assert arrived + socket.read() == [{"t": "removed", "ch": channel, "reason": "deleted"}]
    assert await subscribed.sub({channel: None}) == {str(channel): {"error": "not_found"}}


async def test_without_any_bus_the_head_check_brings_everything(database_url: str) -> None:
    """Two pods that hear nothing of each other: the log is the truth, and it is looked at."""
    async with (
        world(database_url, head_check_ms=200) as one,
        world(database_url, head_check_ms=200) as two,
    ):
        owner, member = await one.person(), await one.person()
        channel = await one.channel(owner, member)
        socket = two.connect(member)
        await socket.sub({channel: None})
        await one.send(owner, channel, "a", "b")
        assert await socket.seqs(2) == [1, 2]
        await one.services.chat.remove_member(owner, channel, member)
        arrived = await socket.until(lambda events: any(e["t"] == "removed" for e in events))
        assert [e["t"] for e in arrived] == ["leave", "removed"]


async def test_a_hole_is_read_from_the_log(pods: tuple[World, World]) -> None:
    """An envelope that was lost on the bus is noticed by the next one, and nothing is skipped."""
    one, two = pods
    user = await one.person()
    channel = await one.channel(user)
    socket = two.connect(user)
    await socket.sub({channel: None})
    bus = two.app.bus
    assert bus is not None
    heard, bus.on_envelope = bus.on_envelope, lambda _: None  # deaf for one message
    await one.send(user, channel, "lost")
    await asyncio.sleep(0.02)
    bus.on_envelope = heard
    await one.send(user, channel, "heard")
    assert await socket.seqs(2) == [1, 2]


async def test_what_comes_twice_late_or_never_was_is_dropped(pod: World) -> None:
    """Garbage, old seqs and seqs that do not exist do no harm; what is true still comes."""
    user = await pod.person()
    channel = await pod.channel(user)
    socket = pod.connect(user)
    await socket.sub({channel: None})
    await pod.send(user, channel, "a")
    rooms = pod.services.hub.rooms
    rooms.receive(b"garbage")
    rooms.receive(bytes(Envelope(channel, 1, (2,), (), b"xx")))  # known
    rooms.receive(bytes(Envelope(channel, 10**6, (2,), (), b"xx")))  # a lie
    await asyncio.sleep(0.1)
    await pod.send(user, channel, "b")
    assert await socket.seqs(2) == [1, 2]


async def test_a_client_that_does_not_read_catches_up_without_loss(pod: World) -> None:
    """Stuck, it gets nothing more than the mark allows, delays nobody, and misses nothing."""
    user = await pod.person()
    channel = await pod.channel(user)
    slow, quick = pod.connect(user, high=4096), pod.connect(user)
    for socket in (slow, quick):
        await socket.sub({channel: None})
    await pod.send(user, channel, *["x" * 500] * 100)
    assert await quick.seqs(100) == list(range(1, 101))
    assert slow.connection.paused
    assert sum(len(e["content"]) for e in slow.unread) < 3 * 4096
    assert await slow.seqs(100) == list(range(1, 101))
    await pod.send(user, channel, "live again")
    assert await slow.seqs(101) == [101]


async def test_a_stuck_client_is_cut_after_its_deadline(database_url: str) -> None:
    """4102, and whatever was kept for it is freed."""
    async with world(database_url, slow_deadline_ms=100) as pod:
        user = await pod.person()
        channel = await pod.channel(user)
        stuck = pod.connect(user, high=100)
        await stuck.sub({channel: None})
        await pod.send(user, channel, "x" * 200)
        while stuck.closed_with is None:
            await asyncio.sleep(0.05)
        assert stuck.closed_with == 4102
        assert not stuck.connection.subs


async def test_a_room_that_nobody_is_in_is_closed(database_url: str) -> None:
    """What a pod keeps of a channel goes with its last subscriber, after a while."""
    async with world(database_url, room_linger_ms=50, head_check_ms=50) as pod:
        user = await pod.person()
        channel = await pod.channel(user)
        socket = pod.connect(user)
        await socket.sub({channel: None})
        assert len(pod.services.hub.rooms) == 1
        socket.leave()
        while len(pod.services.hub.rooms):
            await asyncio.sleep(0.02)
        again = pod.connect(user)
        await again.sub({channel: 0})
        await pod.send(user, channel, "a")
        assert await again.seqs(1) == [1]


async def test_a_database_that_is_away_is_not_a_missing_channel(
    pod: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`unavailable` for the whole `sub`, to be tried again; never a final answer."""
    user = await pod.person()
    channel = await pod.channel(user)
    socket = pod.connect(user)
    messages = pod.services.hub.rooms._messages

    async def away(_: list[int]) -> dict[int, int]:
        raise ChatError(Code.UNAVAILABLE)

    with monkeypatch.context() as patch:
        patch.setattr(messages, "heads", away)
        with pytest.raises(ChatError) as refused:
            await socket.sub({channel: None})
    assert refused.value.code is Code.UNAVAILABLE
    assert await socket.sub({channel: None}) == {str(channel): {"head": 0}}


async def test_an_open_room_stays_open_for_who_waits_at_another(database_url: str) -> None:
    """A room that nobody is in any more is not closed under a `sub` that has begun."""
    async with world(database_url, room_linger_ms=100, head_check_ms=50) as pod:
        user = await pod.person()
        warm, cold = await pod.channel(user), await pod.channel(user)
        socket = pod.connect(user)
        await socket.sub({warm: None})
        pod.services.hub.unsubscribe(socket.connection, [warm])
        bus = pod.app.bus
        assert bus is not None
        subscribe = bus.subscribe

        async def slowly(channels: Iterable[int]) -> None:
            await asyncio.sleep(0.5)
            await subscribe(channels)

        bus.subscribe = slowly  # type: ignore[method-assign]
        heads = await socket.sub({warm: None, cold: None})
        assert heads == {str(warm): {"head": 0}, str(cold): {"head": 0}}


async def test_catching_up_from_the_log_stops_where_the_socket_is_full(pod: World) -> None:
    """What is kept for one who does not read is bounded in bytes, not in entries."""
    user = await pod.person()
    channel = await pod.channel(user)
    await pod.send(user, channel, *["x" * 4000] * 150)
    slow = pod.connect(user, high=50_000)
    await slow.sub({channel: 0})
    while not slow.connection.paused:
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.05)
    assert sum(len(e["content"]) for e in slow.unread) < 150_000
    assert await slow.seqs(150) == list(range(1, 151))
