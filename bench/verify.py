"""What must be true after a replay, and the first thing that is not. Pure.

Each check returns None, or a sentence with the first difference: channel, place, what was expected
and what was found. Texts are compared as they are, so that one changed byte shows.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple


class Said(NamedTuple):
    """A line as it was said, acknowledged, stored or delivered."""

    seq: int
    user: int
    text: str


class Seen(NamedTuple):
    """An entry of the log as it was delivered; `said` is None where it is no message."""

    seq: int
    said: Said | None


class Run(NamedTuple):
    """What a follower noted of the entries behind `start`: the last one's seq, how many there were
    (one by one, or `broken` says where not), and a sum over the messages.
    """

    start: int
    last: int
    number: int
    total: int
    broken: str | None = None


class Channel(NamedTuple):
    """All that is known of one channel: what people wanted to say, and what became of it."""

    name: str
    spoken: Sequence[tuple[int, str]]  # user and text, in the order of the input
    acked: Sequence[Said]  # in the order of saying
    stored: Sequence[Said]  # in the order of the log
    observers: Sequence[Sequence[Seen]]
    followers: Mapping[str, Run]


def differences(channel: Channel) -> list[str]:
    """Check everything: said as it stands in the input, stored as said, delivered as stored."""
    where, stored = channel.name, channel.stored
    acked = [(said.user, said.text) for said in channel.acked]
    sums = Sums(stored)
    found = [
        same(f"{where}, said", channel.spoken, acked),
        ascending(f"{where}, acks", channel.acked),
        same(f"{where}, stored", channel.acked, stored),
        *(observed(f"{where}, observer {n}", stored, seen) for n, seen in _numbered(channel)),
        *(sums.check(f"{where}, {name}", run) for name, run in channel.followers.items()),
    ]
    return [difference for difference in found if difference is not None]


def _numbered(channel: Channel) -> Iterator[tuple[int, Sequence[Seen]]]:
    return enumerate(channel.observers, start=1)


def same(where: str, expected: Sequence[object], found: Sequence[object]) -> str | None:
    """Compare two lists, place by place."""
    for place, (e, f) in enumerate(zip(expected, found, strict=False), start=1):
        if e != f:
            return f"{where}, message {place}: expected {_show(e)}, found {_show(f)}"
    common = min(len(expected), len(found))
    if len(expected) > common:
        return f"{where}: only {common} of {len(expected)}; missing: {_show(expected[common])}"
    if len(found) > common:
        return f"{where}: {len(found)} for {common}; too much: {_show(found[common])}"
    return None


def ascending(where: str, acked: Sequence[Said]) -> str | None:
    """A channel's acks, in the order of saying, must name rising seqs."""
    for before, after in itertools.pairwise(acked):
        if after.seq <= before.seq:
            return f"{where}: {_show(after)} was acknowledged behind {_show(before)}"
    return None


def dense(where: str, seen: Sequence[Seen], last: int) -> str | None:
    """An observer from the beginning must have each seq once, in order, up to the last."""
    for expected, entry in enumerate(seen, start=1):
        if entry.seq != expected:
            return f"{where}: expected seq {expected}, delivered {entry.seq}"
    if len(seen) < last:
        return f"{where}: delivered up to {len(seen)}, the log goes up to {last}"
    return None


def observed(where: str, expected: Sequence[Said], seen: Sequence[Seen]) -> str | None:
    """An observer from the beginning must have exactly the log."""
    last = expected[-1].seq if expected else 0
    return dense(where, seen, last) or same(
        where, expected, [entry.said for entry in seen if entry.said is not None]
    )


class Sums:
    """Checks followers of one channel at a price that does not grow with the log.

    A follower adds up a hash of each message behind its start; here are those sums for every start.
    """

    def __init__(self, log: Sequence[Said]) -> None:
        self.last = log[-1].seq if log else 0
        self._behind: dict[int, int] = {}  # of the messages behind each seq
        by_seq = {said.seq: digest(said) for said in log}
        total = 0
        for seq in range(self.last, -1, -1):
            self._behind[seq] = total
            total += by_seq.get(seq, 0)

    def check(self, where: str, run: Run) -> str | None:
        """A follower must have come to the end, with every message behind its start."""
        if run.last < self.last:
            return f"{where}: delivered up to {run.last}, the log goes up to {self.last}"
        if run.broken is not None or run.number != run.last - run.start:
            reason = run.broken or f"{run.number} entries from {run.start} to {run.last}"
            return f"{where}: not a dense run: {reason}"
        if run.total != self._behind.get(run.start, 0):
            return f"{where}: behind {run.start} other messages were delivered than are stored"
        return None


def digest(said: Said) -> int:
    """A number for a message, the same within one process."""
    return hash(said)


def _show(said: object) -> str:
    text = str(said)
    return text if len(text) <= 100 else f"{text[:97]}…"
