"""SQL that reads the log: entries to catch up with, messages as history, heads and the epoch."""

from typing import NamedTuple

from msgspec import UNSET

from rtchat.errors import ChatError, Code, spread_ms
from rtchat.model import Kind, LogEntry, Message, rfc3339
from rtchat.store.database import Database, Record
from rtchat.store.epoch import LATEST

_ENTRY = """
    seq, kind, user_id, target, content, deleted_at IS NOT NULL AS deleted,
    (extract(epoch FROM timestamp) * 1000)::bigint AS ts
"""
# A nonce that begins with U+007F is a pod's own, of no use to anybody.
_MESSAGE = (
    "channel_id, seq, user_id, content, timestamp, edited_at, deleted_at,"
    " nonce, left(nonce, 1) <> chr(127) AS given"
)


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
    ) -> tuple[list[Message], bool]:
        """A page of messages in seq order, and whether there are more in the direction of reading.

        The newest page where neither `before` nor `after` is given.
        """
        forward = after is not None
        bound = after if forward else before
        compare, order = (">", "ASC") if forward else ("<", "DESC")
        rows = await self._database.fetch(
            f"SELECT {_MESSAGE} FROM messages"
            f" WHERE channel_id = $1 AND kind = $2 AND ($3::bigint IS NULL OR seq {compare} $3)"
            f" ORDER BY seq {order} LIMIT $4",
            channel_id,
            int(Kind.MESSAGE),
            bound,
            limit + 1,
        )
        items = [_message(row, reader) for row in rows[:limit]]
        return items if forward else items[::-1], len(rows) > limit

    async def one(self, channel_id: int, seq: int, reader: int) -> Message | None:
        """The message with this number, or None."""
        row = await self._database.fetchrow(
            f"SELECT {_MESSAGE} FROM messages WHERE channel_id = $1 AND seq = $2 AND kind = $3",
            channel_id,
            seq,
            int(Kind.MESSAGE),
        )
        return _message(row, reader) if row else None

    async def heads(self, channel_ids: list[int]) -> Heads:
        """The last seq of each of these channels that still has a log, dropped ones included.

        Raises ChatError also where there is no epoch: a database that is being filled by a restore.
        """
        rows = await self._database.fetch(
            f"SELECT e.epoch, e.read_only, c.id, c.last_seq FROM (SELECT ({LATEST}) AS epoch,"
            " current_setting('transaction_read_only')::boolean AS read_only) e"
            " LEFT JOIN channels c ON c.id = ANY($1)",
            channel_ids,
        )
        if rows[0]["epoch"] is None:
            raise ChatError(Code.UNAVAILABLE, after_ms=spread_ms(1000))
        heads = {row["id"]: row["last_seq"] for row in rows if row["id"] is not None}
        return Heads(rows[0]["epoch"], rows[0]["read_only"], heads)

    async def reconnect(self) -> None:
        """Read over new connections from here on: these lead to a database that is not the one."""
        await self._database.reconnect()


def _message(row: Record, reader: int) -> Message:
    return Message(
        id=f"{row['channel_id']}:{row['seq']}",
        channel_id=row["channel_id"],
        seq=row["seq"],
        user_id=row["user_id"],
        content=row["content"] or "",
        timestamp=rfc3339(row["timestamp"]),
        nonce=row["nonce"] if row["user_id"] == reader and row["given"] else UNSET,
        edited_at=rfc3339(row["edited_at"]) if row["edited_at"] else UNSET,
        deleted_at=rfc3339(row["deleted_at"]) if row["deleted_at"] else UNSET,
    )
