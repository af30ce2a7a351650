"""Mutants: rtchat with one promise broken on purpose, to show that the suite would notice.

Owns: one table, `MUTANTS`. A mutant patches a pod before it serves (`tests.faults.pod`), and may
take a constraint out of the database that would save it. Each names the fault under which it is
to be caught, and the anomalies of which one at least must be found.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rtchat.batch import Decision, Write
from rtchat.bus.link import Limits
from rtchat.bus.redis import RedisBus
from rtchat.envelope import Envelope
from rtchat.errors import ChatError, Code
from rtchat.room import Room, Subscription
from rtchat.rooms import Rooms
from rtchat.server.upgrade import ServerLink
from rtchat.store import log
from rtchat.store.log import CommitUnknownError, LogWriter
from rtchat.tasks import Tasks
from rtchat.writer import Writer

ACK_AHEAD_S = 0.02  # how long before its COMMIT a mutant acknowledges
FOR_EVER_S = 3600.0
NO_NONCES = "ALTER TABLE messages DROP CONSTRAINT uq_messages_user_id_channel_id_nonce"
NO_KEY = "ALTER TABLE messages DROP CONSTRAINT pk_messages"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change, where it shows, and as what."""

    name: str
    says: str
    fault: str
    shows: Sequence[str]  # beginnings of anomaly kinds
    apply: Callable[[], None]
    sql: Sequence[str] = ()


MUTANTS: dict[str, Mutant] = {}


def mutant(
    name: str, says: str, fault: str, shows: Sequence[str], sql: Sequence[str] = ()
) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Put a patch into the table."""

    def enter(apply: Callable[[], None]) -> Callable[[], None]:
        MUTANTS[name] = Mutant(name, says, fault, shows, apply, sql)
        return apply

    return enter


def replace(owner: type, name: str, wrong: Callable[..., Any]) -> None:
    """Put a wrong method in the place of the right one."""
    assert callable(getattr(owner, name))
    setattr(owner, name, wrong)


# --- the writer


@mutant("ack-before-commit", "acks go out before COMMIT", "commit-lost", ["A1", "A2", "D1"])
def _ack_before_commit() -> None:
    commit, store = LogWriter._commit, LogWriter.store
    tasks, under_way = Tasks("mutant"), dict[LogWriter, asyncio.Task[None]]()

    async def commit_later(writer: LogWriter, decision: Decision) -> None:
        await asyncio.sleep(ACK_AHEAD_S)
        await commit(writer, decision)

    async def no_wait(writer: LogWriter, decision: Decision) -> None:
        under_way[writer] = tasks.start(commit_later(writer, decision))

    async def store_next(writer: LogWriter, writes: Sequence[Write], *, wait: bool) -> Decision:
        if (task := under_way.pop(writer, None)) is not None:
            await asyncio.wait([task])
        return await store(writer, writes, wait=wait)

    replace(LogWriter, "_commit", no_wait)
    replace(LogWriter, "store", store_next)


@mutant("publish-before-commit", "fan-out begins before COMMIT", "commit-lost", ["S2", "S1"])
def _publish_before_commit() -> None:
    apply, deliver, begin = LogWriter._apply, Writer._deliver, Writer.start
    writers: list[Writer] = []
    early: list[Decision] = []

    def start(writer: Writer) -> None:
        writers.append(writer)
        begin(writer)

    async def apply_and_deliver(store: LogWriter, decision: Decision) -> None:
        await apply(store, decision)
        early.append(decision)
        deliver(writers[0], decision)

    def deliver_once(writer: Writer, decision: Decision) -> None:
        if not any(decision is one for one in early):
            deliver(writer, decision)
        early[:] = [one for one in early if one is not decision]

    replace(Writer, "start", start)
    replace(LogWriter, "_apply", apply_and_deliver)
    replace(Writer, "_deliver", deliver_once)


@mutant("commit-unsynced", "synchronous_commit is off", "postgres-kill", ["A1", "S2", "D1", "S1"])
def _unsynced() -> None:
    begin = log._begin
    log._begin = lambda config: begin(config).replace(
        "synchronous_commit = on", "synchronous_commit = off"
    )


@mutant(
    "nonce-not-known", "nonces are not looked up", "commit-reply-lost", ["D1-nonce"], [NO_NONCES]
)
def _no_nonces() -> None:
    read = LogWriter._read

    async def forgetful(writer: LogWriter, writes: Sequence[Write]) -> Any:
        ledger = await read(writer, writes)
        ledger.known.clear()
        return ledger

    replace(LogWriter, "_read", forgetful)


@mutant("numbered-without-lock", "seqs without a lock", "client-reset", ["D1-seq"], [NO_KEY])
def _no_lock() -> None:
    log._LOCK = log._LOCK.replace("FOR NO KEY UPDATE {skip}", "")


@mutant(
    "seq-burnt", "seqs are taken outside of the transaction", "copy-reset", ["D1-hole", "D1-head"]
)
def _burnt() -> None:
    apply, rollback, store = LogWriter._apply, LogWriter._rollback, LogWriter.store
    applied: dict[LogWriter, Decision] = {}
    burnt: list[int] = []

    async def noted(writer: LogWriter, decision: Decision) -> None:
        applied[writer] = decision
        await apply(writer, decision)

    async def rolled_back(writer: LogWriter) -> None:
        burnt.extend(applied.pop(writer, Decision()).heads)
        await rollback(writer)

    async def burning(writer: LogWriter, writes: Sequence[Write], *, wait: bool) -> Decision:
        while burnt:
            await writer._connection.execute(
                "UPDATE channels SET last_seq = last_seq + 1 WHERE id = $1", burnt.pop()
            )
        return await store(writer, writes, wait=wait)

    replace(LogWriter, "_apply", noted)
    replace(LogWriter, "_rollback", rolled_back)
    replace(LogWriter, "store", burning)


@mutant("error-acked", "a batch that failed is acked all the same", "copy-reset", ["A1", "A2"])
def _error_acked() -> None:
    apply, store = LogWriter._apply, LogWriter.store
    applied: dict[LogWriter, Decision] = {}

    async def noted(writer: LogWriter, decision: Decision) -> None:
        applied[writer] = decision
        await apply(writer, decision)

    async def careless(writer: LogWriter, writes: Sequence[Write], *, wait: bool) -> Decision:
        try:
            return await store(writer, writes, wait=wait)
        except Exception:
            if writer not in applied:
                raise
            return applied.pop(writer)

    replace(LogWriter, "_apply", noted)
    replace(LogWriter, "store", careless)


@mutant(
    "unknown-refused", "a lost answer to COMMIT is a refusal", "commit-reply-lost", ["N1-refused"]
)
def _unknown_refused() -> None:
    store = LogWriter.store

    async def certain(writer: LogWriter, writes: Sequence[Write], *, wait: bool) -> Decision:
        try:
            return await store(writer, writes, wait=wait)
        except CommitUnknownError:
            for write in writes:
                write.error = ChatError(Code.NONCE_CONFLICT)
            return Decision()

    replace(LogWriter, "store", certain)


@mutant("roles-remembered", "membership is not read under the lock", "members-removed", ["M2"])
def _roles_remembered() -> None:
    read = LogWriter._read
    roles: dict[tuple[int, int], Any] = {}

    async def remembered(writer: LogWriter, writes: Sequence[Write]) -> Any:
        ledger = await read(writer, writes)
        roles.update(ledger.roles)
        ledger.roles.update({k: v for k, v in roles.items() if k[0] in ledger.channels})
        return ledger

    replace(LogWriter, "_read", remembered)


# --- rooms and the bus


@mutant("heads-unchecked", "no head check", "last-publish-lost", ["L1-tail"])
def _no_head_check() -> None:
    async def nothing(_: Rooms) -> None:
        return

    replace(Rooms, "_check_heads", nothing)


@mutant("acks-wait", "acks wait for the bus", "valkey-kill", ["T2"])
def _acks_wait() -> None:
    commit = LogWriter._commit
    buses: list[RedisBus] = []
    start = RedisBus.start

    async def noted(bus: RedisBus) -> None:
        buses.append(bus)
        await start(bus)

    async def after_the_bus(writer: LogWriter, decision: Decision) -> None:
        await commit(writer, decision)
        if not buses[0].connected:
            await asyncio.sleep(1.0)

    replace(RedisBus, "start", noted)
    replace(LogWriter, "_commit", after_the_bus)


@mutant("heads-checked-late", "heads are checked once a minute", "last-publish-lost", ["L1"])
def _heads_checked_late() -> None:
    check = Rooms._check_heads
    last = [0.0]

    async def seldom(rooms: Rooms) -> None:
        now = asyncio.get_running_loop().time()
        if now - last[0] > 60:
            last[0] = now
            await check(rooms)

    replace(Rooms, "_check_heads", seldom)


@mutant("links-unsupervised", "a link to Redis is not opened again", "valkey-kill", ["T1"])
def _unsupervised() -> None:
    replace(Limits, "backoff_s", lambda *_: FOR_EVER_S)


@mutant("old-delivered", "what is behind the cursor is not dropped", "publish-lost", ["S1"])
def _old_delivered() -> None:
    offer, place = Room.offer, Envelope.place
    news = 2**53  # so that its header does not give it away before it is parsed
    replace(Envelope, "place", staticmethod(lambda data: (place(data)[0], news)))

    def every(room: Room, envelope: Envelope) -> bool:
        if room.is_open and envelope.last <= room.cursor:
            room._fan_out(envelope.payload, 0)
            return True
        return offer(room, envelope)

    replace(Room, "offer", every)


@mutant("hole-passed", "a hole is not waited for", "publish-lost", ["S1-gap"])
def _hole_passed() -> None:
    offer = Room.offer

    def at_once(room: Room, envelope: Envelope) -> bool:
        if room.is_open and envelope.first > room.cursor + 1:
            room.cursor = envelope.first - 1
        return offer(room, envelope)

    replace(Room, "offer", at_once)


@mutant("removed-stay", "a removal does not end subscriptions", "members-removed", ["M1"])
def _removed_stay() -> None:
    replace(Room, "_end", lambda *_: None)


@mutant("resume-from-head", "a returning client begins at the head", "client-reset", ["S1-gap"])
def _resume_from_head() -> None:
    catch_up = Room.catch_up

    def from_head(room: Room, sub: Subscription, _: int) -> None:
        catch_up(room, sub, room.cursor)

    replace(Room, "catch_up", from_head)


@mutant("resume-one-late", "a returning client misses one entry", "client-reset", ["S1-gap"])
def _resume_one_late() -> None:
    tail_after = Room.tail_after

    def late(room: Room, cursor: int, max_bytes: int) -> tuple[bytes, int] | None:
        return tail_after(room, min(cursor + 1, room.cursor - 1), max_bytes)

    replace(Room, "tail_after", late)


@mutant("slow-skipped", "frames for a slow client are dropped", "slow-reader", ["S1-gap"])
def _slow_skipped() -> None:
    write = ServerLink.write

    def unless_slow(link: ServerLink, frames: bytes) -> None:
        protocol = link._protocol
        if protocol is not None and protocol.transport.get_write_buffer_size() < 2048:
            write(link, frames)

    replace(ServerLink, "write", unless_slow)
