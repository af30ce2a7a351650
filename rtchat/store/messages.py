"""SQL that reads the log: entries to catch up with, messages as history, heads and the epoch."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from msgspec import UNSET

from rtchat.errors import ChatError, Code, spread_ms
from rtchat.model import (
    ID_MAX,
    REACTION_USERS_MAX,
    ChannelType,
    Kind,
    LogEntry,
    Message,
    Reaction,
    Role,
)
from rtchat.store.database import Database
from rtchat.store.epoch import LATEST
from rtchat.store.together import Together

AT_ONCE = 200  # rooms, mostly: whose heads are asked for in one statement
COMPANY_MAX = 50  # channels; who asks about more asks alone

_ENTRY = """
    seq, kind, user_id, target, content, deleted_at IS NOT NULL AS deleted,
    (extract(epoch FROM timestamp) * 1000)::bigint AS ts
"""


def _rfc3339(column: str) -> str:
    """Text as `model.rfc3339` makes it: 100 µs less a page in Python, 10 more in PostgreSQL."""
    return f"""to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"""


# The arguments of `_message`, for the reader $2. A nonce that begins with U+007F is a pod's own, of
# no use to anybody.
_MESSAGE = f"""
    seq, user_id, content, {_rfc3339("timestamp")},
    CASE WHEN user_id = $2 AND left(nonce, 1) <> chr(127) THEN nonce END,
    {_rfc3339("edited_at")}, {_rfc3339("deleted_at")}
"""


# By message, what `Message.reactions` holds of the messages `p`, whose range is read in one piece.
# Of a reader who is not named nobody could tell that the reaction is theirs to take back.
_REACTIONS = f"""
    SELECT target, json_agg(
        json_build_object('emoji', emoji, 'count', count, 'users',
            CASE WHEN $2::bigint = ANY(users[{REACTION_USERS_MAX} + 1:])
            THEN users[:{REACTION_USERS_MAX} - 1] || $2::bigint
            ELSE users[:{REACTION_USERS_MAX}] END
        ) ORDER BY first
    ) AS reactions FROM (
        SELECT target, emoji, count(*), min(seq) AS first,
               array_agg(user_id ORDER BY seq) AS users
        FROM reactions WHERE channel_id = $1
        AND target BETWEEN (SELECT min(seq) FROM p) AND (SELECT max(seq) FROM p)
        GROUP BY target, emoji
    ) AS by_emoji GROUP BY target
"""
_reactions = msgspec.json.Decoder(list[Reaction]).decode


class Page(NamedTuple):
    """A page of messages in seq order, and what allows its reader to have it.

    `more`: there are more in the direction of reading.
    """

    type: ChannelType
    role: Role | None
    items: list[Message]
    more: bool


class Heads(NamedTuple):
    """Where logs stand, and the epoch to which that belongs, read in one statement.

    `read_only`: by a session that cannot write, a replica's perhaps; what it lacks may exist.
    """

    epoch: str
    read_only: bool
    of: dict[int, int]


class MessageStore:
    """Reads `messages`; the writer alone writes it (store.log)."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._together = Together(database, self._heads_of, AT_ONCE)

    async def entries(
        self, channel_id: int, after: int, upto: int | None, limit: int
    ) -> list[LogEntry]:
        """The entries with after < seq <= upto, in order, `limit` at most."""
        rows = await self._database.fetch(
            f"SELECT {_ENTRY} FROM messages"
            " WHERE channel_id = $1 AND seq > $2 AND ($3::bigint IS NULL OR seq <= $3)"
            " ORDER BY seq LIMIT $4",
            channel_id,
            after,
            upto,
            limit,
        )
        return [
            LogEntry(
                channel_id,
                row["seq"],
                Kind(row["kind"]),
                row["user_id"],
                row["target"],
                row["content"],
                row["ts"],
                None,
                row["deleted"],
            )
            for row in rows
        ]

    async def page(
        self, channel_id: int, reader: int, *, before: int | None, after: int | None, limit: int
    ) -> Page | None:
        """A page, and where its reader stands, read in one statement; None: no such channel.

        The newest page where neither `before` nor `after` is given.
        """
        forward = after is not None
        # The bound is always there: in a generic plan `$3 IS NULL OR …` is no condition for the
        # index, and a page deep down would be looked for from the head on.
        bound = after if forward else ID_MAX + 1 if before is None else before
        compare, order = (">", "ASC") if forward else ("<", "DESC")
        rows = await self._database.fetch(
            f"""
            WITH p AS MATERIALIZED (
                SELECT {_MESSAGE} FROM messages
                WHERE channel_id = $1 AND kind = {int(Kind.MESSAGE)} AND seq {compare} $3
                ORDER BY seq {order} LIMIT $4
            )
            SELECT p.*, r.reactions, c.type, m.role FROM channels c
            LEFT JOIN members m ON m.channel_id = c.id AND m.user_id = $2
            LEFT JOIN p ON true
            LEFT JOIN ({_REACTIONS}) r ON r.target = p.seq
            WHERE c.id = $1 AND c.deleted_at IS NULL ORDER BY p.seq
            """,
            channel_id,
            reader,
            bound,
            limit + 1,
        )
        if not rows:
            return None
        *_, channel_type, role = rows[0]
        found = rows if rows[0][0] is not None else []
        items = [_message(channel_id, *row[:-2]) for row in found]
        more = len(items) > limit
        if more:
            del items[limit if forward else 0]
        return Page(ChannelType(channel_type), Role(role) if role else None, items, more)

    async def one(self, channel_id: int, seq: int, reader: int) -> Message | None:
        """The message with this number, or None."""
        row = await self._database.fetchrow(
            f"""
            WITH p AS MATERIALIZED (
                SELECT {_MESSAGE} FROM messages
                WHERE channel_id = $1 AND seq = $3 AND kind = {int(Kind.MESSAGE)}
            )
            SELECT p.*, r.reactions FROM p LEFT JOIN ({_REACTIONS}) r ON r.target = p.seq
            """,
            channel_id,
            reader,
            seq,
        )
        return _message(channel_id, *row) if row else None

    async def heads(self, channel_ids: list[int]) -> Heads:
        """The last seq of each of these channels that still has a log, dropped ones included.

        Raises ChatError also where there is no epoch: a database that is being filled by a restore.
        """
        if len(channel_ids) > COMPANY_MAX:
            return (await self._heads_of([channel_ids]))[0]
        return await self._together.get(channel_ids)

    async def _heads_of(self, questions: Sequence[list[int]]) -> list[Heads]:
        rows = await self._database.fetch(
            f"SELECT e.epoch, e.read_only, c.id, c.last_seq FROM (SELECT ({LATEST}) AS epoch,"
            " current_setting('transaction_read_only')::boolean AS read_only) e"
            " LEFT JOIN channels c ON c.id = ANY($1)",
            list({channel_id for channel_ids in questions for channel_id in channel_ids}),
        )
        epoch, read_only = rows[0]["epoch"], rows[0]["read_only"]
        if epoch is None:
            raise ChatError(Code.UNAVAILABLE, after_ms=spread_ms(1000))
        found = {row["id"]: row["last_seq"] for row in rows if row["id"] is not None}
        return [
            Heads(epoch, read_only, {c: found[c] for c in ids if c in found}) for ids in questions
        ]

    async def reconnect(self) -> None:
        """Read over new connections from here on: these lead to a database that is not the one."""
        await self._database.reconnect()


def _message(
    channel_id: int,
    seq: int,
    user_id: int,
    content: str | None,
    timestamp: str,
    nonce: str | None,
    edited_at: str | None,
    deleted_at: str | None,
    reactions: str | None,
) -> Message:
    return Message(
        id=f"{channel_id}:{seq}",
        channel_id=channel_id,
        seq=seq,
        user_id=user_id,
        content=content or "",
        timestamp=timestamp,
        nonce=UNSET if nonce is None else nonce,
        edited_at=UNSET if edited_at is None else edited_at,
        deleted_at=UNSET if deleted_at is None else deleted_at,
        reactions=(UNSET if reactions is None or deleted_at is not None else _reactions(reactions)),
    )
