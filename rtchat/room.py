"""A room: the live side of one channel on one pod. Pure: what to write to whom, no I/O of its own.

Owns: the room's cursor (the last seq that its live subscribers have), who is live and who catches
up, the envelopes that wait behind a hole, and the tail of recent frames.

A subscription is in one of two states, and this one idea covers joining, resuming, slow clients and
a lost broker:
- *live*: its cursor is the room's; fan-out is a bare loop over the live writers;
- *catching up*: it has a cursor of its own and reads forward, from the tail or from the log, at the
  pace at which its socket drains. When its cursor meets the room's it goes live in the same step.

Before either it is *joining*: registered, so that an end of its membership is not missed, while its
membership is read. Nothing here survives a crash; all of it can be read from the log again.
"""

import itertools
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum, auto
from heapq import heapify, heappop, heappush
from typing import Protocol

from rtchat.envelope import Control, ControlKind, Envelope
from rtchat.measures import Delivering

ENVELOPE_BYTES = 200  # what an envelope takes besides its frames
# Stands for the seq of a tombstone that nobody can read any more: above that of any.
PURGED_SEQ = 2**53 - 1
_GONE = Envelope(0, 0, (), (), b"")  # in the place of one that was shed
Write = Callable[[bytes], None]


class Receiver(Protocol):
    """The socket behind a subscription, as far as a room knows it."""

    user_id: int
    write: Write


class State(Enum):
    """Where a subscription stands."""

    JOINING = auto()
    CATCHING_UP = auto()
    LIVE = auto()
    ENDED = auto()


class Subscription:
    """One connection's interest in one channel.

    `since`: the head at which its membership was read; what ended memberships before it is history.
    `ended_at`: the seq that ended its user's membership while it was joining.
    """

    __slots__ = ("cursor", "ended_at", "receiver", "room", "since", "state")

    def __init__(self, room: "Room", receiver: Receiver) -> None:
        self.room = room
        self.receiver = receiver
        self.state = State.JOINING
        self.cursor = 0
        self.since = 0
        self.ended_at = 0


OnEnded = Callable[[Subscription, ControlKind, int], None]
OnControl = Callable[[int, Control], None]  # by channel


def nobody(*_: object) -> None:
    """Nobody is to be told."""


class Room:
    """Keeps one channel's subscribers in order. `on_ended` is told whom a removal has ended, and
    `on_control` then of the removal."""

    __slots__ = (
        "_firsts", "_held", "_held_bytes", "_held_max", "_measures", "_on_control", "_on_ended",
        "_shed", "_tail", "_tails", "channel_id", "cursor", "head", "live", "others",
    )  # fmt: skip

    def __init__(
        self,
        channel_id: int,
        on_ended: OnEnded,
        tails: "Tails",
        held_max_bytes: int,
        measures: Delivering,
        on_control: OnControl = nobody,
    ) -> None:
        self._measures = measures  # shared by all rooms
        self._on_control = on_control
        self.channel_id = channel_id
        self.cursor = -1  # not open yet
        self.head = 0  # the highest seq that is known to exist
        self.live: dict[Subscription, Write] = {}
        self.others: set[Subscription] = set()  # joining or catching up
        self._on_ended = on_ended
        self._tails = tails
        self._held: dict[int, Envelope] = {}  # by first seq
        self._firsts: list[int] = []  # a heap of these: thousands may wait, each a message
        self._held_bytes = 0
        self._held_max = held_max_bytes
        self._tail: list[Envelope] = []  # a list, to be searched by halves; its head is dropped
        self._shed = 0  # how many of its first are gone

    def __repr__(self) -> str:
        return (
            f"<Room {self.channel_id} at {self.cursor}/{self.head}: {len(self.live)} live,"
            f" {len(self.others)} others, {len(self._held)} held>"
        )

    @property
    def is_open(self) -> bool:
        """Whether the room has a cursor; before that it only holds what arrives."""
        return self.cursor >= 0

    @property
    def empty(self) -> bool:
        """Whether nobody is here."""
        return not (self.live or self.others)

    @property
    def subscribers(self) -> int:
        """How many are here, in whatever state."""
        return len(self.live) + len(self.others)

    @property
    def has_tail(self) -> bool:
        """Whether recent frames are kept."""
        return len(self._tail) > self._shed

    @property
    def behind(self) -> bool:
        """Whether entries are known to exist that the room does not have yet."""
        return self.head > self.cursor

    # --- order

    def open(self, head: int) -> None:
        """Begin behind `head`, which was read after the bus had confirmed the subscription."""
        self.cursor = head
        self.head = max(self.head, head)  # an envelope from before may have told of more
        self._take_held()

    def note_head(self, head: int) -> None:
        """Learn that the log goes up to `head` at least."""
        self.head = max(self.head, head)

    def offer(self, envelope: Envelope) -> bool:
        """Take an envelope: deliver what continues the room, keep what is ahead, drop the rest.

        Tells whether the room moved.
        """
        if envelope.last <= self.cursor:
            return False
        self.head = max(self.head, envelope.last)
        if not self.is_open or envelope.first > self.cursor + 1:
            self._hold(envelope)
            return False
        self._advance(envelope.after(self.cursor))
        self._take_held()
        return True

    def lacks(self, last: int) -> int:
        """How many of the entries up to `last` neither went out nor wait here behind a hole."""
        waiting = (
            min(e.last, last) - max(e.first, self.cursor + 1) + 1 for e in self._held.values()
        )
        return max(0, last - self.cursor - sum(n for n in waiting if n > 0))

    def forget_beyond(self, head: int) -> None:
        """The log ends at `head`: whatever claims more is not true."""
        self.head = max(self.cursor, head)
        self._held = {first: e for first, e in self._held.items() if e.last <= self.head}
        self._firsts = list(self._held)
        heapify(self._firsts)
        self._held_bytes = sum(map(weight, self._held.values()))

    def _hold(self, envelope: Envelope) -> None:
        if self._held_bytes + weight(envelope) > self._held_max:
            return  # the log has it
        old = self._held.get(envelope.first)
        if old is None:
            heappush(self._firsts, envelope.first)
        elif old.last >= envelope.last:
            return
        self._held[envelope.first] = envelope
        self._held_bytes += weight(envelope) - (weight(old) if old else 0)

    def _take_held(self) -> None:
        while self._firsts and self._firsts[0] <= self.cursor + 1:
            envelope = self._held.pop(heappop(self._firsts))
            self._held_bytes -= weight(envelope)
            if envelope.last > self.cursor:
                self._advance(envelope.after(self.cursor))

    def _advance(self, envelope: Envelope) -> None:
        """Deliver what continues the room. Cut where a control ends somebody's subscription."""
        payload, written = envelope.payload, 0
        for control in envelope.controls:
            end = envelope.offset(control.index + 1)
            at = envelope.first + control.index
            self._fan_out(payload[written:end], at - self.cursor)
            written = end
            self.cursor = at
            self._end(control, at)
        self._fan_out(payload[written:] if written else payload, envelope.last - self.cursor)
        self.cursor = envelope.last
        self._tail.append(envelope)
        self._tails.added(self, weight(envelope))

    def _fan_out(self, frames: bytes, entries: int) -> None:
        if frames:
            for write in self.live.values():
                write(frames)
            self._measures.live += entries * len(self.live)
            self._measures.written_bytes += len(frames) * len(self.live)

    def _end(self, control: Control, seq: int) -> None:
        everybody = control.kind is ControlKind.DELETED
        for group in (self.live, self.others):
            for sub in [s for s in group if everybody or s.receiver.user_id == control.user_id]:
                if sub.state is State.JOINING:
                    sub.ended_at = seq
                elif sub.since < seq:
                    self._on_ended(sub, control.kind, seq)
        self._on_control(self.channel_id, control)

    # --- subscriptions

    def register(self, receiver: Receiver) -> Subscription:
        """Add a joining subscription."""
        sub = Subscription(self, receiver)
        self.others.add(sub)
        return sub

    def remove(self, sub: Subscription) -> None:
        """Take a subscription out, whatever its state."""
        self.live.pop(sub, None)
        self.others.discard(sub)
        sub.state = State.ENDED

    def catch_up(self, sub: Subscription, cursor: int) -> None:
        """Let a joining subscription read on behind `cursor`."""
        sub.cursor = cursor
        sub.state = State.CATCHING_UP

    def fall_behind(self, sub: Subscription) -> None:
        """Take a live subscription out of the fan-out; it has all up to the room's cursor."""
        del self.live[sub]
        sub.cursor = self.cursor
        sub.state = State.CATCHING_UP
        self.others.add(sub)

    def go_live(self, sub: Subscription) -> None:
        """Put a subscription that has caught up into the fan-out."""
        assert sub.cursor == self.cursor
        self.others.discard(sub)
        sub.state = State.LIVE
        self.live[sub] = sub.receiver.write

    # --- the tail

    def tail_after(self, cursor: int, max_bytes: int) -> tuple[bytes, int] | None:
        """Recent frames behind `cursor` and the seq of the last; None when the log must be read.

        At least one envelope, and further ones while they fit into `max_bytes`.
        """
        tail = self._tail
        if not self.has_tail or tail[self._shed].first > cursor + 1 or cursor >= self.cursor:
            return None
        parts: list[bytes] = []
        size = 0
        begin = bisect_right(tail, cursor, lo=self._shed, key=_last)
        for envelope in itertools.islice(tail, begin, None):
            part = envelope.after(cursor)
            if parts and size + len(part.payload) > max_bytes:
                break
            parts.append(part.payload)
            size += len(part.payload)
            cursor = part.last
        return b"".join(parts), cursor

    @property
    def kept_from(self) -> int:
        """The first seq that the tail has, or will have."""
        return self._tail[self._shed].first if self.has_tail else self.cursor + 1

    def prepend(self, envelopes: Sequence[Envelope]) -> bool:
        """Put what was read of the log before the tail; only if it ends where the tail begins."""
        if not self.is_open or not envelopes or envelopes[-1].last + 1 != self.kept_from:
            return False
        self._tail[: self._shed] = envelopes
        self._shed = 0
        self._tails.added(self, *map(weight, envelopes))
        return True

    def shed_oldest(self) -> int:
        """Drop the oldest envelope of the tail; returns its weight in bytes."""
        if not self.has_tail:
            return 0
        oldest = self._tail[self._shed]
        self._tail[self._shed] = _GONE  # now: below, its frames could stay for long
        self._shed += 1
        if self._shed > 64 and self._shed * 2 > len(self._tail):  # cheap, seen over all calls
            del self._tail[: self._shed]
            self._shed = 0
        return weight(oldest)

    def close(self) -> None:
        """Keep nothing any more, whatever may still be read for this room."""
        self.cursor = -1
        self._held.clear()
        self._firsts.clear()
        self._held_bytes = 0
        self._tails.closed(self, sum(map(weight, self._tail[self._shed :])))
        self._tail.clear()
        self._shed = 0


def _last(envelope: Envelope) -> int:
    return envelope.last


def weight(envelope: Envelope) -> int:
    """What an envelope that is kept takes, in bytes."""
    return len(envelope.payload) + ENVELOPE_BYTES


class Tails:
    """The bound on what the tails of all rooms hold together: beyond it the oldest frames go."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        # A room for each envelope in a tail, in the order in which they came there. In its turn a
        # room sheds its first one, which may have been put before the others later.
        self._order: deque[Room] = deque()
        self._stale = 0  # of those, how many belong to closed rooms
        self.bytes = 0

    def added(self, room: Room, *sizes: int) -> None:
        """A room's tail grew, by an envelope of each of these sizes."""
        for size in sizes:
            self._order.append(room)
            self.bytes += size
        while self.bytes > self._max_bytes and self._order:
            self.bytes -= self._order.popleft().shed_oldest()

    def closed(self, room: Room, size: int) -> None:
        """A room gave up its tail."""
        self.bytes -= size
        self._stale += 1
        if self._stale > 1000:
            self._order = deque(r for r in self._order if r.has_tail)
            self._stale = 0
