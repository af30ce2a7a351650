"""Who looks on: an observer of every channel from the beginning, and followers of some.

Both note what the client hands them in the reader itself, so the time is that of arrival.
"""

import time
from collections import defaultdict

from bench.verify import Run, Said, Seen, digest
from rtchat.client import AnyEvent, Entry, Msg


class Observer:
    """Keeps every entry of every channel, with the time of its arrival."""

    def __init__(self) -> None:
        self.seen: dict[int, list[Seen]] = defaultdict(list)
        self.arrived: dict[tuple[int, int], float] = {}  # by channel and seq

    def __call__(self, event: AnyEvent) -> None:
        """Note an event."""
        if isinstance(event, Msg):
            self.arrived[event.ch, event.seq] = time.perf_counter()
            said = Said(event.seq, event.user, event.content)
            self.seen[event.ch].append(Seen(event.seq, said))
        elif isinstance(event, Entry):
            self.seen[event.ch].append(Seen(event.seq, None))

    def last(self, channel: int) -> int:
        """The newest seq that came."""
        return self.seen[channel][-1].seq if self.seen[channel] else 0


class Follower:
    """Sums up what it gets, without keeping it, and remembers the first break of a dense run."""

    def __init__(self) -> None:
        self.starts: dict[int, int] = {}  # channel to the head at which it was subscribed
        self._broken: dict[int, str] = {}
        self._counts: dict[int, int] = defaultdict(int)
        self._last: dict[int, int] = {}
        self._totals: dict[int, int] = defaultdict(int)

    @property
    def delivered(self) -> int:
        """How many entries came."""
        return sum(self._counts.values())

    def begin(self, heads: dict[int, int]) -> None:
        """Say where the runs begin."""
        self.starts = heads

    def __call__(self, event: AnyEvent) -> None:
        """Note an event."""
        if not isinstance(event, Entry):
            return
        self._counts[event.ch] += 1
        last = self._last.get(event.ch)
        self._last[event.ch] = event.seq
        if last is not None and event.seq != last + 1:
            self._broken.setdefault(event.ch, f"{event.seq} came after {last}")
        if isinstance(event, Msg):
            said = Said(event.seq, event.user, event.content)
            self._totals[event.ch] += digest(said)

    def last(self, channel: int) -> int:
        """The newest seq that came, or where the run begins."""
        return self._last.get(channel, self.starts[channel])

    def run(self, channel: int) -> Run:
        """What is known of one channel."""
        start, last = self.starts[channel], self.last(channel)
        number, total = self._counts[channel], self._totals[channel]
        return Run(start, last, number, total, self._broken.get(channel))
