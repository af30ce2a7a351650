"""The writer: group commit. The one door through which a channel changes.

Owns: writes between their acceptance and their answer, on a few lanes; a channel belongs to one by
hash, each lane has a database connection of its own. While one batch commits the next one collects,
so batches grow by themselves under load and a lone write never waits for company.

The order after a commit is fixed: first the answers (so an ack comes before its `msg` on the same
connection), then `on_commit` with each channel's envelope. Of an entry that turns out to be stored
already, `on_known` tells channel and seq: its envelope may never have left.

Must never: acknowledge before COMMIT has been answered, guess the fate of a lost answer (the same
writes run again and find their nonces), or wait without a bound. A crash loses what was not
answered; whoever retries with its nonce learns what became of it.
"""

import asyncio
import logging
import time
from collections.abc import Callable

from rtchat.batch import Decision, Done, Write
from rtchat.committer import Committer, OpenLog, told_already
from rtchat.config import Config
from rtchat.envelope import Envelope
from rtchat.errors import ChatError, Code, spread_ms
from rtchat.measures import Writing
from rtchat.model import LogEntry
from rtchat.protocol import pack
from rtchat.tasks import Tasks
from rtchat.tracing import Traces

log = logging.getLogger(__name__)

EXPIRE_S = 0.1  # how late the answer `unavailable` may be

OnCommit = Callable[[Envelope], None]
OnKnown = Callable[[int, int], None]


class Writer:
    """Accepts writes and sees each one to its answer."""

    def __init__(
        self,
        config: Config,
        open_log: OpenLog,
        on_commit: OnCommit,
        on_known: OnKnown,
        traces: Traces | None = None,
    ) -> None:
        self._config = config
        self._traces = traces
        self._on_commit = on_commit
        self._on_known = on_known
        self._tasks = Tasks("writer")
        self.measures = Writing()
        self._lanes = [
            Committer(config, open_log, self._answer, self.measures, traces)
            for _ in range(config.lanes)
        ]
        self._rows = 0
        self._bytes = 0
        self._draining = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def rows(self) -> int:
        """How many writes are accepted and not answered."""
        return self._rows

    @property
    def bytes(self) -> int:
        """How many bytes of content they have."""
        return self._bytes

    @property
    def lanes_connected(self) -> int:
        """How many lanes have their connection."""
        return sum(lane.connected for lane in self._lanes)

    def start(self) -> None:
        """Begin to work."""
        for lane in self._lanes:
            self._tasks.start(lane.run())
        self._tasks.start(self._expire())

    def submit(self, write: Write) -> None:
        """Accept a write; `write.done` is called with it once its outcome is final.

        Raises ChatError(draining) or ChatError(overloaded), and then keeps nothing of it.
        """
        if self._draining:
            raise ChatError(Code.DRAINING, after_ms=spread_ms(1000))
        if self._rows >= self._config.queue_max_rows or self._bytes >= self._config.queue_max_bytes:
            rows = self._rows >= self._config.queue_max_rows
            limit = "queue_max_rows" if rows else "queue_max_bytes"
            raise ChatError(Code.OVERLOADED, after_ms=spread_ms(500), limit=limit)
        if not self._rows:
            self._idle.clear()
        self._rows += 1
        self._bytes += write.size
        self._lane_of(write.channel_id).offer(write)

    async def settled(self, channel_id: int, timeout_s: float) -> None:
        """Wait until what is now between its COMMIT and its answer here is answered.

        What was visible in the log before this call has then been answered, if it was written here.
        Batches that begin later are not waited for: on a busy channel there is always one.
        """
        await self._lane_of(channel_id).settled(channel_id, timeout_s)

    async def drain(self, timeout_s: float) -> None:
        """Refuse new writes and wait until those accepted are answered, or the time is over."""
        self._draining = True
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            log.warning("writes left unanswered at shutdown", extra={"writes": self._rows})

    async def close(self) -> None:
        """End the lanes and cut their connections."""
        await self._tasks.close()
        for lane in self._lanes:
            lane.terminate()

    def _lane_of(self, channel_id: int) -> "Committer":
        return self._lanes[channel_id % len(self._lanes)]

    async def _expire(self) -> None:
        """Keep the time: a lane itself may hang, as long as its database does."""
        while True:
            await asyncio.sleep(EXPIRE_S)
            for lane in self._lanes:
                try:
                    lane.expire()
                except Exception:  # or nobody would be told any more
                    log.exception("expiring writes failed")

    def _answer(self, writes: list[Write], decision: Decision | None) -> None:
        self._rows -= len(writes)
        self._bytes -= sum([write.size for write in writes])
        by_asker: dict[Done, list[Write]] = {}  # so that acks of one socket leave in one piece
        for write in writes:
            by_asker.setdefault(write.done, []).append(write)
        for done, answered in by_asker.items():
            try:
                done(answered)
                for write in answered:
                    if write.known and write.seq is not None:
                        self._on_known(write.channel_id, write.seq)
            except Exception:  # one connection's trouble must not cost the others their answers
                log.exception("answering writes failed")
        acked_ns = 0 if self._traces is None else self._traces.now()
        if not self._rows:
            self._idle.set()
        self._count(writes)
        if decision is not None:
            self._deliver(decision)
            if self._traces is not None:
                self._traces.answered(writes, acked_ns)

    def _count(self, writes: list[Write]) -> None:
        measures, observe = self.measures, self.measures.ack_seconds.observe
        now = time.perf_counter()
        for write in writes:
            if write.done is told_already:
                continue
            if write.error is not None:
                measures.refusals += 1
            else:
                measures.acks += 1
                measures.duplicates += write.dup
                observe(now - write.accepted)

    def _deliver(self, decision: Decision) -> None:
        by_channel: dict[int, list[LogEntry]] = {}
        for entry in decision.entries:
            by_channel.setdefault(entry.channel_id, []).append(entry)
        for entries in by_channel.values():
            try:
                for envelope in pack(entries, self._config.write_low_bytes):
                    self._on_commit(envelope)
            except Exception:  # it is committed: the head check brings it
                log.exception("delivering a batch failed")
