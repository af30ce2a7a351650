"""SQL of the log: the writer's one transaction, and reading entries back.

The transaction (READ COMMITTED) locks the rows of its batch's channels in a statement of its own,
in the order of their ids (two pods cannot deadlock), and only then, in later statements, reads
heads, roles and nonces: read in the locking statement they could be those of before the wait. A
crash anywhere before COMMIT leaves nothing; behind it, everything.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from asyncpg import exceptions as pg

from rtchat.batch import (
    ABOUT_MESSAGES,
    ABOUT_USERS,
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
from rtchat.store.database import UNAVAILABLE, Connection

COLUMNS = (
    "channel_id", "seq", "kind", "user_id", "target", "content", "timestamp", "nonce",
)  # fmt: skip


_LOCK_WAITING = "SELECT id FROM channels WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE"
_LOCK_FREE = f"{_LOCK_WAITING} SKIP LOCKED"


class CommitUnknownError(Exception):
    """COMMIT was sent and its answer did not come: stored or not, only reading again tells."""


def _begin(config: Config) -> str:
    """BEGIN with its timeouts, one round trip; SET LOCAL, so a pooler may hand us any session."""
    return (
        "BEGIN ISOLATION LEVEL READ COMMITTED;"
        "SET LOCAL synchronous_commit = on;"
        f"SET LOCAL lock_timeout = {config.lock_wait_ms};"
        f"SET LOCAL statement_timeout = {config.query_timeout_ms};"
        f"SET LOCAL idle_in_transaction_session_timeout = {config.idle_in_transaction_ms}"
    )


class LogWriter:
    """Stores batches on one connection that is its own."""

    def __init__(self, config: Config, connection: Connection) -> None:
        self._connection = connection
        self._begin = _begin(config)

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
            await connection.execute(self._begin)
            locked = await self._lock(writes, wait=wait)
            decision = decide(writes, await self._read(writes, locked))
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
        await self._commit()
        return decision

    async def _commit(self) -> None:
        try:
            tag = await self._connection.execute("COMMIT")
        except pg.PostgresError as error:
            if self._connection.is_closed():
                raise CommitUnknownError from error
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

    async def _lock(self, writes: Sequence[Write], *, wait: bool) -> set[int]:
        rows = await self._connection.fetch(
            _LOCK_WAITING if wait else _LOCK_FREE,
            list({w.channel_id for w in writes}),
        )
        return {row[0] for row in rows}

    async def _read(self, writes: Sequence[Write], locked: set[int]) -> Ledger:
        """Read all that `decide` may ask, under the locks."""
        pairs = {(w.channel_id, w.user_id) for w in writes}
        about_users = [w for w in writes if w.op in ABOUT_USERS and w.target is not None]
        pairs |= {(w.channel_id, w.target) for w in about_users if w.target is not None}
        ledger = Ledger(0, {}, locked, {}, set(), {})
        rows = await self._connection.fetch(
            """
            SELECT c.id, c.type, c.last_seq, c.deleted_at IS NOT NULL AS deleted,
                   m.user_id, m.role,
                   (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now_ms
            FROM channels c
            LEFT JOIN unnest($1::bigint[], $2::bigint[]) AS p (channel_id, user_id)
                 ON p.channel_id = c.id
            LEFT JOIN members m ON m.channel_id = p.channel_id AND m.user_id = p.user_id
            WHERE c.id = ANY($1)
            """,
            [channel for channel, _ in pairs],
            [user for _, user in pairs],
        )
        for row in rows:
            ledger.now_ms = row["now_ms"]
            if row["id"] not in ledger.channels:
                ledger.channels[row["id"]] = ChannelState(
                    ChannelType(row["type"]), row["last_seq"], row["deleted"]
                )
            if row["role"] is not None:
                ledger.roles[row["id"], row["user_id"]] = Role(row["role"])
        if any(w.op is Op.ADD for w in writes):
            found = await self._connection.fetch(
                "SELECT id FROM users WHERE id = ANY($1)", [w.target for w in about_users]
            )
            ledger.users = {row[0] for row in found}
        if asked := [w for w in writes if w.check]:
            ledger.known = await self._known(asked)
        if about := [w for w in writes if w.op in ABOUT_MESSAGES]:
            ledger.targets = await self._targets(about)
        return ledger

    async def _targets(self, writes: Sequence[Write]) -> dict[tuple[int, int], Target]:
        rows = await self._connection.fetch(
            """
            SELECT m.channel_id, m.seq, m.user_id, m.deleted_at IS NOT NULL AS deleted
            FROM unnest($1::bigint[], $2::bigint[]) AS t (channel_id, seq)
            JOIN messages m USING (channel_id, seq) WHERE m.kind = $3
            """,
            [w.channel_id for w in writes],
            [w.target for w in writes],
            int(Kind.MESSAGE),
        )
        return {(r["channel_id"], r["seq"]): Target(r["user_id"], r["deleted"]) for r in rows}

    async def _known(self, writes: Sequence[Write]) -> dict[tuple[int, int, str], Known]:
        rows = await self._connection.fetch(
            """
            SELECT m.channel_id, m.user_id, m.nonce, m.seq, m.kind, m.content, m.target,
                   (extract(epoch FROM m.timestamp) * 1000)::bigint AS ts,
                   m.edited_at IS NOT NULL OR m.deleted_at IS NOT NULL AS changed
            FROM unnest($1::bigint[], $2::bigint[], $3::text[]) AS n (user_id, channel_id, nonce)
            JOIN messages m USING (user_id, channel_id, nonce)
            """,
            [w.user_id for w in writes],
            [w.channel_id for w in writes],
            [w.nonce for w in writes],
        )
        return {
            (r["channel_id"], r["user_id"], r["nonce"]): Known(
                r["seq"], r["ts"], Kind(r["kind"]), r["content"], r["target"], r["changed"]
            )
            for r in rows
        }

    async def _apply(self, decision: Decision) -> None:
        if decision.entries:
            await self._copy(decision.entries)
            await self._advance(decision)
            await self._change_messages(decision)
        if decision.roles:
            await self._set_roles(decision)

    async def _copy(self, entries: Sequence[LogEntry]) -> None:
        await self._connection.copy_records_to_table(
            "messages", records=map(_row, entries), columns=COLUMNS
        )

    async def _advance(self, decision: Decision) -> None:
        ids = list(decision.heads)
        await self._connection.execute(
            "UPDATE channels SET last_seq = n.seq FROM unnest($1::bigint[], $2::bigint[])"
            " AS n (id, seq) WHERE channels.id = n.id",
            ids,
            [decision.heads[i] for i in ids],
        )
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


def _row(e: LogEntry) -> tuple[Any, ...]:
    return (
        e.channel_id, e.seq, int(e.kind), e.user_id, e.target, e.content,
        datetime.fromtimestamp(e.ts / 1000, UTC), e.nonce,
    )  # fmt: skip
