"""SQL of a channel's log as an operator reads it: entries with their authors' names.

Owns: reading forward from a place, in read-only transactions, so that any role with SELECT on
`channels`, `members`, `messages` and `users` is enough. Must never: write, or skip an entry: a
channel's seqs have no holes, and are committed in order.
"""

from datetime import datetime
from typing import NamedTuple

from rtchat.model import Kind
from rtchat.store.database import AnyConnection

PAGE = 200


class Line(NamedTuple):
    """An entry: its content as it is now, which an edit or a deletion has changed."""

    channel_id: int
    seq: int
    kind: Kind
    user_id: int
    name: str | None  # of the author
    target: int | None
    content: str | None
    timestamp: datetime
    edited_at: datetime | None
    deleted_at: datetime | None


class State(NamedTuple):
    """Where a log stands, and whether its channel was deleted."""

    head: int
    deleted: bool


async def state(connection: AnyConnection, channel_id: int) -> State | None:
    """None: there is no such channel, or nothing of it any more."""
    async with connection.transaction(readonly=True):
        row = await connection.fetchrow(
            "SELECT last_seq, deleted_at IS NOT NULL FROM channels WHERE id = $1", channel_id
        )
    return State(*row) if row else None


async def page(connection: AnyConnection, channel_id: int, after: int) -> list[Line]:
    """The entries behind `after`, in order, `PAGE` at most."""
    async with connection.transaction(readonly=True):
        rows = await connection.fetch(
            "SELECT m.seq, m.kind, m.user_id, u.name, m.target, m.content, m.timestamp,"
            " m.edited_at, m.deleted_at"
            " FROM messages m LEFT JOIN users u ON u.id = m.user_id"
            " WHERE m.channel_id = $1 AND m.seq > $2 ORDER BY m.seq LIMIT $3",
            channel_id,
            after,
            PAGE,
        )
    return [Line(channel_id, row[0], Kind(row[1]), *list(row)[2:]) for row in rows]
