"""SQL of what operators ask about people, their sessions and channels, on one connection.

Owns: these questions, and that somebody whom an operator made was never seen. Must never: write
anything else, or select a password's hash or a token's. Whoever is looked for by address or name is
found as sign-in and search find them: without case. Each list goes on behind the last of its ids.
"""

from datetime import datetime
from typing import NamedTuple

from rtchat.store.database import AnyConnection, Record

_PERSON = "id, email, name, status, created_at, last_active, disabled_at"
_SESSION = "id, user_id, agent, created_at, refreshed_at, expires_at, ended_at"
_CHANNEL = """c.id, c.type, c.name, c.created_at, c.deleted_at, c.last_seq,
    (SELECT count(*) FROM members WHERE channel_id = c.id) AS members"""
_STANDING = "array_position(ARRAY['owner', 'admin', 'member'], m.role), m.user_id"


class Person(NamedTuple):
    """A user, as an operator sees one."""

    id: int
    email: str | None
    name: str
    status: str
    created_at: datetime
    last_active: datetime | None
    disabled_at: datetime | None


class Ways(NamedTuple):
    """How somebody may sign in, and what there is of theirs."""

    password: bool
    providers: list[str]
    sessions: int  # that stand
    channels: int


class Opened(NamedTuple):
    """A session, whether it stands or not. Times are the database's."""

    id: int
    user_id: int
    agent: str
    created_at: datetime
    refreshed_at: datetime
    expires_at: datetime | None
    ended_at: datetime | None


class Place(NamedTuple):
    """A channel, as an operator sees one."""

    id: int
    type: str
    name: str | None  # a dm has none
    created_at: datetime
    deleted_at: datetime | None
    last_seq: int
    members: int


async def people(connection: AnyConnection, text: str, limit: int, after: int) -> list[Person]:
    """Users whose name begins with `text`, or whose whole address it is; all where it is empty.

    By id, those behind `after`.
    """
    if not text:
        rows = await connection.fetch(
            f"SELECT {_PERSON} FROM users WHERE id > $2 ORDER BY id LIMIT $1", limit, after
        )
    else:
        rows = await connection.fetch(
            f"SELECT {_PERSON} FROM users"
            " WHERE (lower(name) LIKE lower($1) || '%' OR lower(email) = lower($2)) AND id > $4"
            " ORDER BY id LIMIT $3",
            _literally(text),
            text,
            limit,
            after,
        )
    return [Person(*row) for row in rows]


async def never_seen(connection: AnyConnection, user_id: int) -> None:
    """Say of a user who was made just now that nobody was there for it."""
    await connection.execute("UPDATE users SET last_active = NULL WHERE id = $1", user_id)


async def person(connection: AnyConnection, who: str | int) -> Person | None:
    """The user of an address, or of an id."""
    if isinstance(who, int):
        row = await connection.fetchrow(f"SELECT {_PERSON} FROM users WHERE id = $1", who)
    else:
        row = await connection.fetchrow(
            f"SELECT {_PERSON} FROM users WHERE lower(email) = lower($1)", who
        )
    return Person(*row) if row else None


async def ways(connection: AnyConnection, user_id: int) -> Ways:
    """How a user that exists may sign in, and what there is of theirs."""
    row: Record | None = await connection.fetchrow(
        "SELECT password_hash IS NOT NULL AS password,"
        " ARRAY(SELECT provider FROM identities WHERE user_id = $1 ORDER BY provider),"
        " (SELECT count(*) FROM sessions"
        "  WHERE user_id = $1 AND ended_at IS NULL AND expires_at > now()),"
        " (SELECT count(*) FROM members WHERE user_id = $1)"
        " FROM users WHERE id = $1",
        user_id,
    )
    assert row is not None, user_id
    return Ways(*row)


async def sessions(connection: AnyConnection, user_id: int, limit: int, after: int) -> list[Opened]:
    """A user's sessions that stand, the newest first: those older than `after`."""
    rows = await connection.fetch(
        f"SELECT {_SESSION} FROM sessions"
        " WHERE user_id = $1 AND ended_at IS NULL AND expires_at > now() AND id < $3"
        " ORDER BY id DESC LIMIT $2",
        user_id,
        limit,
        after,
    )
    return [Opened(*row) for row in rows]


async def session(connection: AnyConnection, session_id: int) -> tuple[Opened, datetime] | None:
    """A session and the database's time; None: there is none, or none any more."""
    row = await connection.fetchrow(
        f"SELECT {_SESSION}, now() FROM sessions WHERE id = $1", session_id
    )
    return (Opened(*list(row)[:-1]), list(row)[-1]) if row else None


async def channels(connection: AnyConnection, text: str, limit: int, after: int) -> list[Place]:
    """Channels whose name begins with `text`; all that are there where it is empty.

    By id, those behind `after`.
    """
    rows = await connection.fetch(
        f"SELECT {_CHANNEL} FROM channels c WHERE deleted_at IS NULL"
        " AND ($1 = '' OR lower(name) LIKE lower($2) || '%') AND id > $4 ORDER BY id LIMIT $3",
        text,
        _literally(text),
        limit,
        after,
    )
    return [Place(*row) for row in rows]


async def called(connection: AnyConnection, name: str, limit: int) -> list[Place]:
    """The channels of exactly this name that are there: names need not be unique."""
    rows = await connection.fetch(
        f"SELECT {_CHANNEL} FROM channels c WHERE name = $1 AND deleted_at IS NULL"
        " ORDER BY id LIMIT $2",
        name,
        limit,
    )
    return [Place(*row) for row in rows]


async def channel(connection: AnyConnection, channel_id: int) -> Place | None:
    """A channel, deleted or not, while something of it is there."""
    row = await connection.fetchrow(f"SELECT {_CHANNEL} FROM channels c WHERE id = $1", channel_id)
    return Place(*row) if row else None


async def members(
    connection: AnyConnection, channel_id: int, limit: int, after: int
) -> list[Record]:
    """The members of a channel with name and role, those who may do most first.

    Behind the member `after`; 0: from the first.
    """
    rows: list[Record] = await connection.fetch(
        "SELECT m.user_id, u.name, m.role, m.joined_at FROM members m"
        " JOIN users u ON u.id = m.user_id WHERE m.channel_id = $1"
        f" AND ($3::bigint = 0 OR ({_STANDING}) >"
        f" (SELECT {_STANDING} FROM members m WHERE m.channel_id = $1 AND m.user_id = $3))"
        f" ORDER BY {_STANDING} LIMIT $2",
        channel_id,
        limit,
        after,
    )
    return rows


def _literally(text: str) -> str:
    """`text` for LIKE, where it stands for itself."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
