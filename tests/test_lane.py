"""A lane loses no write, keeps each channel's order, and lets no channel stall the others."""

import math

from hypothesis import Phase, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from rtchat.batch import Op, Write
from rtchat.lane import PASS_OVER_S, Batch, Lane

A, B, C = 1, 2, 3


def write(channel: int = A, size: int = 64, deadline: float = math.inf) -> Write:
    made = Write(Op.SEND, channel, 42, "n", lambda _: None, content="x" * (size - 64))
    assert made.size == size
    made.deadline = deadline
    return made


def lane_of(*writes: Write, max_rows: int = 100, max_bytes: int = 10_000, skips: int = 2) -> Lane:
    lane = Lane(max_rows=max_rows, max_bytes=max_bytes, skips=skips)
    for w in writes:
        lane.offer(w)
    return lane


def take(lane: Lane, now: float = 0.0) -> Batch:
    batch = lane.take(now)
    assert batch is not None
    return batch


def pass_over(lane: Lane, now: float) -> Batch:
    """Take a batch and find all of its channels locked."""
    batch = take(lane, now)
    lane.pass_over(batch.writes, now)
    lane.settle(batch)
    return batch


# --- batches


def test_an_empty_lane_has_nothing_to_do():
    lane = lane_of()
    assert not lane
    assert lane.take(0.0) is None
    assert lane.next_turn() is None
    assert repr(lane) == "<Lane 0 waiting, 0 held, 0 unsettled>"


def test_what_waits_is_taken_in_the_order_of_arrival():
    writes = [write(A), write(A), write(B), write(A)]
    lane = lane_of(*writes)
    assert lane
    batch = take(lane)
    assert [w for w in batch.writes if w.channel_id == A] == [writes[0], writes[1], writes[3]]
    assert sorted(map(id, batch.writes)) == sorted(map(id, writes))
    assert not batch.wait
    assert not lane


def test_a_batch_is_bounded_in_rows():
    lane = lane_of(*[write() for _ in range(5)], max_rows=2)
    assert [len(take(lane).writes) for _ in range(3)] == [2, 2, 1]


def test_a_batch_passes_its_bound_in_bytes_by_less_than_one_write():
    lane = lane_of(*[write(size=100) for _ in range(5)], max_bytes=150)
    assert [len(take(lane).writes) for _ in range(3)] == [2, 2, 1]


def test_a_write_larger_than_a_batch_is_taken_alone():
    lane = lane_of(write(size=1000), write(), max_bytes=150)
    assert [len(take(lane).writes) for _ in range(2)] == [1, 1]


def test_a_busy_channel_goes_to_the_end_of_the_line():
    lane = lane_of(*[write(A) for _ in range(4)], write(B), write(C), max_rows=2)
    taken = [[w.channel_id for w in take(lane).writes] for _ in range(3)]
    assert taken == [[A, A], [B, C], [A, A]]


def test_what_was_taken_and_is_not_stored_goes_to_the_front():
    first, second, third = write(), write(), write()
    lane = lane_of(first, second)
    batch = take(lane)
    lane.offer(third)
    lane.put_back(batch.writes)
    assert take(lane).writes == [first, second, third]


# --- channels that another pod holds locked


def test_a_locked_channel_waits_and_the_others_go_on():
    lane = lane_of(write(A))
    pass_over(lane, now=10.0)
    lane.offer(write(B))
    assert [w.channel_id for w in take(lane, 10.0).writes] == [B]
    assert lane.take(10.0) is None
    assert lane.next_turn() == 10.0 + PASS_OVER_S
    assert [w.channel_id for w in take(lane, 10.0 + PASS_OVER_S).writes] == [A]


def test_the_wait_doubles_each_time():
    lane, now, waits = lane_of(write(), skips=3), 0.0, []
    for _ in range(3):
        pass_over(lane, now)
        turn = lane.next_turn()
        assert turn is not None
        waits.append(turn - now)
        now = turn
    assert [round(wait / PASS_OVER_S) for wait in waits] == [1, 2, 4]


def test_a_channel_passed_over_often_enough_is_waited_for_alone():
    """While we wait for its lock, no other may be held."""
    lane, now = lane_of(write(A), write(B), skips=2), 0.0
    for _ in range(3):
        batch = take(lane, now)
        assert not batch.wait
        lane.put_back(w for w in batch.writes if w.channel_id == B)
        lane.pass_over([w for w in batch.writes if w.channel_id == A], now)
        lane.settle(batch)
        now = lane.next_turn() or now
    batch = take(lane, now)
    assert batch.wait
    assert {w.channel_id for w in batch.writes} == {A}


def test_a_channel_locked_without_trouble_has_no_past():
    lane = lane_of(write(), skips=0)
    pass_over(lane, 0.0)
    batch = take(lane, 1.0)
    assert batch.wait
    lane.offer(write())
    lane.release([A])
    lane.settle(batch)
    assert not take(lane, 1.0).wait


def test_a_channel_of_which_nothing_waits_is_not_held():
    """Or every channel that was ever found locked would be remembered for ever."""
    lane = lane_of(write(deadline=1.0))
    pass_over(lane, 0.0)
    assert len(lane.expired(2.0)) == 1
    assert repr(lane) == "<Lane 0 waiting, 0 held, 0 unsettled>"


# --- open outcomes


def test_a_channel_is_unsettled_while_its_batch_is_under_way():
    lane = lane_of(write(A), write(B))
    batch = take(lane)
    assert lane.unsettled == {A, B}
    lane.settle(batch)
    assert lane.unsettled == set()


def test_a_channel_stays_unsettled_until_every_lost_outcome_is_known():
    """An ack comes before its `msg` (contract §1.3): the hub waits for it before it reads the log.

    The answer to COMMIT was lost; the second batch holds only a part of the first.
    """
    lane = lane_of(write(A), write(A), write(A), max_rows=3)
    unknown = take(lane)
    lane.offer(write(B))
    lane.put_back(unknown.writes)
    second = take(lane)
    assert [w.channel_id for w in second.writes] == [B, A, A]
    lane.settle(second)
    assert lane.unsettled == {A}
    lane.settle(take(lane))
    assert lane.unsettled == set()


# --- deadlines


def test_late_writes_are_taken_out_and_the_others_stay():
    writes = [write(A, deadline=1.0), write(A, deadline=3.0), write(B, deadline=2.0)]
    lane = lane_of(*writes)
    assert lane.expired(0.5) == []
    assert lane.expired(2.0) == [writes[0], writes[2]]
    assert take(lane).writes == [writes[1]]


def test_what_is_under_way_can_be_overdue_and_stays_under_way():
    writes = [write(A, deadline=1.0), write(B, deadline=3.0), write(B, deadline=9.0)]
    lane = lane_of(*writes)
    batch = take(lane)
    assert lane.overdue(0.5) == []
    assert lane.expired(2.0) == []
    assert lane.overdue(2.0) == [writes[0]]
    assert set(lane.overdue(4.0)) == set(writes[:2])
    assert lane.unsettled == {A, B}
    lane.settle(batch)
    assert lane.overdue(4.0) == []


# --- all together


class Writer(RuleBasedStateMachine):
    """What a writer does with its lane, at random, and what the database answers.

    `open` has, by channel and in order of arrival, each write that was accepted and not answered.
    """

    MAX_ROWS, MAX_BYTES = 4, 400

    def __init__(self) -> None:
        super().__init__()
        self.lane = Lane(max_rows=self.MAX_ROWS, max_bytes=self.MAX_BYTES, skips=1)
        self.now = 0.0
        self.open: dict[int, list[Write]] = {}
        self.unknown: set[Write] = set()  # of those, the ones that may be stored already
        self.batch: Batch | None = None

    def answer(self, writes: list[Write]) -> None:
        for w in writes:
            assert self.open[w.channel_id].pop(0) is w  # in order, and only once
            self.unknown.discard(w)
        self.open = {channel: waiting for channel, waiting in self.open.items() if waiting}

    def taken(self) -> Batch:
        assert self.batch is not None
        batch, self.batch = self.batch, None
        return batch

    @rule(channel=st.sampled_from([A, B, C]), size=st.sampled_from([64, 200]), n=st.integers(1, 3))
    def offer(self, channel: int, size: int, n: int) -> None:
        for _ in range(n):
            w = write(channel, size, self.now + 1.0)
            self.lane.offer(w)
            self.open.setdefault(channel, []).append(w)

    @rule(seconds=st.sampled_from([0.001, 0.002, 0.01, 0.5]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.batch is None)
    @rule()
    def take(self) -> None:
        batch = self.batch = self.lane.take(self.now)
        if batch is None:
            turn = self.lane.next_turn()
            assert (turn is None) is (not self.open)
            assert turn is None or turn > self.now
            return
        by_channel: dict[int, list[Write]] = {}
        for w in batch.writes:
            by_channel.setdefault(w.channel_id, []).append(w)
        for channel, writes in by_channel.items():
            assert writes == self.open[channel][: len(writes)]
        assert 0 < len(batch.writes) <= self.MAX_ROWS
        assert sum(w.size for w in batch.writes[:-1]) < self.MAX_BYTES
        assert not batch.wait or len(by_channel) == 1

    @precondition(lambda self: self.batch)
    @rule(data=st.data())
    def some_were_locked(self, data: st.DataObject) -> None:
        batch = self.taken()
        channels = {w.channel_id for w in batch.writes}
        locked = data.draw(st.sets(st.sampled_from(sorted(channels))))
        self.lane.release(channels - locked)
        self.lane.pass_over([w for w in batch.writes if w.channel_id in locked], self.now)
        self.answer([w for w in batch.writes if w.channel_id not in locked])
        self.lane.settle(batch)

    @precondition(lambda self: self.batch)
    @rule()
    def it_failed(self) -> None:
        batch = self.taken()
        self.lane.put_back(batch.writes)
        self.lane.settle(batch)

    @precondition(lambda self: self.batch)
    @rule()
    def its_outcome_is_unknown(self) -> None:
        """Nothing is settled: the channels' logs may have more than was answered."""
        batch = self.taken()
        self.lane.put_back(batch.writes)
        self.unknown.update(batch.writes)

    @precondition(lambda self: self.batch)
    @rule()
    def it_is_stored(self) -> None:
        batch = self.taken()
        self.lane.release({w.channel_id for w in batch.writes})
        self.answer(batch.writes)
        self.lane.settle(batch)

    @precondition(lambda self: self.batch)
    @rule()
    def it_is_refused(self) -> None:
        """The disk is full, say; of locks nothing was learnt."""
        batch = self.taken()
        self.answer(batch.writes)
        self.lane.settle(batch)

    @precondition(lambda self: self.batch is None)
    @rule()
    def give_up_on_late_writes(self) -> None:
        late = self.lane.expired(self.now)
        assert all(w.deadline <= self.now for w in late)
        self.answer(late)
        assert all(w.deadline > self.now for waiting in self.open.values() for w in waiting)

    @invariant()
    def no_write_is_lost(self) -> None:
        taken = len(self.batch.writes) if self.batch else 0
        waiting = sum(map(len, self.open.values())) - taken
        assert repr(self.lane).startswith(f"<Lane {waiting} waiting, ")
        assert bool(self.lane) is (waiting > 0)

    @invariant()
    def what_may_be_stored_unanswered_is_unsettled(self) -> None:
        """And nothing else: somebody waits for it."""
        under_way = {w.channel_id for w in self.batch.writes} if self.batch else set()
        assert set(self.lane.unsettled) == under_way | {w.channel_id for w in self.unknown}

    @invariant()
    def only_what_waits_is_held(self) -> None:
        held = int(repr(self.lane).split(", ")[1].removesuffix(" held"))
        assert held <= len(self.open)

    def teardown(self) -> None:
        """With the database well again, everything is answered, in few batches."""
        if self.batch:
            self.it_is_stored()
        for _ in range(2 * sum(map(len, self.open.values())) + 1):
            self.take()
            if self.batch:
                self.it_is_stored()
            else:
                self.now = self.lane.next_turn() or self.now
        assert not self.open
        assert not self.lane
        assert not self.lane.unsettled


Writer.TestCase.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None, derandomize=True,
    phases=(Phase.generate, Phase.shrink),
)  # fmt: skip
TestWriter = Writer.TestCase
