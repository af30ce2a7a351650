"""A room's tail: what is behind a cursor, as long as it is kept, and the bound on all tails."""

import pytest

from rtchat.envelope import Envelope
from rtchat.measures import Delivering
from rtchat.room import Room, Tails, weight
from tests.test_room import Watched, batch


def test_the_tail_has_what_is_behind_a_cursor():
    room = Watched(2)
    first, second = batch(3, 4), batch(5)
    room.offer(first)
    room.offer(second)
    assert room.tail_after(2, 10_000) == (first.payload + second.payload, 5)
    assert room.tail_after(3, 10_000) == (batch(4).payload + second.payload, 5)
    assert room.tail_after(4, 10_000) == (second.payload, 5)


def test_what_the_tail_does_not_have_is_in_the_log():
    room = Watched(2)
    assert room.tail_after(2, 10_000) is None
    room.offer(batch(3))
    assert room.tail_after(1, 10_000) is None
    assert room.tail_after(3, 10_000) is None
    assert room.tail_after(9, 10_000) is None


def test_the_tail_is_given_in_pieces_of_whole_envelopes():
    room = Watched()
    envelopes = [batch(seq) for seq in range(1, 5)]
    for envelope in envelopes:
        room.offer(envelope)
    size = len(envelopes[0].payload)
    assert room.tail_after(0, 2 * size) == (envelopes[0].payload + envelopes[1].payload, 2)
    assert room.tail_after(2, 0) == (envelopes[2].payload, 3)


def test_what_was_read_of_the_log_joins_onto_the_tail():
    """In several envelopes, before one that came live; then it serves who is further behind."""
    room = Watched(4)
    assert room.kept_from == 5
    room.offer(batch(5))
    assert room.prepend([batch(1, 2), batch(3, 4)])
    assert room.kept_from == 1
    frames = batch(1, 2).payload + batch(3, 4).payload + batch(5).payload
    assert room.tail_after(0, 10_000) == (frames, 5)
    assert room.tail_after(3, 10_000) == (batch(4).payload + batch(5).payload, 5)


def test_what_was_read_is_a_tail_of_its_own_where_none_is_yet():
    room = Watched(2)
    assert room.prepend([batch(1, 2)])
    room.offer(batch(3))
    assert room.tail_after(0, 10_000) == (batch(1, 2).payload + batch(3).payload, 3)


@pytest.mark.parametrize("read", [[], [batch(1, 2)], [batch(2, 3, 4)], [batch(4, 5)]])
def test_what_does_not_join_is_not_kept(read: list[Envelope]):
    """The tail was shed or grew while it was read, or it ends too early: no hole, nothing twice."""
    room = Watched(3)
    room.offer(batch(4))
    assert not room.prepend(read)
    assert room.kept_from == 4
    assert room.tails.bytes == weight(batch(4))


def test_a_closed_room_keeps_nothing_that_was_read_for_it():
    room = Watched(2)
    room.close()
    assert not room.prepend([batch(1, 2)])
    assert (room.has_tail, room.tails.bytes) == (False, 0)


# --- the bound on all tails


def rooms(tails: Tails, number: int, head: int = 0) -> list[Room]:
    made = [Room(i, lambda *_: None, tails, 10_000, Delivering()) for i in range(number)]
    for room in made:
        room.open(head)
    return made


def test_the_oldest_frames_of_all_rooms_go_first():
    size = weight(batch(1))
    tails = Tails(3 * size)
    busy, quiet = rooms(tails, 2)
    quiet.offer(batch(1))
    for seq in (1, 2, 3):
        busy.offer(batch(seq))
        assert tails.bytes <= 3 * size
    assert not quiet.has_tail
    assert (busy.tail_after(0, 10_000) or (b"", 0))[1] == 3
    quiet.offer(batch(2))
    assert busy.tail_after(0, 10_000) is None
    assert tails.bytes == 3 * size


def test_the_bound_holds_for_what_is_in_memory():
    """With many rooms none sheds often: what is shed must not wait for its like to be let go."""
    size = weight(batch(1))
    tails = Tails(100 * size)
    many = rooms(tails, 50)
    for seq in range(1, 61):
        for room in many:
            room.offer(batch(seq))
    kept = [e for room in many for e in room._tail if e.payload]
    assert sum(map(weight, kept)) == tails.bytes <= 100 * size


def test_what_was_put_before_a_tail_is_shed_first_and_counts():
    """In the turns of its room; others lose what is oldest there, as by any other frame."""
    size = weight(batch(1))
    tails = Tails(4 * size)
    one, other = rooms(tails, 2, head=2)
    one.offer(batch(3))
    other.offer(batch(3))
    assert one.prepend([batch(1), batch(2)])
    assert tails.bytes == 4 * size
    other.offer(batch(4))
    assert (one.kept_from, other.kept_from) == (2, 3)
    assert one.prepend([batch(1)])
    assert (one.kept_from, other.kept_from) == (1, 4)
    assert tails.bytes == 4 * size


def test_of_what_was_read_and_does_not_fit_the_end_is_kept():
    size = weight(batch(1))
    tails = Tails(2 * size)
    (room,) = rooms(tails, 1, head=3)
    assert room.prepend([batch(1), batch(2), batch(3)])
    assert (room.kept_from, tails.bytes) == (2, 2 * size)
    room.offer(batch(4))
    assert (room.kept_from, tails.bytes) == (3, 2 * size)


def test_without_a_tail_nothing_is_kept():
    tails = Tails(0)
    (room,) = rooms(tails, 1)
    room.offer(batch(1))
    assert (room.has_tail, tails.bytes, room.cursor) == (False, 0, 1)


def test_a_closed_room_gives_its_bytes_back():
    tails = Tails(10_000)
    one, other = rooms(tails, 2)
    for room in (one, other):
        room.offer(batch(1))
    one.close()
    assert tails.bytes == weight(batch(1))
    other.close()
    assert tails.bytes == 0


def test_rooms_that_come_and_go_leave_nothing():
    """What remembers them is cleaned up from time to time."""
    tails = Tails(10_000_000)
    for _ in range(3000):
        (room,) = rooms(tails, 1)
        room.offer(batch(1))
        room.close()
    assert tails.bytes == 0
    assert len(tails._order) <= 1001
