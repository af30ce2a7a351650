"""How fast a run was, in quiet and in trouble: acks, deliveries, and the time to recover.

Owns the definitions:

- A *window* is from a mark `injected NAME` to its `healed NAME`; faults that overlap make one. A
  bare `healed` ends all. What was under way at any moment of a window, or of the time to recover
  behind it, counts as in the fault; the rest is quiet.
- *Ack latency* is from the first write of a message to its first ack, retries included.
- *Delivery delay* is from the first write of a message to its first arrival at a client, for
  messages sent after that client first subscribed (older ones are history, and have no delay). It
  is *live* if the message was sent after the `ok` of the very socket that brought it, *resumed* if
  it was sent before: then the time without a socket is in it.
- A message is *through* when it is acked and has come to another client than its author's (and to
  one on another pod, where pods are told), as far as it ever came to one. It is *slow* if that took
  more than `within_ms`, or never happened though it was not refused for good.
- *Time to recover* is from the end of a window until the first moment from which on, for
  `steady_ms` or until the next fault or the last send, no slow message is under way, and then a
  message that is not slow is sent. None: there is no such moment.
"""

import bisect
import math
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from tests.faults.history import HEALED, INJECTED, MARK, RECEIVED, SUBSCRIBED, History, Row
from tests.faults.stored import Book, Said
from tests.faults.verdict import Findings, Mark

MS = 1_000_000  # nanoseconds
NEVER = math.inf
Pods = Callable[[int, int], object]  # client and moment in nanoseconds to its pod


@dataclass(frozen=True, slots=True)
class Spread:
    """A distribution, in milliseconds."""

    n: int = 0
    p50: float = 0.0
    p99: float = 0.0
    worst: float = 0.0

    @classmethod
    def of(cls, nanoseconds: Iterable[float]) -> "Spread":
        """Sum up; percentiles are values that occurred."""
        ordered = sorted(nanoseconds)
        if not ordered:
            return cls()
        ranks = [ordered[min(len(ordered) - 1, int(len(ordered) * r))] for r in (0.5, 0.99, 1.0)]
        return cls(len(ordered), *(round(rank / MS, 3) for rank in ranks))


@dataclass(slots=True)
class Window:
    """A fault, from its injection to its end, both in nanoseconds."""

    name: str
    begins: int
    ends: float = NEVER
    recovery_ms: float | None = None
    ack: Spread = field(default_factory=Spread)
    delivery: Spread = field(default_factory=Spread)

    @property
    def recovered(self) -> float:
        """The moment when all was as before."""
        return NEVER if self.recovery_ms is None else self.ends + self.recovery_ms * MS


@dataclass(frozen=True, slots=True)
class Stats:
    """The figures. `ack`: all, quiet, fault. `delivery`: these, live, resumed, and by pods."""

    ack: dict[str, Spread]
    delivery: dict[str, Spread]
    windows: Sequence[Window]

    @property
    def recovery_ms(self) -> float | None:
        """The longest time to recover; None if there was no fault, or one that never ended."""
        times = [window.recovery_ms for window in self.windows]
        known = [ms for ms in times if ms is not None]
        return max(known) if known and len(known) == len(times) else None


@dataclass(slots=True)
class Way:
    """A message's way: when it was sent, and how far it came."""

    at: int
    client: int
    refused: bool
    acked: float = NEVER
    heard: float = NEVER  # by another client
    heard_elsewhere: float = NEVER  # by one on another pod

    @property
    def through(self) -> float:
        """When it was acked and had come to another client, if to any."""
        return max(self.acked, *(t for t in (self.heard, self.heard_elsewhere) if t < NEVER), 0)


def windows(marks: Iterable[Mark]) -> list[Window]:
    """Find the windows in the marks of a run."""
    found: list[Window] = []
    open_now: set[str] = set()
    for at, text in marks:
        word, _, name = text.partition(" ")
        if word == INJECTED:
            if not open_now:
                found.append(Window(name, at))
            elif name not in open_now:
                found[-1].name += f" + {name}"
            open_now.add(name)
        elif word == HEALED and open_now:
            open_now = open_now - {name} if name else set()
            if not open_now:
                found[-1].ends = at
    return found


def recovery(
    window: Window, until: float, ways: Sequence[Way], within_ms: float, steady_ms: float
) -> float | None:
    """Tell the milliseconds from the end of `window` to where all is as before, if ever.

    `until`: the next fault. `ways` are in the order of sending.
    """
    if window.ends == NEVER:
        return None
    took = [(way, way.through) for way in ways if not way.refused and way.at < until]
    slow = [(way.at, end) for way, end in took if end - way.at > within_ms * MS]
    good = [way.at for way, end in took if end - way.at <= within_ms * MS]
    moment: float = window.ends
    for at, end in slow:  # by the moment of sending, so one pass suffices
        if at >= moment + steady_ms * MS:
            break
        moment = max(moment, end)
    place = bisect.bisect_left(good, moment)
    if moment == NEVER or place == len(good):
        return None
    return round((moment - window.ends) / MS, 3)


class _Reader:
    """What one client has of one channel."""

    __slots__ = ("since", "top")

    def __init__(self, since: int, after: int) -> None:
        self.since = since  # when it first subscribed
        self.top = after


class _Delays:
    """Goes through the deliveries of a run, once, and sorts their delays."""

    def __init__(self, said: Iterable[Said], pods: Pods | None) -> None:
        self.ways: dict[int, dict[int, Way]] = {}  # channel to seq
        self.unstored: list[Way] = []
        self.all = array("d")
        self.sent_at = array("d")
        self.live = array("d")
        self.resumed = array("d")
        self.same_pod = array("d")
        self.cross_pod = array("d")
        self._pods = pods
        self._pod_of_sender: dict[tuple[int, int], object] = {}
        self._readers: dict[tuple[int, int], _Reader] = {}
        self._since: dict[tuple[int, int], int] = {}  # (session, channel) to the `ok`
        for one in said:
            acked = min((ack.at for ack in one.acks), default=NEVER)
            way = Way(one.at, one.client, one.refused, acked)
            if one.row is None:
                self.unstored.append(way)
            else:
                self.ways.setdefault(one.channel, {})[one.row.seq] = way

    def subscribed(self, at: int, client: int, session: int, channel: int, after: int) -> None:
        """A subscription began."""
        self._since[session, channel] = at
        self._readers.setdefault((client, channel), _Reader(at, after))

    def received(self, at: int, client: int, session: int, channel: int, seq: int) -> None:
        """An entry came."""
        reader = self._readers.get((client, channel))
        way = self.ways.get(channel, {}).get(seq)
        if reader is None or way is None or seq <= reader.top:
            return
        reader.top = seq
        delay = at - way.at
        if client != way.client:
            way.heard = min(way.heard, at)
            if self._pods is not None and self._elsewhere(self._pods, way, client, at):
                way.heard_elsewhere = min(way.heard_elsewhere, at)
                self.cross_pod.append(delay)
            elif self._pods is not None:
                self.same_pod.append(delay)
        if way.at < reader.since:
            return
        self.all.append(delay)
        self.sent_at.append(way.at)
        if way.at >= self._since.get((session, channel), at):
            self.live.append(delay)
        else:
            self.resumed.append(delay)

    def _elsewhere(self, pods: Pods, way: Way, client: int, at: int) -> bool:
        """Whether `client` is on another pod than the author was."""
        key = way.client, way.at
        if key not in self._pod_of_sender:
            self._pod_of_sender[key] = pods(*key)
        return pods(client, at) != self._pod_of_sender[key]


def stats(
    history: History,
    rows: Sequence[Row],
    *,
    pods: Pods | None = None,
    within_ms: float = 500,
    steady_ms: float = 2000,
) -> Stats:
    """Take all figures of a run. `pods` tells on which pod a client is at a moment."""
    events = history.events
    book = Book(events, rows, Findings())
    delays = _Delays(book.said.values(), pods)
    for event in events:
        if event[0] == RECEIVED:
            delays.received(*event[1:6])
        elif event[0] == SUBSCRIBED:
            delays.subscribed(*event[1:])
    ways = [way for channel in delays.ways.values() for way in channel.values()]
    ways = sorted([*ways, *delays.unstored], key=lambda way: way.at)
    found = windows(Mark(event[1], event[3]) for event in events if event[0] == MARK)
    for place, window in enumerate(found):
        until = found[place + 1].begins if place + 1 < len(found) else NEVER
        window.recovery_ms = recovery(window, until, ways, within_ms, steady_ms)
    acked = [(way.at, way.acked - way.at) for way in ways if way.acked < NEVER]
    delivered = list(zip(delays.sent_at, delays.all, strict=True))
    ack, delivery = _by_window(acked, found), _by_window(delivered, found)
    for place, window in enumerate(found):
        window.ack = Spread.of(ack[place])
        window.delivery = Spread.of(delivery[place])
    extra = {"live": delays.live, "resumed": delays.resumed}
    if pods is not None:
        extra |= {"same pod": delays.same_pod, "cross pod": delays.cross_pod}
    return Stats(
        _summary(ack, found),
        _summary(delivery, found) | {name: Spread.of(values) for name, values in extra.items()},
        found,
    )


def _summary(parts: Sequence[Sequence[float]], found: Sequence[Window]) -> dict[str, Spread]:
    *faults, quiet = parts
    during = [value for part in faults for value in part]
    return {
        "all": Spread.of([*during, *quiet]),
        "quiet": Spread.of(quiet),
        "fault": Spread.of(during),
    }


def _by_window(times: Iterable[tuple[float, float]], found: Sequence[Window]) -> list[list[float]]:
    """Sort durations, each with its beginning, by the last window that they touch; quiet last."""
    begins = [window.begins for window in found]
    # A fault that never ended is over for this purpose where the next one begins.
    ends = [
        min(window.recovered, begins[place + 1] if place + 1 < len(begins) else NEVER)
        for place, window in enumerate(found)
    ]
    parts: list[list[float]] = [[] for _ in range(len(found) + 1)]
    for at, duration in times:
        place = bisect.bisect_right(begins, at + duration) - 1
        parts[place if place >= 0 and ends[place] >= at else -1].append(duration)
    return parts
