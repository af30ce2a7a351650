"""The teller and its outlet: who is told on a pod, in how many writes, and what is dropped."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from rtchat import notice as notices
from rtchat.ephemeral import word as words
from rtchat.ephemeral.word import Word
from rtchat.errors import ChatError, Code
from rtchat.notice import Seek
from tests.world import Socket, World, world

SETTINGS: dict[str, Any] = {
    "presence": 1,
    "ephemeral_tick_ms": 20,
    "ephemeral_writes_max": 10,
    "presence_grace_s": 1,
    "write_low_bytes": 4096,
    "typing_every_ms": 0,
}


@pytest.fixture(scope="module")
def database_url(module_database_url: str) -> str:
    """One database for all: each test makes people and channels of its own."""
    return module_database_url


@pytest.fixture
async def pod(database_url: str) -> AsyncIterator[World]:
    async with world(database_url, **SETTINGS) as w:
        yield w


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.01)


async def live(pod: World, user: int, *channels: int, **marks: Any) -> Socket:
    """A socket that follows these channels, and has heard who is there."""
    socket = pod.connect(user, **marks)
    await socket.sub(dict.fromkeys(channels))
    await until(lambda: not pod.services.teller._outlet.fresh)
    return socket


def statuses(socket: Socket) -> list[tuple[int, str]]:
    return [(e["user"], e["status"]) for e in socket.read() if e["t"] == "presence"]


async def test_what_comes_in_a_tick_is_one_write(pod: World) -> None:
    """Whatever it is of one room; and presence of all rooms together."""
    ann, bob, cid = [await pod.person() for _ in range(3)]
    one, two = await pod.channel(ann, bob, cid), await pod.channel(ann, bob, cid)
    a = await live(pod, ann, one, two)
    b, c = await live(pod, bob, one, two), await live(pod, cid, one, two)
    a.read()
    a.writes.clear()
    teller = pod.services.teller
    for socket in (b, c):
        await teller.typing(socket.connection, one)
    await until(lambda: a.writes)
    assert a.writes == [2]
    assert {(e["t"], e["user"]) for e in a.read()} == {("typing", bob), ("typing", cid)}
    a.writes.clear()
    b.leave()
    c.leave()
    await until(lambda: a.writes)
    assert sorted(statuses(a)) == [(bob, "offline"), (cid, "offline")]
    assert a.writes == [2]


async def test_a_slow_socket_is_told_nothing_until_it_has_read(pod: World) -> None:
    """Typing is dropped; of presence it hears what holds then, who went among it."""
    ann, bob, cid = [await pod.person() for _ in range(3)]
    channel = await pod.channel(ann, bob, cid)
    a = await live(pod, ann, channel)
    b = await live(pod, bob, channel)
    a.read()
    await pod.send(bob, channel, "x" * 2000)  # unread: more than a quarter of the low mark
    await pod.services.teller.typing(b.connection, channel)
    dropped = pod.services.teller.measures.dropped
    await until(lambda: pod.services.teller.measures.dropped > dropped)
    c = pod.connect(cid)
    await c.sub({channel: None})
    b.leave()
    await until(lambda: bob in pod.services.teller._presence.listing(channel)[1])
    assert [e["t"] for e in a.unread] == ["msg"]
    a.read()
    await until(lambda: a.unread)
    assert sorted(statuses(a)) == sorted([(bob, "offline"), (cid, "online")])


async def test_who_catches_up_is_told_when_it_is_live(pod: World) -> None:
    """Paused and back: who is online, anew."""
    ann, bob = await pod.person(), await pod.person()
    channel = await pod.channel(ann, bob)
    a = await live(pod, ann, channel, high=8000)
    await pod.send(ann, channel, *["x" * 3000] * 4)
    await asyncio.sleep(0)
    assert a.connection.paused
    await live(pod, bob, channel)
    assert "presence" not in [e["t"] for e in a.unread]
    heard: list[tuple[int, str]] = []

    def told() -> bool:
        heard.extend(statuses(a))
        return bool(heard)

    await until(told)
    assert heard == [(bob, "online")]


async def test_beyond_a_ticks_writes_typing_is_dropped_and_presence_waits(pod: World) -> None:
    """Ten sockets a tick; the others in the ticks after it."""
    people = [await pod.person() for _ in range(25)]
    channel = await pod.channel(*people)
    sockets = [pod.connect(user) for user in people]
    for socket in sockets:
        await socket.sub({channel: None})
    heard: list[set[int]] = [set() for _ in sockets]

    def all_heard() -> bool:
        for socket, users in zip(sockets, heard, strict=True):
            users.update(user for user, _ in statuses(socket))
        return all(len(users) == len(people) - 1 for users in heard)

    await until(all_heard)
    other = await pod.channel(*people)
    for socket in sockets:
        await socket.sub({other: None})
    await until(lambda: pod.services.teller._timer is None)
    for socket in sockets:
        socket.read()
    measures = pod.services.teller.measures
    dropped, told = measures.dropped, measures.told
    for where in (channel, other):
        await pod.services.teller.typing(sockets[0].connection, where)
    await until(lambda: measures.dropped > dropped)
    assert (measures.dropped, measures.told) == (dropped + 1, told + len(people) - 1)


async def test_who_comes_to_many_rooms_costs_two_looks_at_each(
    pod: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many went from them: a look each at these, room by room, once took seconds."""
    ann, bob, *others = [await pod.person() for _ in range(5)]
    channels = [await pod.channel(ann, bob, *others) for _ in range(5)]
    a = await live(pod, ann, *channels)
    for socket in [await live(pod, user, *channels) for user in others]:
        socket.leave()
    a.read()
    presence = pod.services.teller._presence
    await until(lambda: all(len(presence.listing(c)[1]) == len(others) for c in channels))
    a.read()
    looks: list[int] = []

    def counted(look: Callable[..., Any]) -> Callable[..., Any]:
        def counting(channel: int, *args: Any) -> Any:
            looks.append(channel)
            return look(channel, *args)

        return counting

    for name in ("listing", "known"):
        monkeypatch.setattr(presence, name, counted(getattr(presence, name)))
    b = await live(pod, bob, *channels)
    assert sorted(statuses(b)) == [(ann, "online"), *((user, "offline") for user in others)]
    assert len(looks) <= 2 * len(channels)


async def test_who_went_from_one_room_may_be_online_in_another(pod: World) -> None:
    """Then whoever follows both hears of him as online alone."""
    ann, bob = await pod.person(), await pod.person()
    one, two = await pod.channel(ann, bob), await pod.channel(ann, bob)
    await live(pod, ann, one, two)
    receive = pod.services.hub.rooms.receive
    for channel in (one, two):
        receive(words.encode(channel, Word("other", online=[bob], subscribers=1)))
    receive(words.encode(one, Word("other", gone=[bob], subscribers=1)))
    presence = pod.services.teller._presence
    await until(lambda: bob in presence.listing(one)[1])
    a = await live(pod, ann, one, two)
    assert statuses(a) == [(bob, "online")]
    late = await live(pod, ann, two)
    late.read()
    await late.sub({one: None})
    await until(lambda: not pod.services.teller._outlet.fresh)
    assert statuses(late) == []


async def test_of_one_room_a_tick_tells_of_so_many_as_it_may_have(pod: World) -> None:
    """Many pods with a small room each make a large one: the others are dropped."""
    ann = await pod.person()
    channel = await pod.channel(ann)
    a = await live(pod, ann, channel)
    most = pod.services.config.typing_room_max
    everybody = list(range(10**6, 10**6 + most + 50))
    for _ in range(2):  # the same again is not one more
        pod.services.hub.rooms.receive(words.encode(channel, Word("other", typing=everybody)))
    await until(lambda: a.unread)
    assert [e["user"] for e in a.read()] == everybody[:most]
    assert pod.services.teller.measures.dropped == 100


async def gone_from(pod: World, user: int, *channels: int) -> Socket:
    """A socket of his, who was told of in these rooms and follows them no more; they are shut."""
    socket = await live(pod, user, *channels)
    pod.services.hub.unsubscribe(socket.connection, channels)
    pod.services.hub.rooms._shut(list(channels))
    return socket


async def test_who_is_gone_when_the_database_answers_is_not_taken_over(
    pod: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another pod sought him: nobody would ever say that he went."""
    ann = await pod.person()
    channel = await pod.channel(ann)
    services, asked, answer = pod.services, asyncio.Event(), asyncio.Event()
    a, standing = pod.connect(ann), services.channels.standing

    async def slow(*args: Any) -> Any:
        asked.set()
        await answer.wait()
        return await standing(*args)

    with monkeypatch.context() as patch:
        patch.setattr(services.channels, "standing", slow)
        services.connections.receive(notices.encode(Seek("other", [(ann, [channel])])))
        await asked.wait()
        a.leave()
        await until(lambda: not services.teller._presence._leaving)
        answer.set()
        await until(lambda: len(services.teller._tasks) == 1)  # that which beats
    assert services.teller._presence.listing(channel)[0] == set()


async def test_left_rooms_are_checked_in_turn(pod: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some users at a time, so that everybody's turn comes."""
    ann, bob = await pod.person(), await pod.person()
    channel = await pod.channel(ann, bob)
    for user in (ann, bob):
        await gone_from(pod, user, channel)
    monkeypatch.setattr("rtchat.ephemeral.teller.CHECKED_MAX", 1)
    teller = pod.services.teller
    await pod.services.database.execute("DELETE FROM members WHERE user_id = $1", bob)
    for _ in range(2):
        await teller._check_left_rooms()
    assert teller._presence.listing(channel)[0] == {ann}


async def test_nobody_is_forgotten_because_the_database_is_away(
    pod: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That he is no member any more is something that it says."""
    ann = await pod.person()
    channel = await pod.channel(ann)
    await gone_from(pod, ann, channel)

    async def away(*_: object) -> None:
        raise ChatError(Code.UNAVAILABLE)

    teller = pod.services.teller
    with monkeypatch.context() as patch:
        patch.setattr(pod.services.channels, "standing", away)
        await teller._check_left_rooms()
    assert teller._presence.listing(channel)[0] == {ann}


async def test_words_that_are_none_cost_nothing(pod: World, caplog: Any) -> None:
    """Nor do those of rooms that are not here, nor one's own that come back."""
    ann, bob = await pod.person(), await pod.person()
    channel = await pod.channel(ann, bob)
    a = await live(pod, ann, channel)
    a.read()
    rooms = pod.services.hub.rooms
    whole = words.encode(channel, Word("other", typing=[bob]))
    rooms.receive(whole[:-3])
    rooms.receive(words.encode(channel + 1, Word("other", typing=[bob])))
    rooms.receive(words.encode(channel, Word(pod.services.connections.pod, typing=[bob])))
    rooms.receive(words.encode(channel, Word("other", typing=[ann])))
    rooms.receive(whole)
    await until(lambda: a.unread)
    assert a.read() == [{"t": "typing", "ch": channel, "user": bob}]
    assert "not a word" in caplog.text


async def test_what_fails_in_one_tick_is_told_of_in_the_next(
    pod: World, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """A mistake of ours is logged, and ends nothing."""
    ann, bob = await pod.person(), await pod.person()
    channel = await pod.channel(ann, bob)
    a, b = await live(pod, ann, channel), await live(pod, bob, channel)
    await until(lambda: a.unread)
    a.read()

    def fail() -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(pod.services.teller._outlet, "tick", fail)
        await pod.services.teller.typing(b.connection, channel)
        await until(lambda: "telling failed" in caplog.text)
    await until(lambda: a.unread)
    assert a.read()[0]["t"] == "typing"


async def test_at_rest_no_timer_runs(pod: World) -> None:
    """Sockets that do nothing cost nothing."""
    ann, bob = await pod.person(), await pod.person()
    channel = await pod.channel(ann, bob)
    for user in (ann, bob):
        await live(pod, user, channel)
    await until(lambda: pod.services.teller._timer is None)
