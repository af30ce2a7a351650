"""What a delivery and a send may cost, as counts with bounds; and that each bound can fail.

A delivery is one Python call and two built-in ones, one write, no memory; a send 35 calls from its
text to its ack; a batch four round trips. Whoever adds an await, an encode or a write for each
member is told here.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from rtchat import protocol
from rtchat.api.conversation import Conversation
from rtchat.connection import Connection
from rtchat.envelope import Envelope
from rtchat.model import Kind, LogEntry
from rtchat.room import Room
from tests.costs import Calls, Turns, blocks_kept, marginal, room_of
from tests.world import World, world

# --- a delivery

CALLS_A_DELIVERY = 1  # ServerLink.write
BUILT_IN_CALLS_A_DELIVERY = 2  # transport.is_closing, transport.write
BLOCKS_A_DELIVERY = 0.1  # a list of what is kept grows; nothing is made for a member
FEW, MANY = 10, 210


def batch(entries: int) -> Envelope:
    """A batch's envelope."""
    (envelope,) = protocol.pack(
        [LogEntry(17, n, Kind.MESSAGE, 42, None, "hello", 1) for n in range(1, entries + 1)],
        1 << 20,
    )
    return envelope


def calls_a_delivery(kind: type[Room]) -> tuple[float, float]:
    """Python's and built-in calls, of one more member."""

    def count(members: int) -> Calls:
        room, _ = room_of(members, kind)
        envelope = batch(16)
        with Calls() as calls:
            room.offer(envelope)
        return calls

    return (
        marginal(lambda members: count(members).python, FEW, MANY),
        marginal(lambda members: count(members).built_in.total(), FEW, MANY),
    )


def blocks_a_delivery(kind: type[Room]) -> float:
    """Blocks of memory that are kept for one more member while its bytes wait to be sent."""

    def count(members: int) -> int:
        room, people = room_of(members, kind)
        for person in people:
            person.written.append(b"")  # the list's own memory
        envelope = batch(16)
        return blocks_kept(lambda: room.offer(envelope))

    return marginal(count, FEW, MANY)


def writes_a_member(kind: type[Room]) -> int:
    """Writes to one member, of a batch of 16."""
    room, people = room_of(3, kind)
    room.offer(batch(16))
    return max(len(person.written) for person in people)


class EncodesForEach(Room):
    """JSON made anew for each member."""

    def _fan_out(self, frames: bytes, entries: int) -> None:
        for write in self.live.values():
            write(b"".join(protocol.frame(orjson.loads(t)) for t in protocol.payloads(frames)))


class WritesFrames(Room):
    """A write a frame."""

    def _fan_out(self, frames: bytes, entries: int) -> None:
        for text in protocol.payloads(frames):
            super()._fan_out(protocol.frame(orjson.loads(text)), 1)


class Awaits(Room):
    """A coroutine a member."""

    def _fan_out(self, frames: bytes, entries: int) -> None:
        for sub in self.live:
            with pytest.raises(StopIteration):
                _send(sub.receiver, frames).send(None)


async def _send(receiver: Any, frames: bytes) -> None:
    receiver.write(frames)


class Copies(Room):
    """Bytes of its own for each member."""

    def _fan_out(self, frames: bytes, entries: int) -> None:
        for write in self.live.values():
            write(frames[:-1] + frames[-1:])


def test_a_delivery_is_one_call_into_the_link_and_two_into_the_transport():
    python, built_in = calls_a_delivery(Room)
    assert python <= CALLS_A_DELIVERY
    assert built_in <= BUILT_IN_CALLS_A_DELIVERY


@pytest.mark.parametrize("mutant", [EncodesForEach, WritesFrames, Awaits])
def test_more_calls_a_delivery_are_noticed(mutant: type[Room]):
    python, _ = calls_a_delivery(mutant)
    assert python > CALLS_A_DELIVERY


def test_a_delivery_takes_no_memory_of_its_own():
    assert blocks_a_delivery(Room) <= BLOCKS_A_DELIVERY


@pytest.mark.parametrize("mutant", [EncodesForEach, Copies])
def test_memory_of_a_delivery_is_noticed(mutant: type[Room]):
    assert blocks_a_delivery(mutant) > BLOCKS_A_DELIVERY


def test_a_batch_is_one_write_a_member_of_the_same_bytes():
    assert writes_a_member(Room) == 1
    room, people = room_of(3)
    room.offer(envelope := batch(16))
    assert all(person.written[0] is envelope.payload for person in people)


def test_a_write_a_frame_is_noticed():
    assert writes_a_member(WritesFrames) > 1


# --- what another pod hears

CALLS_AN_ENVELOPE = 10  # from the bus to the members, besides their writes; measured: 9
CALLS_ONES_OWN = 3  # known by its place; measured: 2


@pytest.fixture(scope="module")
def database_url(module_database_url: str) -> str:
    """One database for all: each test makes people and channels of its own."""
    return module_database_url


@pytest.fixture
async def pod(database_url: str) -> AsyncIterator[World]:
    async with world(database_url, head_check_ms=600_000, lanes=1, sends_per_second=0) as w:
        yield w


async def hear(pod: World, first: int, count: int, *, cursor: int) -> int:
    """The calls of so many envelopes of one message each, in one turn."""
    user = await pod.person()
    channel = await pod.channel(user)
    await pod.services.hub.rooms.open([channel])
    rooms = pod.services.hub.rooms
    room = rooms.get(channel)
    assert room is not None
    room.cursor = cursor
    frame = protocol.frame({})
    heard = [
        Envelope(channel, first + n, (len(frame),), (), frame).stamped(0) for n in range(count)
    ]
    with Calls() as calls:
        for data in heard:
            rooms.receive(data)
        await asyncio.sleep(0)
    assert room.cursor == max(cursor, first + count - 1)
    return calls.python


async def calls_an_envelope(pod: World, cursor: int) -> float:
    """Python's calls of one more envelope in the same turn."""
    few, many = await hear(pod, 1, 10, cursor=cursor), await hear(pod, 1, 110, cursor=cursor)
    return (many - few) / 100


async def test_an_envelope_of_another_pod_is_passed_on_unread(pod: World) -> None:
    assert await calls_an_envelope(pod, cursor=0) <= CALLS_AN_ENVELOPE


async def test_an_envelope_that_is_read_is_noticed(
    pod: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    parse = Envelope.parse

    def read(data: bytes) -> Envelope:
        envelope = parse(data)
        assert all(orjson.loads(text) == {} for text in protocol.payloads(envelope.payload))
        return envelope

    monkeypatch.setattr(Envelope, "parse", read)
    assert await calls_an_envelope(pod, cursor=0) > CALLS_AN_ENVELOPE


async def test_ones_own_envelope_that_comes_back_costs_next_to_nothing(pod: World) -> None:
    assert await calls_an_envelope(pod, cursor=200) <= CALLS_ONES_OWN


async def test_parsing_ones_own_envelope_is_noticed(
    pod: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def place(data: bytes) -> tuple[int, int]:
        envelope = Envelope.parse(data)
        return envelope.channel_id, envelope.last

    monkeypatch.setattr(Envelope, "place", place)
    assert await calls_an_envelope(pod, cursor=200) > CALLS_ONES_OWN


# --- who does not read

CALLS_A_PAUSED_MEMBER = 3  # a look whether it can go on; measured: 2


async def calls_of_a_batch(pod: World, paused: int) -> int:
    """With so many members who take nothing, and one who reads."""
    user = await pod.person()
    channel = await pod.channel(user)
    reader, *others = (pod.connect(user) for _ in range(paused + 1))
    for socket in (reader, *others):
        await socket.sub({channel: None})
    for socket in others:
        pod.services.hub.paused(socket.connection)
        socket.writes.clear()
    await asyncio.sleep(0)
    frames = [protocol.frame({"seq": n}) for n in range(1, 17)]
    heard = Envelope(channel, 1, tuple(map(len, frames)), (), b"".join(frames))
    with Calls() as calls:
        pod.services.hub.rooms.deliver(heard)
    assert [event["seq"] for event in reader.read()][-16:] == list(range(1, 17))
    assert [socket.writes for socket in others] == [[]] * paused
    for socket in others:
        socket.leave()
    return calls.python


async def test_members_who_do_not_read_are_written_nothing_and_delay_nobody(pod: World) -> None:
    few, many = await calls_of_a_batch(pod, 2), await calls_of_a_batch(pod, 42)
    assert (many - few) / 40 <= CALLS_A_PAUSED_MEMBER


async def test_a_look_too_many_at_a_paused_member_is_noticed(
    pod: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = pod.services.hub._catch_up.go_on
    monkeypatch.setattr(Connection, "paused", property(lambda connection: go_on(connection)))
    few, many = await calls_of_a_batch(pod, 2), await calls_of_a_batch(pod, 42)
    assert (many - few) / 40 > CALLS_A_PAUSED_MEMBER


# --- a send

CALLS_A_SEND = 45  # measured: 34
ROUND_TRIPS_A_BATCH = 5  # measured: 4
SENDS = 100


class Talk:
    """A conversation on a socket without a wire, subscribed to the channel that it sends to."""

    def __init__(self, pod: World, user: int, channel: int) -> None:
        self.socket = pod.connect(user)
        self._channel, self._number = channel, 0
        self._conversation = Conversation(pod.services, self.socket.connection)
        self._serving = pod.services.tasks.start(self._conversation.run(self._never))

    @staticmethod
    async def _never() -> Any:
        await asyncio.Event().wait()

    async def send(self, count: int) -> None:
        """So many messages in one turn, until each is acked and delivered."""
        await asyncio.sleep(0)
        for _ in range(count):
            self._number += 1
            told = {"t": "send", "ref": self._number, "ch": self._channel, "content": "hello"}
            assert self._conversation.take(orjson.dumps(told).decode())
        kinds: list[str] = []
        while len(kinds) < 2 * count:
            await asyncio.sleep(0.002)
            kinds += [event["t"] for event in self.socket.read()]
        assert sorted(kinds) == ["ack"] * count + ["msg"] * count


async def talk(pod: World) -> Talk:
    user = await pod.person()
    channel = await pod.channel(user)
    found = Talk(pod, user, channel)
    await found.socket.sub({channel: None})
    await found.send(SENDS)  # statements are prepared by now
    return found


async def calls_a_send(pod: World) -> float:
    """Python's calls of one more send, from its text to its ack and its delivery."""
    talking = await talk(pod)
    counts = []
    for count in (50, 250):
        with Calls() as calls:
            await talking.send(count)
        counts.append(calls.python)
    return (counts[1] - counts[0]) / 200


async def test_a_send_is_a_bounded_number_of_calls(pod: World) -> None:
    assert await calls_a_send(pod) <= CALLS_A_SEND


async def test_sends_one_by_one_in_the_log_are_noticed(database_url: str) -> None:
    async with world(
        database_url, head_check_ms=600_000, lanes=1, sends_per_second=0, batch_max_rows=1
    ) as pod:
        assert await calls_a_send(pod) > CALLS_A_SEND


WRITES_A_BATCH = 4  # measured: 2, acks and messages; one may be committed before others come


async def writes_a_batch(pod: World) -> int:
    """To a member's socket, of sends that come in one turn."""
    talking = await talk(pod)
    talking.socket.writes.clear()
    await talking.send(SENDS)
    assert sum(talking.socket.writes) == 2 * SENDS
    return len(talking.socket.writes)


async def test_acks_and_messages_of_a_batch_leave_in_one_write_each(pod: World) -> None:
    assert await writes_a_batch(pod) <= WRITES_A_BATCH


async def test_more_writes_are_noticed(database_url: str) -> None:
    async with world(
        database_url, head_check_ms=600_000, lanes=1, sends_per_second=0, batch_max_rows=20
    ) as pod:
        assert await writes_a_batch(pod) > WRITES_A_BATCH


async def round_trips(database_url: str, **settings: Any) -> int:
    """Of the writer, for sends that come in one turn."""
    async with Turns(database_url).open() as turns, world(
        turns.url, head_check_ms=600_000, lanes=1, sends_per_second=0, **settings
    ) as pod:  # fmt: skip
        talking = await talk(pod)
        with turns.counted() as count:
            await talking.send(SENDS)
        return count()


async def test_a_batch_is_a_bounded_number_of_round_trips(database_url: str) -> None:
    assert await round_trips(database_url) <= ROUND_TRIPS_A_BATCH


async def test_more_round_trips_are_noticed(database_url: str) -> None:
    assert await round_trips(database_url, batch_max_rows=50) > ROUND_TRIPS_A_BATCH
