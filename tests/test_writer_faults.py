"""Whatever fails while a batch is stored: each write once, in the order of sending, and answered.

The database is a ledger in memory on which the real decisions are made; its faults are drawn at
random. The same on a real PostgreSQL, with real faults, is in test_writer.
"""

import asyncio
from collections.abc import Sequence

import pytest
from asyncpg import exceptions as pg
from hypothesis import example, given, settings, strategies as st

from rtchat.batch import Decision, Known, Write, decide
from rtchat.config import Config
from rtchat.envelope import Envelope
from rtchat.model import LogEntry
from rtchat.store.log import CommitUnknownError, LogWriter
from rtchat.writer import Writer
from tests.ledgers import CH, MEMBER, SECOND, book, outcome, send

LOST_BEFORE, LOST_BEHIND, LOCKED, DEADLOCK, BROKEN, FINE = range(6)
POISON = "poison"  # content that no database would take


class MemoryLog(LogWriter):
    """One connection to a ledger that all connections share; `faults` happen one a batch."""

    def __init__(self, faults: list[int]) -> None:
        self.faults = faults
        self.ledger = book()
        self.stored: list[LogEntry] = []
        self.up = True

    async def open(self) -> LogWriter:
        self.up = True
        return self

    @property
    def usable(self) -> bool:
        return self.up

    def terminate(self) -> None:
        self.up = False

    async def store(self, writes: Sequence[Write], *, wait: bool) -> Decision:
        await asyncio.sleep(0)
        if any(w.content == POISON for w in writes):
            raise pg.DataError("not to be stored")
        fault = self.faults.pop(0) if self.faults else FINE
        if fault == LOCKED:
            raise pg.LockNotAvailableError("locked")
        if fault == DEADLOCK:
            raise pg.DeadlockDetectedError("deadlock")
        if fault in (BROKEN, LOST_BEFORE):
            self.up = False
            raise ConnectionResetError if fault == BROKEN else CommitUnknownError
        decision = decide(writes, self.ledger)
        for e in decision.entries:
            assert e.nonce is not None
            self.ledger.known[e.channel_id, e.user_id, e.nonce] = Known(
                e.seq, e.ts, e.kind, e.content, e.target
            )
        self.stored += decision.entries
        if fault == LOST_BEHIND:
            self.up = False
            raise CommitUnknownError
        return decision


class Run:
    """Sends to two channels in a few waves, and what became of them."""

    def __init__(self, waves: list[list[tuple[int, bool]]], faults: list[int]) -> None:
        self.log = MemoryLog(faults)
        self.answered: list[Write] = []
        self.delivered: list[Envelope] = []
        numbers = iter(range(1000))
        self.waves = [
            [send(MEMBER, content=POISON if bad else f"{next(numbers)}", channel=ch)
             for ch, bad in wave]
            for wave in waves
        ]  # fmt: skip
        self.writes = [w for wave in self.waves for w in wave]
        for w in self.writes:
            w.done = self.answered.extend

    async def run(self) -> None:
        config = Config(lanes=1, batch_max_rows=4, write_timeout_ms=20_000)
        writer = Writer(config, self.log.open, self.delivered.append, lambda *_: None)
        writer.start()
        try:
            for wave in self.waves:
                for w in wave:
                    writer.submit(w)
                await asyncio.sleep(0)
            await writer.drain(10)
        finally:
            await writer.close()

    def contents(self, channel: int) -> list[str | None]:
        good = (w for w in self.writes if w.content != POISON)
        return [w.content for w in good if w.channel_id == channel]


waves = st.lists(
    st.lists(
        st.tuples(st.sampled_from([CH, CH, SECOND]), st.sampled_from([False] * 5 + [True])),
        max_size=6,
    ),
    max_size=3,
)
faults = st.lists(st.sampled_from([LOST_BEFORE, LOST_BEHIND, LOCKED, DEADLOCK, BROKEN, FINE]))
GOOD, BAD = (CH, False), (CH, True)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(waves, faults.filter(lambda drawn: len(drawn) < 8))
@example([[GOOD, GOOD, BAD, GOOD]], [DEADLOCK])
@example([[GOOD, GOOD, BAD, GOOD]], [LOCKED])
@example([[GOOD, GOOD, BAD, GOOD]], [LOST_BEHIND])
@example([[GOOD, GOOD, BAD, GOOD]], [BROKEN])
def test_each_write_is_stored_once_in_the_order_of_sending(
    waves: list[list[tuple[int, bool]]], faults: list[int]
):
    """Contract §1.3. A write that cannot be stored fails alone."""
    run = Run(waves, list(faults))
    asyncio.run(run.run())
    for channel in (CH, SECOND):
        stored = [e for e in run.log.stored if e.channel_id == channel]
        assert [e.content for e in stored] == run.contents(channel)
        assert [w.content for w in run.answered if w.channel_id == channel and w.seq] == (
            run.contents(channel)
        )
    assert len(run.answered) == len(run.writes)
    for w in run.writes:
        assert outcome(w) == ("internal" if w.content == POISON else "stored")


@pytest.mark.parametrize("fault", [LOST_BEFORE, LOST_BEHIND, LOCKED, DEADLOCK, BROKEN])
def test_one_fault_is_not_noticed_by_whoever_sends(fault: int):
    run = Run([[GOOD, GOOD], [GOOD]], [fault])
    asyncio.run(run.run())
    assert [outcome(w) for w in run.writes] == ["stored"] * 3
    assert [w.seq for w in run.writes] == [11, 12, 13]


async def test_on_a_busy_channel_settled_waits_for_what_was_under_way_alone():
    """There is always another batch: whoever opens a room there must not wait for a pause."""
    writer = Writer(Config(lanes=1), MemoryLog([]).open, lambda _: None, lambda *_: None)
    numbers, answered = iter(range(1_000_000)), 0
    busy = True

    def submit() -> None:
        w = send(MEMBER, content=f"{next(numbers)}")
        w.done = done
        writer.submit(w)

    def done(writes: list[Write]) -> None:
        nonlocal answered
        answered += len(writes)
        if busy:
            submit()

    writer.start()
    try:
        submit()
        while answered < 10:
            await asyncio.sleep(0)
        before = answered
        await writer.settled(CH, 3)
        assert answered - before < 10
    finally:
        busy = False
        await writer.close()


class HeldElsewhere(MemoryLog):
    """Another pod always has CH locked when it is asked for; whoever waits gets it."""

    async def store(self, writes: Sequence[Write], *, wait: bool) -> Decision:
        self.ledger.locked = {CH, SECOND} if wait else {SECOND}
        return await super().store(writes, wait=wait)


async def test_other_channels_do_not_make_a_lane_forget_what_is_held_elsewhere():
    """Or a channel whose commit's answer was lost would be passed over as long as others write."""
    log = HeldElsewhere([LOST_BEFORE])
    writer = Writer(Config(lanes=1, lock_skips=2), log.open, lambda _: None, lambda *_: None)
    stored = asyncio.Event()

    def again(_: list[Write]) -> None:
        if not stored.is_set():
            other = send(MEMBER, channel=SECOND)
            other.done = again
            writer.submit(other)

    held = send(MEMBER)
    held.done = lambda _: stored.set()
    writer.start()
    try:
        writer.submit(held)
        again([])
        async with asyncio.timeout(2):
            await stored.wait()
        assert outcome(held) == "stored"
    finally:
        stored.set()
        await writer.close()
