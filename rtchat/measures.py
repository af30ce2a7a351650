"""What the parts count while they work: plain numbers, read when metrics are asked for.

Owns: what a part can count, one class a part; each part makes its own, and `api.metrics` gives
names to all of them. Must never: cost a message more than a few additions (a histogram's `observe`
takes 0.2 µs), or keep anything by a name that clients choose: then memory would grow with them.
Lost in a crash, and at every start: all of it; whoever scrapes takes a lower value for a new start.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

# Bounds in seconds. A lone commit takes 1 ms, an ack at half of the peak rate 18; 10 s is
# `write_timeout_ms`, after which nobody waits any more.
WAIT_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
ROWS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


class Histogram:
    """How many observations were at most so large: a count a bound, and one beyond the last."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        """`bounds`: ascending; an observation that equals one counts as below it."""
        assert list(bounds) == sorted(set(bounds)), bounds
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.counts)


def _seconds() -> Histogram:
    return Histogram(WAIT_S)


@dataclass(slots=True)
class Writing:
    """Of the writer: what was answered, and how batches went."""

    acks: int = 0  # duplicates among them
    duplicates: int = 0  # whose nonce was known
    refusals: int = 0  # answered with an error
    ack_seconds: Histogram = field(default_factory=_seconds)  # from acceptance to ack
    batch_rows: Histogram = field(default_factory=lambda: Histogram(ROWS))
    commit_seconds: Histogram = field(default_factory=_seconds)  # of a transaction that was stored
    again: Counter[str] = field(default_factory=Counter)  # batches not stored as they were: why


@dataclass(slots=True)
class Delivering:
    """Of rooms and of catching up: what went to sockets, and what was missing on the way."""

    live: int = 0  # entries, once a subscriber
    caught_up: int = 0  # those that were read from a tail or the log
    written_bytes: int = 0  # frames of both
    filled: int = 0  # entries that never came, and were read from the log
    checks: int = 0  # of all heads against the log
    finds: int = 0  # rooms that a check found behind


@dataclass(slots=True)
class Telling:
    """Of the teller: ephemeral events to sockets, and words between pods."""

    told: int = 0  # events, once a socket
    dropped: int = 0  # those that were too many, or whose socket was slow
    said: int = 0  # words to other pods
    heard: int = 0  # theirs


@dataclass(slots=True)
class Sockets:
    """Of connections: how they come, stall and end."""

    opened: int = 0  # signed in
    stalls: int = 0  # times that one took no more of what it was sent
    closes: Counter[int] = field(default_factory=Counter)  # by close code


@dataclass(slots=True)
class Asked:
    """Of the interface: what was asked for, and what was refused."""

    commands: Counter[type] = field(default_factory=Counter)  # of WebSockets, by kind
    socket_errors: Counter[str] = field(default_factory=Counter)  # by code
    handshake_errors: Counter[str] = field(default_factory=Counter)
    request_errors: Counter[str] = field(default_factory=Counter)
    requests: Counter[tuple[str, str, int]] = field(
        default_factory=Counter
    )  # method, route, status
    request_seconds: Histogram = field(default_factory=_seconds)
