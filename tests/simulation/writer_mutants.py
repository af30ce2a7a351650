"""Ways to break the writer, its lanes and its transactions, each as small as a slip of the pen."""

from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Any

from asyncpg import exceptions as pg

from rtchat import batch, committer, writer
from rtchat.batch import Decision, Ledger, Write
from rtchat.committer import Committer
from rtchat.errors import Code
from rtchat.lane import Batch, Lane
from rtchat.store.log import CommitUnknownError
from tests.simulation import database
from tests.simulation.database import Database, ModelLog, Transaction


class PutsBackBehind(Lane):
    """Queues again, behind the others, what was not stored."""

    def put_back(self, writes: Iterable[Write]) -> None:
        for write in writes:
            self._returned.add(write)
            self.offer(write)


class PutsBackReversed(Lane):
    """Turns the order of what was not stored."""

    def put_back(self, writes: Iterable[Write]) -> None:
        super().put_back(list(writes)[::-1])


class LosesTheLocked(Lane):
    """Forgets the writes of a channel that another pod holds locked."""

    def put_back(self, writes: Iterable[Write]) -> None:
        writes = list(writes)
        super().put_back(writes[: len(writes) - 1 or 1])


class SettlesTooEarly(Lane):
    """Does not remember that an earlier try may have stored a write."""

    def put_back(self, writes: Iterable[Write]) -> None:
        writes = list(writes)
        super().put_back(writes)
        for write in writes:
            self._close(write)


class NeverSettles(Lane):
    """Remembers late writes as unsettled for ever."""

    def _close(self, write: Write) -> None:
        self._unknown.discard(write)
        self._returned.discard(write)


class TakesEverything(Lane):
    """Batches without a bound."""

    def _batch(self, channels: Iterable[int], *, wait: bool) -> Batch:
        self._max_rows = 1000
        return super()._batch(channels, wait=wait)


class RefusesTheWholeBatch(Committer):
    """One entry that cannot be stored costs all the others of its batch."""

    async def _divide(self, store: Any, batch: Batch, error: Exception) -> None:
        self._refuse(batch.writes, Code.INTERNAL, error)
        self._settle(batch)


class StoresTheSecondHalfAnyway(Committer):
    """Does not wait for the first half of a divided batch."""

    async def _divide(self, store: Any, batch: Batch, error: Exception) -> None:
        half = len(batch.writes) // 2
        if not half:
            await super()._divide(store, batch, error)
            return
        await self._store(store, Batch(batch.writes[half:], batch.wait))
        await self._store(store, Batch(batch.writes[:half], batch.wait))


class AcksWhateverHappens(Committer):
    """Answers what is refused as if it were stored."""

    def _refuse(
        self, writes: list[Write], code: Code, error: Exception, limit: tuple[str, ...] = ()
    ) -> None:
        self._answer(writes, None)


class DeliversBeforeItAnswers(writer.Writer):
    """The entry is announced, then its author told."""

    def _answer(self, writes: list[Write], decision: Decision | None) -> None:
        if decision is not None:
            self._deliver(decision)
        super()._answer(writes, None)


class AcksBeforeTheCommit(ModelLog):
    """Does not wait for the answer to COMMIT."""

    async def _carry_out(self, transaction: Transaction) -> None:
        self._database.orphans.append(transaction)


class TakesALostAnswerForANo(ModelLog):
    """Believes that nothing is stored when the answer to COMMIT is lost."""

    async def _carry_out(self, transaction: Transaction) -> None:
        try:
            await super()._carry_out(transaction)
        except CommitUnknownError:
            raise ConnectionResetError("broken") from None


class ReadsBeforeTheLock(ModelLog):
    """Reads in the locking statement, that is, as things were before the wait."""

    async def _decide(
        self, transaction: Transaction, writes: Sequence[Write], *, wait: bool
    ) -> Decision:
        channels = set(transaction.channels)
        ledger = await self._step("read", lambda: self._database.ledger(writes, channels))
        locked = await self._step("lock", lambda: self._database.lock(transaction))
        if wait and locked != channels:
            raise pg.LockNotAvailableError("locked")
        ledger.locked = set(locked)
        return batch.decide(writes, ledger)


class NumbersOutsideTheTransaction(Database):
    """Heads that a rollback does not bring back, as a sequence's."""

    def ledger(self, writes: Sequence[Write], locked: set[int]) -> Ledger:
        ledger = super().ledger(writes, locked)
        for c in locked:
            self.tables[c].head += sum(w.channel_id == c for w in writes)
        return ledger


class ForgetsNonces(Database):
    """Does not look for nonces in the log."""

    def ledger(self, writes: Sequence[Write], locked: set[int]) -> Ledger:
        ledger = super().ledger(writes, locked)
        ledger.known = {}
        return ledger


class LocksNothing(Database):
    """Transactions of two pods at once."""

    def lock(self, transaction: Transaction) -> set[int]:
        return set(transaction.channels)


MUTANTS: dict[type[Any], ModuleType] = {
    **dict.fromkeys(
        (PutsBackBehind, PutsBackReversed, LosesTheLocked, SettlesTooEarly, NeverSettles,
         TakesEverything), committer,
    ),
    **dict.fromkeys(
        (RefusesTheWholeBatch, StoresTheSecondHalfAnyway, AcksWhateverHappens,
         DeliversBeforeItAnswers), writer,
    ),
    **dict.fromkeys((AcksBeforeTheCommit, TakesALostAnswerForANo, ReadsBeforeTheLock,
                     NumbersOutsideTheTransaction, ForgetsNonces, LocksNothing), database),
}  # fmt: skip
