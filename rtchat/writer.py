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
import copy
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from asyncpg import exceptions as pg

from rtchat.batch import Decision, Done, Write
from rtchat.config import Config
from rtchat.envelope import Envelope
from rtchat.errors import ChatError, Code, spread_ms
from rtchat.lane import Batch, Lane
from rtchat.model import LogEntry
from rtchat.protocol import pack
from rtchat.store.database import UNAVAILABLE
from rtchat.store.log import CommitUnknownError, LogWriter
from rtchat.tasks import Tasks

log = logging.getLogger(__name__)

RECONNECT_MAX_S = 0.5  # sending goes on within a second of the database answering again
EXPIRE_S = 0.1  # how late the answer `unavailable` may be
TRY_AGAIN = (pg.SerializationError, pg.DeadlockDetectedError, pg.QueryCanceledError)
# The server answers, but cannot store now: full disk, read-only, out of connections or memory.
CANNOT_STORE = (
    pg.InsufficientResourcesError,
    pg.ReadOnlySQLTransactionError,
    pg.PostgresSystemError,
    pg.InternalServerError,
)

# Of these it may be one row that cannot be stored, ever: a page or an index entry that is broken.
ONE_PERHAPS = (pg.PostgresSystemError, pg.InternalServerError)

_LATE = ("write_timeout_ms",)  # what a write that is answered before its time came has met
OpenLog = Callable[[], Awaitable[LogWriter]]
OnCommit = Callable[[Envelope], None]
OnKnown = Callable[[int, int], None]


class Writer:
    """Accepts writes and sees each one to its answer."""

    def __init__(
        self, config: Config, open_log: OpenLog, on_commit: OnCommit, on_known: OnKnown
    ) -> None:
        self._config = config
        self._on_commit = on_commit
        self._on_known = on_known
        self._tasks = Tasks("writer")
        self._lanes = [_LaneRunner(config, open_log, self._answer) for _ in range(config.lanes)]
        self._rows = 0
        self._bytes = 0
        self._draining = False
        self._idle = asyncio.Event()
        self._idle.set()

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

    def _lane_of(self, channel_id: int) -> "_LaneRunner":
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
        if not self._rows:
            self._idle.set()
        if decision is not None:
            self._deliver(decision)

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


@dataclass(eq=False, slots=True)
class _Waiting:
    """Somebody who waits until these writes of a channel are settled."""

    channel_id: int
    before: set[Write]
    told: asyncio.Future[None]


class _LaneRunner:
    """Works off one lane on one connection."""

    def __init__(
        self,
        config: Config,
        open_log: OpenLog,
        answer: Callable[[list[Write], Decision | None], None],
    ) -> None:
        self._config = config
        self._open_log = open_log
        self._answer = answer
        self._log: LogWriter | None = None
        self._clock: Callable[[], float] | None = None
        self._wake = asyncio.Event()
        self._waiting: list[_Waiting] = []
        self._failures = 0
        self._lane = Lane(
            max_rows=config.batch_max_rows,
            max_bytes=config.batch_max_bytes,
            skips=config.lock_skips,
            after_wait_s=config.lock_wait_ms / 1000,
        )

    def offer(self, write: Write) -> None:
        write.deadline = self._now() + self._config.write_timeout_ms / 1000
        self._lane.offer(write)
        self._wake.set()

    async def settled(self, channel_id: int, timeout_s: float) -> None:
        before = self._lane.unanswered(channel_id)
        if not before:
            return
        waiting = _Waiting(channel_id, before, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        try:
            async with asyncio.timeout(timeout_s):
                await waiting.told
        except TimeoutError:
            log.warning("a batch is unsettled for long", extra={"channel": channel_id})
        finally:
            if waiting in self._waiting:
                self._waiting.remove(waiting)

    def terminate(self) -> None:
        if self._log is not None:
            self._log.terminate()

    async def run(self) -> None:
        while True:
            try:
                await self._step()
            except Exception:  # without its lane a channel could never be written again
                log.exception("a lane stumbled")
                await asyncio.sleep(RECONNECT_MAX_S)

    async def _step(self) -> None:
        self.expire()
        if self._log is None or not self._log.usable:
            await self._connect()
        elif (batch := self._lane.take(self._now())) is not None:
            await self._store(self._log, batch)
        else:
            await self._sleep()

    async def _connect(self) -> None:
        try:
            self._log = await self._open_log()
            self._failures = 0
        except (*UNAVAILABLE, pg.PostgresError, ValueError) as error:
            self._failures += 1
            pause = min(RECONNECT_MAX_S, 0.02 * 2 ** min(self._failures, 8))
            log.warning(
                "no database connection for the writer",
                extra={"error": f"{type(error).__name__}: {error}", "failures": self._failures},
            )
            await asyncio.sleep(random.uniform(pause / 2, pause))

    async def _sleep(self) -> None:
        """Wait for a new write, or until a held channel may be tried again."""
        self._wake.clear()
        turn = self._lane.next_turn()
        try:
            async with asyncio.timeout(None if turn is None else max(0.0, turn - self._now())):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _store(self, store: LogWriter, batch: Batch) -> None:
        """Store one batch and answer it, or put it back."""
        try:
            decision = await store.store(batch.writes, wait=batch.wait)
        except CommitUnknownError:
            log.warning("a commit's answer was lost", extra={"writes": len(batch.writes)})
            for write in batch.writes:
                write.check = True  # run again, each will find itself, or not
            self._lane.put_back(batch.writes)  # and stays unsettled until then
            return
        except pg.LockNotAvailableError:
            self._lane.pass_over(batch.writes, self._now(), waited=True)
        except CANNOT_STORE as error:
            await self._cannot_store(store, batch, error)
            return
        except TRY_AGAIN as error:
            log.warning("a batch is tried again", extra={"error": type(error).__name__})
            self._lane.put_back(batch.writes)
        except UNAVAILABLE as error:
            store.terminate()
            log.warning("the writer's connection broke", extra={"error": type(error).__name__})
            self._lane.put_back(batch.writes)
        except Exception as error:  # noqa: BLE001  whatever one entry's values may cause
            await self._divide(store, batch, error)
            return
        else:
            self._stored(batch, decision)
        self._settle(batch)

    def _stored(self, batch: Batch, decision: Decision) -> None:
        passed_over = decision.passed_over
        if not passed_over:
            self._lane.release(w.channel_id for w in batch.writes)
            self._answer(batch.writes, decision)
            return
        locked = {w.channel_id for w in passed_over}
        answered = [w for w in batch.writes if w.channel_id not in locked]
        self._lane.release(w.channel_id for w in answered)
        self._lane.pass_over(passed_over, self._now())
        self._answer(answered, decision)

    async def _cannot_store(self, store: LogWriter, batch: Batch, error: Exception) -> None:
        if isinstance(error, ONE_PERHAPS) and len(batch.writes) > 1:
            await self._divide(store, batch, error)
            return
        if isinstance(error, pg.ReadOnlySQLTransactionError):
            store.terminate()  # a primary of yesterday, perhaps: a new connection finds today's
        self._refuse(batch.writes, Code.UNAVAILABLE, error)
        self._settle(batch)

    async def _divide(self, store: LogWriter, batch: Batch, error: Exception) -> None:
        """One entry of the batch cannot be stored: find it, so that it alone fails.

        The second half waits in its place until the first one's fate is known: storing it before
        would reorder a channel whose first half has to be tried again.
        """
        half = len(batch.writes) // 2
        if not half and isinstance(error, pg.ForeignKeyViolationError):
            self._lane.put_back(batch.writes)  # its user has just vanished: now it is not found
            self._settle(batch)
            return
        if not half:
            log.error("a write cannot be stored", exc_info=error)
            self._refuse(batch.writes, Code.INTERNAL, error)
            self._settle(batch)
            return
        second = Batch(batch.writes[half:], batch.wait)
        self._lane.put_back(second.writes)
        self._settle(second)
        await self._store(store, Batch(batch.writes[:half], batch.wait))

    def _refuse(
        self, writes: list[Write], code: Code, error: Exception, limit: tuple[str, ...] = ()
    ) -> None:
        log.warning("writes refused", extra={"writes": len(writes), "error": type(error).__name__})
        for write in writes:
            write.reset()  # of what a try decided that was rolled back
            write.error = ChatError(code, after_ms=spread_ms(1000), limit=limit)
        self._answer(writes, None)

    def expire(self) -> None:
        """Answer the writes whose time is over: what became of them only a retry can tell."""
        now = self._now()
        late = self._lane.expired(now)
        if late:
            self._refuse(late, Code.UNAVAILABLE, TimeoutError(), _LATE)
            self._tell_settled()
        overdue = [w for w in self._lane.overdue(now) if w.done is not _told]
        if overdue:
            log.warning("a batch takes too long", extra={"writes": len(overdue)})
        for write in overdue:
            # A copy: the write itself goes its way, and may be decided on in this very turn.
            told = copy.copy(write)
            told.reset()
            told.error = ChatError(Code.UNAVAILABLE, after_ms=spread_ms(1000), limit=_LATE)
            done, write.done = write.done, _told
            done([told])

    def _settle(self, batch: Batch) -> None:
        self._lane.settle(batch)
        self._tell_settled()

    def _tell_settled(self) -> None:
        """Tell who waits; now, for at the next turn of the loop another batch may be under way."""
        for waiting in list(self._waiting):
            waiting.before &= self._lane.unanswered(waiting.channel_id)
            if not waiting.before:
                self._waiting.remove(waiting)
                if not waiting.told.done():
                    waiting.told.set_result(None)

    def _now(self) -> float:
        if self._clock is None:  # asked for once: it costs a system call (getpid) on Python 3.11
            self._clock = asyncio.get_running_loop().time
        return self._clock()


def _told(_: list[Write]) -> None:
    """Stands in for the `done` of a write whose asker was answered before its batch was."""
