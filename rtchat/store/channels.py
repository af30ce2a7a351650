"""SQL of `channels` and `members`: creating and reading. Changes go through the writer's log."""

from collections.abc import Sequence
from typing import NamedTuple

from asyncpg import exceptions as pg

from rtchat.errors import ChatError, Code
from rtchat.model import Channel, ChannelType, Kind, Member, Role, rfc3339
from rtchat.store.database import AnyConnection, Database, Record
from rtchat.store.epoch import LATEST
from rtchat.store.together import Together
from rtchat.store.users import user_from


class Standing(NamedTuple):
    """Where a user stands with a channel, and where its log stands, read in one statement."""

    type: ChannelType
    role: Role | None
    head: int


class Standings(NamedTuple):
    """Where a user stands with some channels, and the log's epoch, read in one statement.

    `read_only`: by a session that cannot write, a replica's perhaps; what it lacks may exist.
    """

    epoch: str | None
    read_only: bool
    of: dict[int, Standing]


class Stored(NamedTuple):
    """What became of a mark of reading."""

    seen: bool  # False: no such member, or its row is locked just now
    read_seq: int | None  # where it stands since; None: it did not move


AT_ONCE = 200  # users whose standing is asked for in one statement
COMPANY_MAX = 50  # channels; who asks about more asks alone


# Unread: messages of others behind what was read, counted up to a bound ($2), and looked for in so
# many last entries at most that a long log of one's own is not read for nothing.
UNREAD_DEPTH = 4
_VIEW = f"""
    SELECT c.id, c.name, c.type, c.created_by, c.created_at, c.updated_at, c.last_seq,
           m.role, m.read_seq,
           CASE WHEN m.role IS NULL THEN NULL ELSE (
               SELECT count(*) FROM (
                   SELECT 1 FROM messages
                   WHERE channel_id = c.id AND kind = {int(Kind.MESSAGE)}
                         AND seq > greatest(m.read_seq, c.last_seq - {UNREAD_DEPTH} * $2::bigint)
                         AND user_id <> $1 AND deleted_at IS NULL
                   LIMIT $2
               ) AS bounded
           ) END AS unread
    FROM channels c LEFT JOIN members m ON m.channel_id = c.id AND m.user_id = $1
    WHERE c.deleted_at IS NULL
"""


# A row that is locked is passed over: its writer is not waited for, so nobody can wait for us in
# turn, whatever the order. Two pods that mark the same rows do so in one order, by their keys.
_MARK = """
    WITH asked AS (
        SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[])
            AS a (user_id, channel_id, seq)
    ), held AS (
        SELECT m.channel_id, m.user_id, least(a.seq, c.last_seq) AS seq
        FROM asked a
        JOIN members m ON m.channel_id = a.channel_id AND m.user_id = a.user_id
        JOIN channels c ON c.id = a.channel_id
        ORDER BY m.channel_id, m.user_id FOR NO KEY UPDATE OF m SKIP LOCKED
    ), moved AS (
        UPDATE members m SET read_seq = h.seq FROM held h
        WHERE m.channel_id = h.channel_id AND m.user_id = h.user_id AND m.read_seq < h.seq
        RETURNING m.channel_id, m.user_id, m.read_seq
    )
    SELECT h.seq IS NOT NULL AS seen, moved.read_seq
    FROM asked a LEFT JOIN held h USING (channel_id, user_id)
    LEFT JOIN moved USING (channel_id, user_id)
    ORDER BY a.channel_id, a.user_id
"""


class ChannelStore:
    """Reads channels as one user sees them; `unread_max` bounds what is counted."""

    def __init__(self, database: Database, unread_max: int) -> None:
        self._database = database
        self._unread_max = unread_max
        self._together = Together(database, self._standings, AT_ONCE)

    async def create(
        self, creator: int, name: str, channel_type: ChannelType, members: Sequence[int]
    ) -> int:
        """Add a channel owned by `creator`, who and `members` are in it. Returns its id."""
        async with self._database.transaction() as c:
            channel_id: int = await c.fetchval(
                "INSERT INTO channels (name, type, created_by) VALUES ($1, $2, $3) RETURNING id",
                name,
                channel_type.value,
                creator,
            )
            people = [(creator, Role.OWNER.value)] + [(m, Role.MEMBER.value) for m in members]
            await _add(c, channel_id, people)
            return channel_id

    async def create_dm(self, creator: int, people: Sequence[int]) -> tuple[int, bool]:
        """Find or make the dm of exactly these `people`. Returns its id and whether it is new."""
        key = ",".join(map(str, sorted(people)))
        async with self._database.transaction() as c:
            # A plain INSERT … ON CONFLICT: the loser of a race waits here for the winner's commit.
            new: int | None = await c.fetchval(
                "INSERT INTO channels (type, created_by, dm_key) VALUES ('dm', $1, $2)"
                " ON CONFLICT (dm_key) DO NOTHING RETURNING id",
                creator,
                key,
            )
            if new is None:
                found: int = await c.fetchval("SELECT id FROM channels WHERE dm_key = $1", key)
                return found, False
            await _add(c, new, [(p, Role.MEMBER.value) for p in people])
            return new, True

    async def standing(self, user_id: int, channel_ids: Sequence[int]) -> Standings:
        """Role and head of each of these channels that exists, and the log's epoch."""
        question = (user_id, channel_ids)
        if len(channel_ids) > COMPANY_MAX:
            return (await self._standings([question]))[0]
        return await self._together.get(question)

    async def _standings(self, questions: Sequence[tuple[int, Sequence[int]]]) -> list[Standings]:
        pairs = list({(user, channel) for user, channels in questions for channel in channels})
        rows = await self._database.fetch(
            "SELECT e.epoch, e.read_only, asked.user_id, c.id, c.type, c.last_seq, m.role"
            f" FROM (SELECT ({LATEST}) AS epoch,"
            " current_setting('transaction_read_only')::boolean AS read_only) e"
            " LEFT JOIN (unnest($1::bigint[], $2::bigint[]) AS asked (user_id, channel_id)"
            # ANY: by index, whatever a plan for any values expects.
            " JOIN channels c"
            " ON c.id = asked.channel_id AND c.id = ANY($2) AND c.deleted_at IS NULL"
            " LEFT JOIN members m ON m.channel_id = c.id AND m.user_id = asked.user_id) ON true",
            [user for user, _ in pairs],
            [channel for _, channel in pairs],
        )
        found = {(row["user_id"], row["id"]): _standing(row) for row in rows if row["id"]}
        epoch, read_only = rows[0]["epoch"], rows[0]["read_only"]
        return [
            Standings(
                epoch,
                read_only,
                {c: found[user, c] for c in channels if (user, c) in found},
            )
            for user, channels in questions
        ]

    async def view(self, user_id: int, channel_id: int) -> Channel | None:
        """The channel as this user sees it; whether the user may is the caller's question."""
        row = await self._database.fetchrow(
            f"{_VIEW} AND c.id = $3", user_id, self._unread_max, channel_id
        )
        return _channel(row) if row else None

    async def mine(self, user_id: int, after: int, limit: int) -> list[Channel]:
        """The channels this user is a member of, by id."""
        rows = await self._database.fetch(
            f"{_VIEW} AND m.role IS NOT NULL AND c.id > $3 ORDER BY c.id LIMIT $4",
            user_id,
            self._unread_max,
            after,
            limit,
        )
        return [_channel(row) for row in rows]

    async def public(self, user_id: int, after: int, limit: int) -> list[Channel]:
        """The public channels, by id."""
        rows = await self._database.fetch(
            f"{_VIEW} AND c.type = 'public' AND c.id > $3 ORDER BY c.id LIMIT $4",
            user_id,
            self._unread_max,
            after,
            limit,
        )
        return [_channel(row) for row in rows]

    async def members(self, channel_id: int, after: int, limit: int) -> list[Member]:
        """The members of a channel, by user id."""
        rows = await self._database.fetch(
            "SELECT u.id, u.email, u.name, u.status, u.last_active, m.role, m.joined_at"
            " FROM members m JOIN users u ON u.id = m.user_id"
            " WHERE m.channel_id = $1 AND m.user_id > $2 ORDER BY m.user_id LIMIT $3",
            channel_id,
            after,
            limit,
        )
        return [_member(row) for row in rows]

    async def member(self, channel_id: int, user_id: int) -> Member | None:
        """One member of a channel."""
        row = await self._database.fetchrow(
            "SELECT u.id, u.email, u.name, u.status, u.last_active, m.role, m.joined_at"
            " FROM members m JOIN users u ON u.id = m.user_id"
            " WHERE m.channel_id = $1 AND m.user_id = $2",
            channel_id,
            user_id,
        )
        return _member(row) if row else None

    async def mark_read(self, marks: Sequence[tuple[int, int, int]]) -> list[Stored]:
        """Move marks (user, channel, seq) forward, to the head at most. By channel, then user, each
        pair once; answered in the same order."""
        rows = await self._database.fetch(
            _MARK,
            [user for user, _, _ in marks],
            [channel for _, channel, _ in marks],
            [seq for _, _, seq in marks],
        )
        return [Stored(row["seen"], row["read_seq"]) for row in rows]

    async def member_ids(self, channel_id: int) -> list[int]:
        """Everybody in a channel."""
        rows = await self._database.fetch(
            "SELECT user_id FROM members WHERE channel_id = $1", channel_id
        )
        return [row["user_id"] for row in rows]

    async def purge_dropped(self, older_than_s: float, rows: int) -> int:
        """Remove up to `rows` rows of a channel that was dropped a while ago; then itself.

        Returns how many rows went; 0 when there is nothing left to do. Pods may call it at the
        same time: each takes a channel that no other holds.
        """
        async with self._database.transaction() as c:
            channel_id = await c.fetchval(
                "SELECT id FROM channels WHERE deleted_at < now() - make_interval(secs => $1)"
                " ORDER BY deleted_at LIMIT 1 FOR UPDATE SKIP LOCKED",
                older_than_s,
            )
            if channel_id is None:
                return 0
            tag = await c.execute(
                "DELETE FROM messages WHERE channel_id = $1 AND seq IN"
                " (SELECT seq FROM messages WHERE channel_id = $1 ORDER BY seq LIMIT $2)",
                channel_id,
                rows,
            )
            gone = int(tag.rpartition(" ")[2])
            if gone < rows:
                tag = await c.execute(
                    "DELETE FROM reactions WHERE channel_id = $1 AND (target, emoji, user_id) IN"
                    " (SELECT target, emoji, user_id FROM reactions WHERE channel_id = $1"
                    " ORDER BY target, emoji, user_id LIMIT $2)",
                    channel_id,
                    rows - gone,
                )
                gone += int(tag.rpartition(" ")[2])
            if gone < rows:
                await c.execute("DELETE FROM members WHERE channel_id = $1", channel_id)
                await c.execute("DELETE FROM channels WHERE id = $1", channel_id)
                gone += 1
            return gone


async def _add(c: AnyConnection, channel_id: int, people: Sequence[tuple[int, str]]) -> None:
    try:
        await c.executemany(
            "INSERT INTO members (channel_id, user_id, role) VALUES ($1, $2, $3)",
            [(channel_id, user_id, role) for user_id, role in people],
        )
    except pg.ForeignKeyViolationError:
        raise ChatError(Code.NOT_FOUND, "There is no such user.", field="members") from None


def _standing(row: Record) -> Standing:
    return Standing(
        ChannelType(row["type"]), Role(row["role"]) if row["role"] else None, row["last_seq"]
    )


def _channel(row: Record) -> Channel:
    return Channel(
        id=row["id"],
        name=row["name"],
        type=ChannelType(row["type"]),
        created_by=row["created_by"],
        created_at=rfc3339(row["created_at"]),
        updated_at=rfc3339(row["updated_at"]),
        role=Role(row["role"]) if row["role"] else None,
        last_seq=row["last_seq"],
        read_seq=row["read_seq"],
        unread=row["unread"],
    )


def _member(row: Record) -> Member:
    return Member(user=user_from(row), role=Role(row["role"]), joined_at=rfc3339(row["joined_at"]))
