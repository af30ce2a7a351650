"""Traces: the way of one entry from its acceptance to the sockets of every pod, as spans. Pure.

Owns: which entries are traced, the ids of their traces, and which spans there are: the root, named
by the operation (`send`, `join` …), from the acceptance of the write to its ack; below it `queue`,
until the transaction begins, `commit`, `publish`, and `deliver` on each pod that has its room open.
Where spans go is the business of `otel`. Without the setting no part has a `Traces`.

Nothing of it travels: the ids are a hash of what every pod knows of an entry (epoch, channel, seq),
and so is the choice, so each pod makes its own spans of the same trace. The choice is not made by
the trace's id but by a multiple of channel and seq (0.05 µs, where the hash takes 0.4), for it is
made for every entry on every pod; multiples of the golden ratio lie so evenly that of each
channel's entries very nearly one in N is chosen, and hardly two that follow each other.

Must never: hold content or anything else that users write, wait, or change what it looks at. An
entry that an earlier try stored (a retry found its nonce) has no root: the try may have made it.

What it costs a message, of some 23 µs on one core at the peak rate (a batch of 100 on one channel
through `Writer._answer` with one subscriber and a bus, CPython 3.11): off 0.02 µs of 1.0, which is
noise; one in 1000, 0.4; one in 100, 1.5; each one 66, and 60 more on the thread that sends.
"""

from collections.abc import Callable, Sequence
from enum import Enum
from hashlib import blake2b
from typing import NamedTuple

from rtchat.batch import Write
from rtchat.config import Config
from rtchat.envelope import Envelope
from rtchat.room import Room

# Two numbers whose multiples, modulo 1, lie evenly: the fractions of the golden ratio and root 2.
_SEQ, _CHANNEL = 0x9E3779B97F4A7C15, 0x6A09E667F3BCC909
_ALL = 1 << 64
STEP_NS = 100_000_000  # by less the wall's clock was not set: one of the two was read late
Clock = Callable[[], int]
Attributes = dict[str, str | int]


class Source(Enum):
    """What brought entries to a room."""

    COMMIT = "commit"  # this pod's own
    BUS = "bus"
    LOG = "log"  # a hole that was filled


class Trace(NamedTuple):
    """The ids of one entry's trace, and of its root."""

    id: int
    root: int


class Span(NamedTuple):
    """One step, over. A root has its id of the trace; the others are below it, with any id."""

    name: str
    trace: Trace
    root: bool
    start_ns: int  # since 1970
    end_ns: int
    attributes: Attributes


def trace_of(epoch: str, channel_id: int, seq: int) -> Trace:
    """The trace of an entry: the same on every pod, another for each entry of each history."""
    of = blake2b(f"{epoch}/{channel_id}/{seq}".encode(), digest_size=24).digest()
    # 0 would be no id; once in 2**64.
    return Trace(int.from_bytes(of[:16], "big") or 1, int.from_bytes(of[16:], "big") or 1)


def between(one: Clock, other: Clock) -> int:
    """By how much another clock is ahead, as of the reading that took the least time."""
    readings = []
    for _ in range(5):
        before, there, after = one(), other(), one()
        readings.append((after - before, there - (before + after) // 2))
    return min(readings)[1]


class Sample:
    """Chooses one entry in so many. Whoever chooses fewer chooses of the same."""

    __slots__ = ("_below",)

    def __init__(self, one_in: int) -> None:
        self._below = _ALL // one_in

    def has(self, channel_id: int, seq: int) -> bool:
        """Whether an entry is traced."""
        return (seq * _SEQ + channel_id * _CHANNEL) % _ALL < self._below

    def of(self, channel_id: int, seqs: range) -> list[int]:
        """Those of a channel's entries that are traced."""
        below, offset = self._below, channel_id * _CHANNEL
        return [seq for seq in seqs if (seq * _SEQ + offset) % _ALL < below]


class Traces:
    """Makes the spans of one pod; `emit` takes them, and must not raise.

    Times come from `now` (monotonic, as the loop's, which acceptance is told by), so that a step of
    the wall's clock turns no span around.
    """

    def __init__(
        self,
        config: Config,
        pod: str,
        epoch: Callable[[], str],
        emit: Callable[[Span], None],
        *,
        now: Clock,
        wall: Clock,
    ) -> None:
        self.now = now
        self._config = config
        self._pod = pod
        self._epoch = epoch
        self._emit = emit
        self._wall = wall
        self._offset_ns = between(now, wall)
        self._sample = Sample(config.trace_one_in)
        self._commit = (0, 0, 0)  # begin, end and rows of the transaction that is answered next

    def stored(self, began_ns: int, rows: int) -> None:
        """A transaction ends now; in this turn of the loop its writes are answered."""
        self._commit = began_ns, self.now(), rows

    def answered(self, writes: Sequence[Write], acked_ns: int) -> None:
        """These writes of the transaction were answered."""
        traced = self._sample.has
        for write in writes:
            if write.seq is not None and not write.known and traced(write.channel_id, write.seq):
                self._answered(write, write.seq, acked_ns)

    def _answered(self, write: Write, seq: int, acked_ns: int) -> None:
        began_ns, ended_ns, rows = self._commit
        # The loop's clock has whole milliseconds, of the turn's beginning: this is a little early.
        accepted_s = write.deadline - self._config.write_timeout_ms / 1000
        accepted_ns = min(int(accepted_s * 1e9), began_ns)
        lane = write.channel_id % self._config.lanes
        spans = self._spans(write.channel_id, seq)
        spans(write.op.name.lower(), accepted_ns, acked_ns, {"rtchat.user": write.user_id}, True)
        spans("queue", accepted_ns, began_ns, {})
        spans("commit", began_ns, ended_ns, {"rtchat.rows": rows, "rtchat.lane": lane})

    def published(self, envelope: Envelope, began_ns: int) -> None:
        """An envelope was handed to the bus."""
        seqs = range(envelope.first, envelope.last + 1)
        if chosen := self._sample.of(envelope.channel_id, seqs):
            ended_ns = self.now()
            told: Attributes = {
                "rtchat.entries": len(envelope.lengths),
                "rtchat.bytes": len(envelope.payload),
            }
            for seq in chosen:
                self._spans(envelope.channel_id, seq)("publish", began_ns, ended_ns, told)

    def offered(self, room: Room, envelope: Envelope, source: Source) -> bool:
        """Offer an envelope to a room, and tell whether it moved."""
        began_ns, cursor, live = self.now(), room.cursor, len(room.live)
        if not room.offer(envelope):
            return False
        if chosen := self._sample.of(room.channel_id, range(cursor + 1, room.cursor + 1)):
            ended_ns = self.now()
            told: Attributes = {
                "rtchat.pod": self._pod,
                "rtchat.source": source.value,
                "rtchat.subscribers": live,
                "rtchat.entries": room.cursor - cursor,
            }
            for seq in chosen:
                self._spans(room.channel_id, seq)("deliver", began_ns, ended_ns, told)
        return True

    def _spans(self, channel_id: int, seq: int) -> "_Spans":
        if abs(self._wall() - self.now() - self._offset_ns) > STEP_NS:
            self._offset_ns = between(self.now, self._wall)
        trace = trace_of(self._epoch(), channel_id, seq)
        entry: Attributes = {"rtchat.channel": channel_id, "rtchat.seq": seq}
        return _Spans(trace, entry, self._offset_ns, self._emit)


class _Spans(NamedTuple):
    """Makes the spans of one entry."""

    trace: Trace
    entry: Attributes
    offset_ns: int
    emit: Callable[[Span], None]

    def __call__(
        self, name: str, start_ns: int, end_ns: int, told: Attributes, root: bool = False
    ) -> None:
        start_ns, end_ns = start_ns + self.offset_ns, end_ns + self.offset_ns
        self.emit(Span(name, self.trace, root, start_ns, end_ns, {**self.entry, **told}))
