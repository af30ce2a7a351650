"""SQL of the log: the writer's one transaction, and reading entries back.

The transaction (READ COMMITTED) locks the rows of its batch's channels in a statement of its own,
in the order of their ids (two pods cannot deadlock), and only then, in later statements, reads
heads, roles and nonces: read in the locking statement they could be those of before the wait. A
crash anywhere before COMMIT leaves nothing; behind it, everything.

A batch of messages takes four requests, for each costs some 100 µs of CPU here and a way there and
back: BEGIN with its timeouts and the locks; what is to be read; COPY (two); heads and COMMIT. What
was locked stays in a setting of the transaction, until the read asks for it.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from asyncpg import exceptions as pg

from rtchat.batch import (
    ABOUT_MESSAGES,
    ABOUT_USERS,
    REACTIONS,
    ChannelState,
    Decision,
    Known,
    Ledger,
    Op,
    Target,
    Write,
    decide,
)
from rtchat.config import Config
from rtchat.model import ChannelType, Kind, LogEntry, Role
from rtchat.reactions import Reactions
from rtchat.store.database import UNAVAILABLE, Connection, Record

COLUMNS = (
    "channel_id", "seq", "kind", "user_id", "target", "content", "timestamp", "nonce",
)  # fmt: skip


# `{ids}` and `{skip}` are put in as text: several statements in one request take no parameters.
_LOCK = """
;SELECT set_config('rtchat.locked', coalesce(string_agg(id::text, ','), ''), true) FROM (
    SELECT id FROM channels WHERE id = ANY('{{{ids}}}') ORDER BY id FOR NO KEY UPDATE {skip}
) AS locked"""
_HEADS = """
UPDATE channels SET last_seq = n.seq
FROM unnest('{{{ids}}}'::bigint[], '{{{seqs}}}'::bigint[]) AS n (id, seq)
WHERE channels.id = n.id;"""

# First each channel with those who want something of it, then the nonces that are known. NULLs fill
# up what the other half has. OFFSET 0 keeps each look-up apart: joined, a planner that finds few
# rows in a table reads all of it, or compares each channel of a batch with every other.
READ = """
SELECT c.id, p.user_id, c.type, c.last_seq, c.deleted_at IS NOT NULL, m.role,
       (extract(epoch FROM statement_timestamp()) * 1000)::bigint,
       c.id IN (SELECT unnest(string_to_array(current_setting('rtchat.locked'), ',')::bigint[])),
       NULL::text, NULL::smallint, NULL::text, NULL::bigint
FROM unnest($1::bigint[], $2::bigint[]) AS p (channel_id, user_id)
CROSS JOIN LATERAL (SELECT * FROM channels WHERE id = p.channel_id OFFSET 0) c
LEFT JOIN LATERAL (
    SELECT role FROM members WHERE channel_id = p.channel_id AND user_id = p.user_id OFFSET 0
) m ON true
UNION ALL
SELECT m.channel_id, m.user_id, NULL, m.seq, m.edited_at IS NOT NULL OR m.deleted_at IS NOT NULL,
       NULL, (extract(epoch FROM m.timestamp) * 1000)::bigint, NULL,
       m.nonce, m.kind, m.content, m.target
FROM unnest($3::bigint[], $4::bigint[], $5::text[]) AS n (user_id, channel_id, nonce)
CROSS JOIN LATERAL (
    SELECT * FROM messages
    WHERE user_id = n.user_id AND channel_id = n.channel_id AND nonce = n.nonce OFFSET 0
) m
"""

# Each emoji of a message, found by a step from one to the next in the key, and enough of its users.
REACTED = """
SELECT t.channel_id, t.target, e.emoji, r.user_id
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS t (channel_id, target, enough)
CROSS JOIN LATERAL (
    WITH RECURSIVE found AS (
        (SELECT emoji FROM reactions WHERE channel_id = t.channel_id AND target = t.target
         ORDER BY emoji LIMIT 1)
        UNION ALL
        SELECT (SELECT emoji FROM reactions WHERE channel_id = t.channel_id AND target = t.target
                AND emoji > found.emoji ORDER BY emoji LIMIT 1)
        FROM found WHERE found.emoji IS NOT NULL
    ) SELECT emoji FROM found WHERE emoji IS NOT NULL
) e
CROSS JOIN LATERAL (
    SELECT user_id FROM reactions
    WHERE channel_id = t.channel_id AND target = t.target AND emoji = e.emoji
    ORDER BY user_id LIMIT t.enough
) r
"""

_TYPES = {t.value: t for t in ChannelType}
_ROLES = {r.value: r for r in Role}


class CommitUnknownError(Exception):
    """COMMIT was sent and its answer did not come: stored or not, only reading again tells."""


# A plan that was made while the log was short, and kept, reads it from end to end however long it
# grows, until the table is analyzed: 17 ms a batch at 100 000 rows. What a batch reads is always a
# few rows by their keys, so it is planned once, and for that only.
BY_KEY = "".join(
    f"SET LOCAL {setting};"
    for setting in (
        "plan_cache_mode = force_generic_plan",
        "enable_seqscan = off",
        "enable_hashjoin = off",
        "enable_mergejoin = off",
    )
)


def _begin(config: Config) -> str:
    """BEGIN with its settings, one round trip; SET LOCAL, so a pooler may hand us any session."""
    return (
        "BEGIN ISOLATION LEVEL READ COMMITTED;"
        f"SET LOCAL synchronous_commit = on;{BY_KEY}"
        f"SET LOCAL lock_timeout = {config.lock_wait_ms};"
        f"SET LOCAL statement_timeout = {config.query_timeout_ms};"
        f"SET LOCAL idle_in_transaction_session_timeout = {config.idle_in_transaction_ms}"
    )


class LogWriter:
    """Stores batches on one connection that is its own."""

    def __init__(self, config: Config, connection: Connection) -> None:
        self._connection = connection
        self._begin = _begin(config)
        self._reactions_max = config.reactions_max

    @property
    def usable(self) -> bool:
        """Whether the connection still stands."""
        return not self._connection.is_closed()

    def terminate(self) -> None:
        """Cut the connection; the server rolls back what was open."""
        self._connection.terminate()

    async def store(self, writes: Sequence[Write], *, wait: bool) -> Decision:
        """Decide and commit `writes`, all or nothing.

        `wait`: queue for the channels' locks instead of passing over the locked ones. Raises
        CommitUnknownError, or what asyncpg raises; in the second case nothing is stored.
        """
        connection = self._connection
        try:
            await self._lock(writes, wait=wait)
            decision = decide(writes, await self._read(writes))
            if decision.empty:
                await connection.execute("ROLLBACK")
                return decision
            await self._apply(decision)
        except (OSError, TimeoutError, asyncio.CancelledError):
            self.terminate()  # a ROLLBACK would wait as long once more for the same dead link
            raise
        except BaseException:
            await self._rollback()
            raise
        await self._commit(decision)
        return decision

    async def _commit(self, decision: Decision) -> None:
        heads = "" if decision.roles else _heads(decision)  # which wanted them before
        try:
            tag = await self._connection.execute(f"{heads}COMMIT")
        except pg.PostgresError as error:
            if self._connection.is_closed():
                raise CommitUnknownError from error
            await self._rollback()
            raise  # the server answered: it did not commit
        except asyncio.CancelledError:
            self._connection.terminate()
            raise
        except Exception as error:  # no memory, perhaps: the transaction must not stay open
            self._connection.terminate()
            raise CommitUnknownError from error
        assert tag == "COMMIT", tag

    async def _rollback(self) -> None:
        if self._connection.is_closed():
            return
        try:
            await self._connection.execute("ROLLBACK")
        except (*UNAVAILABLE, pg.PostgresError):
            self._connection.terminate()

    async def _lock(self, writes: Sequence[Write], *, wait: bool) -> None:
        """Begin, and lock."""
        ids = ",".join(map(str, {w.channel_id for w in writes}))
        lock = _LOCK.format(ids=ids, skip="" if wait else "SKIP LOCKED")
        await self._connection.execute(self._begin + lock)

    async def _read(self, writes: Sequence[Write]) -> Ledger:
        """Read all that `decide` may ask, under the locks."""
        pairs = {(w.channel_id, w.user_id) for w in writes}
        about_users = [w for w in writes if w.op in ABOUT_USERS and w.target is not None]
        pairs |= {(w.channel_id, w.target) for w in about_users if w.target is not None}
        asked = [w for w in writes if w.check]
        rows = await self._connection.fetch(
            READ,
            [channel for channel, _ in pairs],
            [user for _, user in pairs],
            [w.user_id for w in asked],
            [w.channel_id for w in asked],
            [w.nonce for w in asked],
        )
        ledger = _ledger(rows)
        if any(w.op is Op.ADD for w in about_users):
            found = await self._connection.fetch(
                "SELECT id FROM users WHERE id = ANY($1)", [w.target for w in about_users]
            )
            ledger.users = {row[0] for row in found}
        if about := [w for w in writes if w.op in ABOUT_MESSAGES]:
            ledger.targets = await self._targets(about)
            if reacting := [w for w in about if w.op in REACTIONS]:
                ledger.reactions = await self._reactions(reacting)
        return ledger

    async def _targets(self, writes: Sequence[Write]) -> dict[tuple[int, int], Target]:
        rows = await self._connection.fetch(
            """
            SELECT m.channel_id, m.seq, m.user_id, m.deleted_at IS NOT NULL AS deleted
            FROM unnest($1::bigint[], $2::bigint[]) AS t (channel_id, seq)
            CROSS JOIN LATERAL (
                SELECT * FROM messages WHERE channel_id = t.channel_id AND seq = t.seq OFFSET 0
            ) m WHERE m.kind = $3
            """,
            [w.channel_id for w in writes],
            [w.target for w in writes],
            int(Kind.MESSAGE),
        )
        return {(r["channel_id"], r["seq"]): Target(r["user_id"], r["deleted"]) for r in rows}

    async def _reactions(self, writes: Sequence[Write]) -> Reactions:
        messages = Counter((w.channel_id, w.target) for w in writes)
        rows = await self._connection.fetch(
            REACTED,
            [channel for channel, _ in messages],
            [target for _, target in messages],
            [count + 1 for count in messages.values()],
        )
        reactions = Reactions(self._reactions_max)
        for row in rows:
            reactions.stands(tuple(row))
        return reactions

    async def _apply(self, decision: Decision) -> None:
        if decision.entries:
            await self._copy(decision.entries)
            await self._change_channels(decision)
            await self._change_messages(decision)
            if decision.reactions is not None:
                await self._change_reactions(decision.reactions)
        if decision.roles:
            if heads := _heads(decision):  # where a new member has read to is the head
                await self._connection.execute(heads)
            await self._set_roles(decision)

    async def _copy(self, entries: Sequence[LogEntry]) -> None:
        await self._connection.copy_records_to_table(
            "messages", records=rows_of(entries), columns=COLUMNS
        )

    async def _change_channels(self, decision: Decision) -> None:
        for channel_id, name in decision.names.items():
            await self._connection.execute(
                "UPDATE channels SET name = $2, updated_at = now() WHERE id = $1", channel_id, name
            )
        if decision.dropped:
            dropped = list(decision.dropped)
            await self._connection.execute(
                "UPDATE channels SET deleted_at = now(), updated_at = now() WHERE id = ANY($1)",
                dropped,
            )
            await self._connection.execute(
                "DELETE FROM members WHERE channel_id = ANY($1)", dropped
            )

    async def _change_messages(self, decision: Decision) -> None:
        if decision.edited:
            await self._connection.execute(
                "UPDATE messages SET content = e.content, edited_at = now()"
                " FROM unnest($1::bigint[], $2::bigint[], $3::text[])"
                " AS e (channel_id, seq, content)"
                " WHERE messages.channel_id = e.channel_id AND messages.seq = e.seq",
                [channel for channel, _ in decision.edited],
                [seq for _, seq in decision.edited],
                list(decision.edited.values()),
            )
        if decision.blanked:  # the message, and what its edits had made of it
            channels = [channel for channel, _ in decision.blanked]
            seqs = [seq for _, seq in decision.blanked]
            for column, kind in (("seq", Kind.MESSAGE), ("target", Kind.EDIT)):
                await self._connection.execute(
                    "UPDATE messages SET content = '', deleted_at = now()"
                    " FROM unnest($1::bigint[], $2::bigint[]) AS d (channel_id, seq)"
                    f" WHERE messages.channel_id = d.channel_id AND messages.{column} = d.seq"
                    f" AND messages.kind = {int(kind)}",
                    channels,
                    seqs,
                )
            await self._connection.execute(
                "DELETE FROM reactions USING unnest($1::bigint[], $2::bigint[]) AS d (channel, seq)"
                " WHERE reactions.channel_id = d.channel AND reactions.target = d.seq",
                channels,
                seqs,
            )

    async def _change_reactions(self, reactions: Reactions) -> None:
        if reactions.removed:
            await self._connection.execute(
                "DELETE FROM reactions USING"
                " unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[])"
                " AS r (channel_id, target, emoji, user_id)"
                " WHERE reactions.channel_id = r.channel_id AND reactions.target = r.target"
                " AND reactions.emoji = r.emoji AND reactions.user_id = r.user_id",
                *zip(*reactions.removed, strict=True),
            )
        if reactions.added:
            await self._connection.execute(
                "INSERT INTO reactions (channel_id, target, emoji, user_id, seq) SELECT *"
                " FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[])"
                " ON CONFLICT DO NOTHING",
                *zip(*reactions.added, strict=True),
                list(reactions.added.values()),
            )

    async def _set_roles(self, decision: Decision) -> None:
        gone = [key for key, role in decision.roles.items() if role is None]
        if gone:
            await self._connection.execute(
                "DELETE FROM members USING unnest($1::bigint[], $2::bigint[])"
                " AS g (channel_id, user_id)"
                " WHERE members.channel_id = g.channel_id AND members.user_id = g.user_id",
                [channel for channel, _ in gone],
                [user for _, user in gone],
            )
        # "owner" sorts last: an old owner has stepped down before the new one is written, as the
        # unique index on owners demands.
        kept = sorted(
            ((c, u, role.value) for (c, u), role in decision.roles.items() if role is not None),
            key=lambda row: row[2],
        )
        await self._connection.executemany(
            """
            INSERT INTO members (channel_id, user_id, role, read_seq)
            SELECT id, $2, $3, last_seq FROM channels WHERE id = $1
            ON CONFLICT (channel_id, user_id) DO UPDATE SET role = excluded.role
            """,
            kept,
        )


def _ledger(rows: Sequence[Record]) -> Ledger:
    ledger = Ledger(0, {}, set(), {}, set(), {})
    for channel, user, kind_of, seq, flag, role, ms, locked, nonce, kind, content, target in rows:
        if kind_of is None:
            known = Known(seq, ms, Kind(kind), content, target, flag)
            ledger.known[channel, user, nonce] = known
            continue
        if channel not in ledger.channels:
            ledger.now_ms = ms
            ledger.channels[channel] = ChannelState(_TYPES[kind_of], seq, flag)
            if locked:
                ledger.locked.add(channel)
        if role is not None:
            ledger.roles[channel, user] = _ROLES[role]
    return ledger


def _heads(decision: Decision) -> str:
    if not decision.heads:
        return ""
    ids, seqs = decision.heads.keys(), decision.heads.values()
    return _HEADS.format(ids=",".join(map(str, ids)), seqs=",".join(map(str, seqs)))


def rows_of(entries: Iterable[LogEntry]) -> Iterator[tuple[Any, ...]]:
    """Entries as COPY takes them, in the order of COLUMNS. Those of a batch share a time."""
    ts, moment = -1, None
    for e in entries:
        if e.ts != ts:
            ts, moment = e.ts, datetime.fromtimestamp(e.ts / 1000, UTC)
        yield e.channel_id, e.seq, e.kind, e.user_id, e.target, e.content, moment, e.nonce
