"""What the writer's transactions do, on a database in memory, one step of a transaction at a time.

Locks are held across steps. A connection that breaks leaves its transaction behind, with its locks,
until the server notices; a COMMIT that was under way then may still be carried out, late.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from asyncpg import exceptions as pg

from rtchat import batch
from rtchat.batch import ChannelState, Decision, Known, Ledger, Op, Write
from rtchat.model import ChannelType, LogEntry, Role
from rtchat.store.log import CommitUnknownError, LogWriter
from tests.simulation.turns import PromiseError, Questions, TurnLoop

T = TypeVar("T")
POISON = "poison"  # a content that no database takes
OWNER, MEMBERS = 1, (2, 3)


@dataclass
class Table:
    """One channel's rows."""

    head: int = 0
    entries: list[LogEntry] = field(default_factory=list)
    deleted: bool = False
    roles: dict[int, Role] = field(
        default_factory=lambda: {OWNER: Role.OWNER} | dict.fromkeys(MEMBERS, Role.MEMBER)
    )


@dataclass(eq=False)
class Transaction:
    """One batch on its way. `decision`: what a COMMIT that comes late would do."""

    owner: object
    channels: list[int]
    nonces: set[str]
    locked: set[int] = field(default_factory=set)
    decision: Decision | None = None


class Database:
    """Channels, and who holds which of them locked."""

    def __init__(self, channels: Sequence[int]) -> None:
        self.tables = {c: Table() for c in channels}
        self.locks: dict[int, Transaction] = {}
        self.orphans: list[Transaction] = []
        self.known: dict[tuple[int, int, str], LogEntry] = {}
        self.stored_by: dict[tuple[int, int, str], object] = {}
        self.without_entry: set[str] = set()  # nonces: decided, committed, and no entry made
        self._ms = 0

    def lock(self, transaction: Transaction) -> set[int]:
        """Lock what nobody else has locked."""
        for c in transaction.channels:
            if self.locks.setdefault(c, transaction) is transaction:
                transaction.locked.add(c)
        return transaction.locked

    def ledger(self, writes: Sequence[Write], locked: set[int]) -> Ledger:
        """What the statements behind the lock read."""
        self._ms += 1
        channels = {w.channel_id for w in writes}
        asked = {(w.channel_id, w.user_id, w.nonce) for w in writes if w.check}
        return Ledger(
            now_ms=self._ms,
            channels={
                c: ChannelState(ChannelType.PRIVATE, self.tables[c].head, self.tables[c].deleted)
                for c in channels
            },
            locked=set(locked),
            roles={(c, u): role for c in channels for u, role in self.tables[c].roles.items()},
            users={OWNER, *MEMBERS},
            known={
                key: Known(e.seq, e.ts, e.kind, e.content, e.target)
                for key, e in self.known.items()
                if key in asked
            },
        )

    def commit(self, transaction: Transaction) -> None:
        """Carry out what was decided; the constraints hold."""
        decision = transaction.decision
        assert decision is not None
        for e in decision.entries:
            table, key = self.tables[e.channel_id], (e.channel_id, e.user_id, e.nonce or "")
            if e.seq != len(table.entries) + 1:
                raise PromiseError(f"seq {e.seq} in a log of {len(table.entries)} entries")
            if key in self.known:
                raise PromiseError(f"a second entry for {key}")
            table.entries.append(e)
            self.known[key] = e
            self.stored_by[key] = transaction.owner
        self.without_entry |= transaction.nonces
        self.without_entry -= {w.nonce for w in decision.passed_over}
        self.without_entry -= {e.nonce or "" for e in decision.entries}
        for c, head in decision.heads.items():
            self.tables[c].head = head
        for (c, user), role in decision.roles.items():
            if role is None:
                self.tables[c].roles.pop(user, None)
            else:
                self.tables[c].roles[user] = role
        for c in decision.dropped:
            self.tables[c].deleted = True
            self.tables[c].roles.clear()
        self.end(transaction)

    def end(self, transaction: Transaction) -> None:
        """It is over: its locks are free."""
        for c in transaction.locked:
            del self.locks[c]
        transaction.locked = set()
        transaction.decision = None

    def resolve(self, transaction: Transaction, *, late: bool) -> None:
        """The server comes to a transaction whose connection broke; `late`: to its COMMIT first."""
        self.orphans.remove(transaction)
        if late and transaction.decision is not None:
            self.commit(transaction)
        else:
            self.end(transaction)


class ModelLog(LogWriter):
    """One connection of a writer's. Each step is a question that the machine answers, or fails."""

    def __init__(
        self, owner: object, pod: int, rows: int, database: Database, questions: Questions
    ) -> None:
        self._owner = owner
        self._pod, self._rows, self._questions = pod, rows, questions
        self._database = database
        self._up = True

    @property
    def usable(self) -> bool:
        """Whether the connection still stands."""
        return self._up

    def terminate(self) -> None:
        """Cut it."""
        self._up = False

    async def _step(self, name: str, look: Callable[[], T]) -> T:
        return await self._questions.ask((name, self._pod), look)

    async def store(self, writes: Sequence[Write], *, wait: bool) -> Decision:
        """As the real one: lock, read, decide, COPY, COMMIT."""
        if len(writes) > self._rows:
            loop = asyncio.get_running_loop()
            assert isinstance(loop, TurnLoop)
            loop.broken(PromiseError(f"a batch of {len(writes)} writes"))
        transaction = Transaction(
            self._owner, sorted({w.channel_id for w in writes}), {w.nonce for w in writes}
        )
        try:
            decision = await self._decide(transaction, writes, wait=wait)
            if decision.empty:
                self._database.end(transaction)
                return decision
            await self._step("copy", lambda: None)
        except pg.PostgresError:
            self._database.end(transaction)
            raise
        except BaseException:  # the connection broke, or the pod died
            self._up = False
            self._database.orphans.append(transaction)
            raise
        transaction.decision = decision
        await self._carry_out(transaction)
        return decision

    async def _decide(
        self, transaction: Transaction, writes: Sequence[Write], *, wait: bool
    ) -> Decision:
        database = self._database
        locked = await self._step("lock", lambda: database.lock(transaction))
        if wait and locked != set(transaction.channels):
            raise pg.LockNotAvailableError("canceling statement due to lock timeout")
        ledger = await self._step("read", lambda: database.ledger(writes, locked))
        decision = batch.decide(writes, ledger)
        if any(e.content == POISON for e in decision.entries):
            raise pg.DataError("not to be stored")
        return decision

    async def _carry_out(self, transaction: Transaction) -> None:
        try:
            await self._step("commit", lambda: self._database.commit(transaction))
        except pg.PostgresError:
            self._database.end(transaction)  # the server answered: it did not commit
            raise
        except BaseException as error:
            self._up = False
            if transaction.locked:
                self._database.orphans.append(transaction)
            if isinstance(error, OSError):
                raise CommitUnknownError from error
            raise


def has_entry(op: Op) -> bool:
    """Whether an accepted write of this kind always leaves an entry."""
    return op in (Op.SEND, Op.DROP)
