"""What a pod tells the other pods of one channel's batch: ready-made frames, passed on unread.

Owns: the envelope's form, in memory and in bytes. Must never: look into a frame. It comes from the
network, so `Envelope.parse` checks every length before it believes one.

In bytes, big-endian: version (1), flags (1, zero), entries n (2), controls m (2), history (4),
channel id (8), first seq (8), n frame lengths (4 each), m controls (index 2, kind 1, user 8), then
the frames.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from itertools import chain

VERSION = 2
ENTRIES_MAX = 4096  # of the 65 535 that the header could count
HEADER = struct.Struct("!BBHHIQQ")
_CONTROL = struct.Struct("!HBQ")
_SEQ_MAX = 2**53 - 1


class ControlKind(IntEnum):
    """What ends a subscription."""

    LEFT = 1
    REMOVED = 2
    DELETED = 3  # the channel; of everybody in it


@dataclass(frozen=True, slots=True)
class Control:
    """The entry at `index` of the batch ends `user_id`'s membership, or everybody's."""

    index: int
    kind: ControlKind
    user_id: int


class BadEnvelopeError(ValueError):
    """Bytes from the bus that are no envelope."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """Consecutive entries of one channel, as frames."""

    channel_id: int
    first: int  # seq of the first entry
    lengths: tuple[int, ...]  # of each entry's frame; 0: an entry without one
    controls: tuple[Control, ...]
    payload: bytes  # the frames, joined
    history: int = 0  # tells one epoch's envelopes from another's (`history_of`); 0: not told

    @property
    def last(self) -> int:
        """The seq of the last entry."""
        return self.first + len(self.lengths) - 1

    def offset(self, index: int) -> int:
        """Where in the payload the frame of entry `index` begins."""
        return sum(self.lengths[:index])

    def after(self, seq: int) -> "Envelope":
        """The part behind `seq`, which must lie inside: first - 1 <= seq < last."""
        skip = seq + 1 - self.first
        if skip <= 0:
            return self
        controls = tuple(
            Control(c.index - skip, c.kind, c.user_id) for c in self.controls if c.index >= skip
        )
        rest = self.payload[self.offset(skip) :]
        return Envelope(self.channel_id, seq + 1, self.lengths[skip:], controls, rest, self.history)

    def __bytes__(self) -> bytes:
        return self.stamped(self.history)

    def stamped(self, history: int) -> bytes:
        """What other pods are told, as of this history."""
        n, m = len(self.lengths), len(self.controls)
        parts = [HEADER.pack(VERSION, 0, n, m, history, self.channel_id, self.first)]
        parts.append(struct.pack(f"!{n}I", *self.lengths))
        parts += [_CONTROL.pack(c.index, c.kind, c.user_id) for c in self.controls]
        parts.append(self.payload)
        return b"".join(parts)

    @staticmethod
    def place(data: bytes) -> tuple[int, int]:
        """The channel and the last seq that these bytes claim, the rest of them unread: half of
        what comes is one's own, and known (0.4 µs, where `parse` takes 3). Raises BadEnvelopeError.
        """
        try:
            _, _, n, _, _, channel_id, first = HEADER.unpack_from(data)
        except struct.error as error:
            raise BadEnvelopeError(str(error)) from None
        return channel_id, first + n - 1

    @classmethod
    def parse(cls, data: bytes) -> "Envelope":
        """Read what `bytes(envelope)` wrote. Raises BadEnvelopeError on anything else."""
        try:
            return cls._parse(data)
        except (struct.error, ValueError) as error:
            raise BadEnvelopeError(str(error)) from None

    @classmethod
    def _parse(cls, data: bytes) -> "Envelope":
        version, flags, n, m, history, channel_id, first = HEADER.unpack_from(data)
        if version != VERSION or flags or not 0 < n <= ENTRIES_MAX:
            raise ValueError(f"version {version}, flags {flags}, {n} entries")
        if not (0 < channel_id <= _SEQ_MAX and 0 < first <= _SEQ_MAX - n):
            raise ValueError("numbers out of range")
        at = HEADER.size
        lengths = struct.unpack_from(f"!{n}I", data, at)
        at += 4 * n
        controls: list[Control] = []
        for _ in range(m):
            index, kind, user_id = _CONTROL.unpack_from(data, at)
            if index >= n or (controls and index < controls[-1].index):
                raise ValueError("controls out of order, or behind the last entry")
            controls.append(Control(index, ControlKind(kind), user_id))
            at += _CONTROL.size
        payload = data[at:]
        if sum(lengths) != len(payload):
            raise ValueError("the frames are not as long as they say")
        return cls(channel_id, first, lengths, tuple(controls), payload, history)


def joined(envelopes: Iterable[Envelope], max_bytes: int) -> Iterator[Envelope]:
    """Make one envelope of those that continue each other, of `max_bytes` at most if it is of
    several. Those of one channel stay in their order; nothing is known of others.
    """
    runs: dict[int, tuple[list[Envelope], int]] = {}  # and their bytes
    for envelope in envelopes:
        run, size = runs.get(envelope.channel_id, ([], 0))
        size += len(envelope.payload)
        if run and not (size <= max_bytes and _continues(run[-1], envelope)):
            yield _join(run)
            run, size = [], len(envelope.payload)
        run.append(envelope)
        runs[envelope.channel_id] = run, size
    for run, _ in runs.values():
        yield _join(run)


def _continues(one: Envelope, other: Envelope) -> bool:
    return one.last + 1 == other.first and one.history == other.history


def _join(run: list[Envelope]) -> Envelope:
    begin = run[0]
    if len(run) == 1:
        return begin
    controls = tuple(
        Control(e.first - begin.first + c.index, c.kind, c.user_id) for e in run for c in e.controls
    )
    return Envelope(
        begin.channel_id,
        begin.first,
        tuple(chain.from_iterable(e.lengths for e in run)),
        controls,
        b"".join([e.payload for e in run]),
        begin.history,
    )


def history_of(epoch: str) -> int:
    """A number for an epoch, in which two of them differ but for one case in four billion."""
    return zlib.crc32(epoch.encode()) or 1
