"""A lane at work: batches of its writes are stored on a connection of its own, one at a time.

Owns: the connection, what becomes of a batch that could not be stored as it was, and the time of
each write. What comes next is the lane's to say (`lane`), what is stored the log's (`store.log`).

Must never: take a write for stored or for lost before that is known, end while the pod lives, or
let one bad entry cost the others of its batch. Lost in a crash: what was not answered.
"""

import asyncio
import copy
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from asyncpg import exceptions as pg

from rtchat.batch import Decision, Write
from rtchat.config import Config
from rtchat.errors import ChatError, Code, spread_ms
from rtchat.lane import Batch, Lane
from rtchat.measures import Writing
from rtchat.store.database import UNAVAILABLE
from rtchat.store.log import CommitUnknownError, LogWriter
from rtchat.tracing import Traces

log = logging.getLogger(__name__)

RECONNECT_MAX_S = 0.5  # sending goes on within a second of the database answering again
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


@dataclass(eq=False, slots=True)
class _Waiting:
    """Somebody who waits until these writes of a channel are settled."""

    channel_id: int
    before: set[Write]
    told: asyncio.Future[None]


class Committer:
    """Works off one lane on one connection."""

    def __init__(
        self,
        config: Config,
        open_log: OpenLog,
        answer: Callable[[list[Write], Decision | None], None],
        measures: Writing,
        traces: Traces | None,
    ) -> None:
        self._measures = measures
        self._traces = traces
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

    @property
    def connected(self) -> bool:
        return self._log is not None and self._log.usable

    def offer(self, write: Write) -> None:
        # By two clocks: the loop's has whole milliseconds, which is what most acks take.
        write.deadline = self._now() + self._config.write_timeout_ms / 1000
        write.accepted = time.perf_counter()
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
        began, again = time.perf_counter(), self._measures.again
        began_ns = 0 if self._traces is None else self._traces.now()
        try:
            decision = await store.store(batch.writes, wait=batch.wait)
        except CommitUnknownError:
            again["commit_unknown"] += 1
            log.warning("a commit's answer was lost", extra={"writes": len(batch.writes)})
            for write in batch.writes:
                write.check = True  # run again, each will find itself, or not
            self._lane.put_back(batch.writes)  # and stays unsettled until then
            return
        except pg.LockNotAvailableError:
            again["locked"] += 1
            self._lane.pass_over(batch.writes, self._now(), waited=True)
        except CANNOT_STORE as error:
            await self._cannot_store(store, batch, error)
            return
        except TRY_AGAIN as error:
            again["conflict"] += 1
            log.warning("a batch is tried again", extra={"error": type(error).__name__})
            self._lane.put_back(batch.writes)
        except UNAVAILABLE as error:
            again["connection"] += 1
            store.terminate()
            log.warning("the writer's connection broke", extra={"error": type(error).__name__})
            self._lane.put_back(batch.writes)
        except Exception as error:  # noqa: BLE001  whatever one entry's values may cause
            await self._divide(store, batch, error)
            return
        else:
            self._measures.commit_seconds.observe(time.perf_counter() - began)
            self._measures.batch_rows.observe(len(batch.writes))
            if self._traces is not None:
                self._traces.stored(began_ns, len(batch.writes))
            self._stored(batch, decision)
        self._settle(batch)

    def _stored(self, batch: Batch, decision: Decision) -> None:
        passed_over = decision.passed_over
        if not passed_over:
            self._lane.release(w.channel_id for w in batch.writes)
            self._answer(batch.writes, decision)
            return
        self._measures.again["passed_over"] += 1
        locked = {w.channel_id for w in passed_over}
        answered = [w for w in batch.writes if w.channel_id not in locked]
        self._lane.release(w.channel_id for w in answered)
        self._lane.pass_over(passed_over, self._now())
        self._answer(answered, decision)

    async def _cannot_store(self, store: LogWriter, batch: Batch, error: Exception) -> None:
        if isinstance(error, ONE_PERHAPS) and len(batch.writes) > 1:
            await self._divide(store, batch, error)
            return
        self._measures.again["cannot_store"] += 1
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
        self._measures.again["divided"] += 1
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
        overdue = [w for w in self._lane.overdue(now) if w.done is not told_already]
        if overdue:
            log.warning("a batch takes too long", extra={"writes": len(overdue)})
        for write in overdue:
            # A copy: the write itself goes its way, and may be decided on in this very turn.
            told = copy.copy(write)
            told.reset()
            told.error = ChatError(Code.UNAVAILABLE, after_ms=spread_ms(1000), limit=_LATE)
            done, write.done = write.done, told_already
            self._measures.refusals += 1
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


def told_already(_: list[Write]) -> None:
    """Stands in for the `done` of a write whose asker was answered before its batch was."""
