"""A room: every live subscriber gets every entry once, in order, and nothing behind its removal.

The same with an unruly network and slow readers, at random, is in test_room_delivery; what a room
keeps of what it had, in test_room_tail.
"""

import time

import pytest

from rtchat import protocol
from rtchat.envelope import ControlKind, Envelope
from rtchat.measures import Delivering
from rtchat.model import Kind, LogEntry
from rtchat.room import Room, State, Subscription, Tails, Write, weight
from tests.wire import events

ANN, BOB, EVE = 1, 2, 3


class Reader:
    """A user's socket, which keeps what it was sent."""

    def __init__(self, user_id: int) -> None:
        self.user_id = user_id
        self.write: Write = self._keep
        self.received = b""

    def _keep(self, frames: bytes) -> None:
        self.received += frames

    @property
    def seqs(self) -> list[int]:
        return [event["seq"] for event in events(self.received)]


Ended = list[tuple[int, ControlKind, int]]


class Watched(Room):
    """A room that notes whose subscriptions it has ended, and takes them out as the hub does."""

    def __init__(self, head: int | None = 0, tail: int = 10_000, held: int = 10_000) -> None:
        self.ended: Ended = []
        self.tails = Tails(tail)
        super().__init__(17, self._note, self.tails, held, Delivering())
        if head is not None:
            self.open(head)

    def _note(self, sub: Subscription, kind: ControlKind, seq: int) -> None:
        self.ended.append((sub.receiver.user_id, kind, seq))
        self.remove(sub)

    def subscribe(self, user_id: int = ANN) -> tuple[Reader, Subscription]:
        """Somebody who is live from the room's cursor on."""
        reader = Reader(user_id)
        sub = self.register(reader)
        sub.since = self.cursor
        self.catch_up(sub, self.cursor)
        self.go_live(sub)
        return reader, sub


def batch(*seqs: int, leave: dict[int, int] | None = None, drop: int = 0) -> Envelope:
    """Messages with these seqs; `leave`: by seq, who is removed; `drop`: which is the tombstone."""
    leave = leave or {}
    entries = [
        LogEntry(17, seq, Kind.LEAVE, EVE, leave[seq], None, 0) if seq in leave
        else LogEntry(17, seq, Kind.DROP if seq == drop else Kind.MESSAGE, EVE, None, "hi", 0)
        for seq in seqs
    ]  # fmt: skip
    (envelope,) = protocol.pack(entries, 10_000)
    return envelope


# --- order


def test_what_continues_the_room_is_delivered():
    room = Watched()
    reader, _ = room.subscribe()
    assert room.offer(batch(1, 2))
    assert room.offer(batch(3))
    assert reader.seqs == [1, 2, 3]
    assert (room.cursor, room.head, room.behind) == (3, 3, False)


def test_every_subscriber_gets_the_same_bytes_object():
    """Encoded once: no copy is made for anybody."""
    room = Watched()
    seen: list[bytes] = []
    for _ in range(3):
        _, sub = room.subscribe()
        room.live[sub] = seen.append
    envelope = batch(1, 2)
    room.offer(envelope)
    assert [frames is envelope.payload for frames in seen] == [True] * 3


@pytest.mark.parametrize("old", [batch(1), batch(1, 2, 3), batch(3)])
def test_what_is_behind_the_cursor_is_dropped(old: Envelope):
    room = Watched(3)
    reader, _ = room.subscribe()
    assert not room.offer(old)
    assert reader.received == b""


def test_of_what_overlaps_the_cursor_the_rest_is_delivered():
    room = Watched(2)
    reader, _ = room.subscribe()
    assert room.offer(batch(1, 2, 3, 4))
    assert reader.seqs == [3, 4]


def test_what_is_ahead_waits_for_the_hole():
    room = Watched()
    reader, _ = room.subscribe()
    assert not room.offer(batch(3, 4))
    assert not room.offer(batch(6))
    assert (reader.received, room.cursor, room.head, room.behind) == (b"", 0, 6, True)
    assert room.offer(batch(1, 2))
    assert reader.seqs == [1, 2, 3, 4]
    assert room.behind
    assert room.offer(batch(5))
    assert reader.seqs == [1, 2, 3, 4, 5, 6]
    assert not room.behind


def test_what_waits_may_overlap():
    room = Watched()
    reader, _ = room.subscribe()
    for envelope in (batch(3, 4, 5), batch(4), batch(3), batch(2, 3), batch(5, 6)):
        assert not room.offer(envelope)
    room.offer(batch(1))
    assert reader.seqs == [1, 2, 3, 4, 5, 6]


def test_what_waits_is_bounded_in_bytes():
    """What does not fit is not kept: the log has it. That it exists is known."""
    size = weight(batch(2))
    room = Watched(held=2 * size)
    reader, _ = room.subscribe()
    for seq in (2, 4, 3):
        room.offer(batch(seq))
    assert (room.head, repr(room)) == (4, "<Room 17 at 0/4: 1 live, 0 others, 2 held>")
    room.offer(batch(1))
    assert reader.seqs == [1, 2]
    room.offer(batch(3))
    assert reader.seqs == [1, 2, 3, 4]


def test_room_for_what_waits_is_free_again_when_it_was_delivered():
    room = Watched(held=weight(batch(2)))
    reader, _ = room.subscribe()
    for seq in (2, 1, 4, 3):
        room.offer(batch(seq))
    assert reader.seqs == [1, 2, 3, 4]


def test_what_waits_is_counted_with_what_it_takes_besides_its_frames():
    """Or the bound in bytes is none on the number of small envelopes."""
    room = Watched(held=2 * weight(batch(2)) - 1)
    room.offer(batch(2))
    room.offer(batch(3))
    assert repr(room) == "<Room 17 at 0/3: 0 live, 0 others, 1 held>"


def test_what_waits_is_taken_in_time_that_grows_with_its_number():
    """Looking for the first among all, each time, takes 200 million steps here: some 4 seconds."""
    many = 20_000
    room = Watched(held=1 << 24)
    rest = [Envelope(17, seq, (2,), (), b"xx") for seq in range(2, many + 1)]
    for envelope in (*rest[::2], *rest[1::2]):
        room.offer(envelope)
    began = time.process_time()
    room.offer(Envelope(17, 1, (2,), (), b"xx"))
    assert room.cursor == many
    assert time.process_time() - began < 1.5


def test_of_what_waits_a_longer_one_takes_the_shorter_ones_place():
    short, long, other = batch(2), batch(2, 3), batch(5)
    room = Watched(held=weight(short) + weight(long))
    reader, _ = room.subscribe()
    for envelope in (short, long, other):
        room.offer(envelope)
    for seq in (1, 4):
        room.offer(batch(seq))
    assert reader.seqs == [1, 2, 3, 4, 5]


def test_a_head_tells_that_entries_are_missing():
    room = Watched(5)
    room.note_head(4)
    assert not room.behind
    room.note_head(7)
    assert (room.cursor, room.head, room.behind) == (5, 7, True)


def test_what_waits_behind_a_hole_is_not_lacking():
    """Of 1 to 6, 4 and 5 wait here: 1 went out, 2, 3 and 6 never came."""
    room = Watched(head=0)
    room.offer(batch(1))
    room.offer(batch(4, 5))
    assert room.lacks(6) == 3
    assert room.lacks(3) == 2
    assert room.lacks(1) == 0
    room.offer(batch(2, 3))
    assert room.lacks(5) == 0


def test_what_the_log_does_not_have_is_forgotten():
    """A head or an envelope claimed more than there is."""
    room = Watched(5)
    reader, _ = room.subscribe()
    room.offer(batch(8))
    room.offer(batch(7))
    room.forget_beyond(7)
    assert repr(room) == "<Room 17 at 5/7: 1 live, 0 others, 1 held>"
    room.forget_beyond(5)
    assert not room.behind
    room.offer(batch(6))
    assert reader.seqs == [6]


# --- opening


def test_what_came_before_the_room_is_open_waits():
    """The bus is heard first, the head is read after: nothing falls in between."""
    room = Watched(head=None)
    reader = Reader(ANN)
    sub = room.register(reader)
    assert not room.offer(batch(5, 6))
    assert not room.offer(batch(4))
    room.open(4)
    assert (room.cursor, room.head) == (6, 6)
    room.catch_up(sub, 6)
    room.go_live(sub)
    room.offer(batch(7))
    assert reader.seqs == [7]


def test_a_hole_from_before_the_opening_is_known():
    """Or it would stay until the next head check, and what waits behind it too."""
    room = Watched(head=None)
    room.offer(batch(7, 8))
    room.open(5)
    assert room.cursor == 5
    assert room.behind


# --- states


def test_only_the_live_get_what_comes():
    room = Watched()
    joining, catching_up = Reader(ANN), Reader(BOB)
    room.register(joining)
    room.catch_up(room.register(catching_up), 0)
    live, _ = room.subscribe(EVE)
    room.offer(batch(1))
    assert (joining.seqs, catching_up.seqs, live.seqs) == ([], [], [1])
    assert repr(room) == "<Room 17 at 1/1: 1 live, 2 others, 0 held>"


def test_who_falls_behind_goes_on_from_the_rooms_cursor():
    room = Watched()
    reader, sub = room.subscribe()
    room.offer(batch(1, 2))
    room.fall_behind(sub)
    assert (sub.state, sub.cursor) == (State.CATCHING_UP, 2)
    room.offer(batch(3))
    assert reader.seqs == [1, 2]
    found = room.tail_after(sub.cursor, 10_000)
    assert found is not None
    frames, sub.cursor = found
    reader.write(frames)
    room.go_live(sub)
    room.offer(batch(4))
    assert reader.seqs == [1, 2, 3, 4]


@pytest.mark.parametrize("state", [State.JOINING, State.CATCHING_UP, State.LIVE])
def test_who_is_removed_gets_nothing_more_whatever_the_state(state: State):
    room, reader = Watched(), Reader(ANN)
    sub = room.register(reader)
    if state is not State.JOINING:
        room.catch_up(sub, 0)
    if state is State.LIVE:
        room.go_live(sub)
    assert (sub.state, room.empty) == (state, False)
    room.remove(sub)
    room.remove(sub)
    assert (sub.state, room.empty) == (State.ENDED, True)
    room.offer(batch(1))
    assert reader.received == b""


# --- ends of memberships


def test_a_removed_user_gets_the_removal_and_nothing_behind_it():
    """Cut within one envelope, on every one of the user's sockets."""
    room = Watched()
    first, second, other = room.subscribe(ANN)[0], room.subscribe(ANN)[0], room.subscribe(BOB)[0]
    room.offer(batch(1, 2, 3, 4, 5, leave={2: ANN, 4: EVE}))
    assert (first.seqs, second.seqs, other.seqs) == ([1, 2], [1, 2], [1, 2, 3, 4, 5])
    assert room.ended == [(ANN, ControlKind.REMOVED, 2)] * 2


def test_leaving_is_told_from_being_removed():
    room = Watched()
    room.subscribe(EVE)
    room.offer(batch(1, leave={1: EVE}))
    assert room.ended == [(EVE, ControlKind.LEFT, 1)]


def test_the_tombstone_ends_everybody():
    room = Watched()
    ann, bob = room.subscribe(ANN)[0], room.subscribe(BOB)[0]
    room.offer(batch(1, 2, drop=2))
    assert (ann.seqs, bob.seqs, room.empty, room.cursor) == ([1], [1], True, 2)
    assert {(kind, seq) for _, kind, seq in room.ended} == {(ControlKind.DELETED, 2)}


def test_who_catches_up_is_ended_too():
    room = Watched()
    sub = room.register(Reader(ANN))
    room.catch_up(sub, 0)
    room.offer(batch(1, leave={1: ANN}))
    assert sub.state is State.ENDED


def test_an_end_before_the_membership_was_read_is_history():
    """The user has come back since, and subscribed by the new membership."""
    room = Watched()
    reader, sub = room.subscribe(ANN)
    sub.since = 3
    room.offer(batch(1, 2, 3, 4, leave={2: ANN}))
    assert reader.seqs == [1, 2, 3, 4]
    assert room.ended == []


def test_who_is_joining_notes_the_end_and_decides_by_what_is_read():
    room = Watched()
    sub = room.register(Reader(ANN))
    room.offer(batch(1, 2, 3, leave={2: ANN}))
    assert (sub.state, sub.ended_at, room.ended) == (State.JOINING, 2, [])
