"""The queue of one writer lane: which writes make the next batch. Pure.

Owns: the order of writes within a channel (the order of arrival, retries included), fairness
between channels, and how long a channel that another pod holds locked is passed over. One batch of
a lane is under way at a time. Must never: lose a write; each is taken, put back, or expired.
"""

from collections import deque
from collections.abc import Iterable, KeysView
from dataclasses import dataclass

from rtchat.batch import Write

# A channel found locked is tried again after this, doubled with each time it is passed over. A
# commit with its fsync takes about 1 ms, so the first wait is about one batch of the other pod.
PASS_OVER_S = 0.002


@dataclass(frozen=True, slots=True)
class Batch:
    """Writes to be stored in one transaction. `wait`: queue for the channel's lock."""

    writes: list[Write]
    wait: bool


@dataclass(slots=True)
class _Hold:
    skips: int
    until: float


class Lane:
    """Waiting writes by channel. Times are in seconds of one monotonic clock."""

    def __init__(
        self, *, max_rows: int, max_bytes: int, skips: int, after_wait_s: float = 0.0
    ) -> None:
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._skips = skips
        self._after_wait_s = after_wait_s
        self._queues: dict[int, deque[Write]] = {}  # in the order in which they are served
        self._held: dict[int, _Hold] = {}
        self._open: dict[int, set[Write]] = {}  # taken, and their outcome not known yet
        self._returned: set[Write] = set()  # put back since the last take
        self._unknown: set[Write] = set()  # put back unsettled: an earlier try may have stored them

    def __bool__(self) -> bool:
        return bool(self._queues)

    def __repr__(self) -> str:
        waiting = sum(map(len, self._queues.values()))
        return f"<Lane {waiting} waiting, {len(self._held)} held, {len(self.unsettled)} unsettled>"

    @property
    def unsettled(self) -> KeysView[int]:
        """Channels with writes that may be stored by now and are not answered."""
        return self._open.keys()

    def unanswered(self, channel_id: int) -> set[Write]:
        """Those of a channel's writes that may be stored by now and are not answered."""
        return set(self._open.get(channel_id, ()))

    def offer(self, write: Write) -> None:
        """Queue a write behind the others of its channel."""
        queue = self._queues.get(write.channel_id)
        if queue is None:
            queue = self._queues[write.channel_id] = deque()
        queue.append(write)

    def take(self, now: float) -> Batch | None:
        """The next batch, or None while every channel waits for its turn."""
        for channel_id, hold in self._held.items():
            if hold.skips > self._skips and hold.until <= now and channel_id in self._queues:
                # It alone: while we wait for this lock, no other may be held.
                return self._batch([channel_id], wait=True)
        ready = [
            channel_id
            for channel_id in self._queues
            if channel_id not in self._held or self._held[channel_id].until <= now
        ]
        return self._batch(ready, wait=False) if ready else None

    def _batch(self, channels: Iterable[int], *, wait: bool) -> Batch:
        writes: list[Write] = []
        size = 0
        for channel_id in channels:
            queue, first = self._queues.pop(channel_id), len(writes)
            while queue and len(writes) < self._max_rows and size < self._max_bytes:
                size += queue[0].size
                writes.append(queue.popleft())
            self._open.setdefault(channel_id, set()).update(writes[first:])
            if queue:  # to the end of the line
                self._queues[channel_id] = queue
            if len(writes) >= self._max_rows or size >= self._max_bytes:
                break
        self._unknown |= self._returned
        self._returned.clear()
        return Batch(writes, wait)

    def next_turn(self) -> float | None:
        """When the first held channel may be tried again; None when nothing is held."""
        return min((h.until for c, h in self._held.items() if c in self._queues), default=None)

    def put_back(self, writes: Iterable[Write]) -> None:
        """Queue again, in front, what was taken and is not stored."""
        by_channel: dict[int, list[Write]] = {}
        for write in writes:
            self._returned.add(write)
            by_channel.setdefault(write.channel_id, []).append(write)
        for channel_id, again in by_channel.items():
            queue = self._queues.setdefault(channel_id, deque())
            queue.extendleft(reversed(again))

    def pass_over(self, writes: Iterable[Write], now: float, *, waited: bool = False) -> None:
        """Put back writes whose channel is locked elsewhere, and let that channel wait a little.

        `waited`: for its lock, in vain; then the lane's other channels get as long a time.
        """
        writes = list(writes)
        self.put_back(writes)
        for channel_id in {w.channel_id for w in writes}:
            hold = self._held.setdefault(channel_id, _Hold(0, 0.0))
            hold.skips += 1
            pause = PASS_OVER_S * 2 ** min(hold.skips - 1, self._skips)
            hold.until = now + (max(pause, self._after_wait_s) if waited else pause)

    def settle(self, batch: Batch) -> None:
        """The outcome of every write of `batch` is known, or it is queued again unstored.

        A batch that is put back without this may be stored: its channels stay unsettled until
        each write is answered. A later try that failed does not settle what an earlier one did.
        """
        if self._returned or self._unknown:
            for write in batch.writes:
                if write in self._returned and write in self._unknown:
                    self._returned.discard(write)
                else:
                    self._close(write)
        else:
            self._open.clear()  # it was alone
        if self._held:
            for channel_id in {w.channel_id for w in batch.writes} - self._queues.keys():
                self._held.pop(channel_id, None)

    def _close(self, write: Write) -> None:
        self._unknown.discard(write)
        self._returned.discard(write)
        open_writes = self._open.get(write.channel_id)
        if open_writes is not None:
            open_writes.discard(write)
            if not open_writes:
                del self._open[write.channel_id]

    def overdue(self, now: float) -> list[Write]:
        """The writes whose deadline has passed while their batch is under way; they stay in it."""
        return [w for writes in self._open.values() for w in writes if w.deadline <= now]

    def release(self, channels: Iterable[int]) -> None:
        """These channels were locked without trouble: forget that they were passed over."""
        if self._held:  # mostly not, and a batch has hundreds of writes
            for channel_id in channels:
                self._held.pop(channel_id, None)

    def expired(self, now: float) -> list[Write]:
        """Take out the writes whose deadline has passed; their outcome stays unknown."""
        late: list[Write] = []
        for channel_id, queue in list(self._queues.items()):
            while queue and queue[0].deadline <= now:  # deadlines grow with arrival
                late.append(queue.popleft())
            if not queue:
                del self._queues[channel_id]
                self._held.pop(channel_id, None)
        for write in late:
            self._close(write)
        return late
