"""SQL of `sessions` and `refresh_tokens`.

A session is a login: one family of refresh tokens. Each token works once; a second use of one shows
that it was copied, and ends the session. Only hashes are stored.

What races here is decided by row locks, and by reading again under them, in `Database.transaction`.
"""

from collections.abc import Sequence
from typing import NamedTuple

from rtchat.model import LiveSession, User, rfc3339
from rtchat.store.database import AnyConnection, Database
from rtchat.store.together import Together
from rtchat.store.users import user_from

AT_ONCE = 200  # users in one statement


class Rotation(NamedTuple):
    """What became of a refresh token: `reused` tells that the session was ended for it."""

    session_id: int
    user_id: int
    reused: bool


class Holder(NamedTuple):
    """Whose a refresh token is, used or not, and how many seconds its session has still: none, or
    less, where it has expired."""

    user: User
    left_s: float


class SessionStore:
    """Reads and writes sessions; times are the database's, so that pods' clocks do not matter."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._users = Together(database, self._users_of, AT_ONCE)
        self._holders = Together(database, self._holders_of, AT_ONCE)

    @staticmethod
    async def create(
        connection: AnyConnection, user_id: int, token_hash: bytes, life_s: int, agent: str = ""
    ) -> int:
        """Open a session with its first refresh token, in the caller's transaction."""
        session_id: int = await connection.fetchval(
            "INSERT INTO sessions (user_id, expires_at, agent)"
            " VALUES ($1, now() + make_interval(secs => $2), $3) RETURNING id",
            user_id,
            float(life_s),
            agent,
        )
        await connection.execute(
            "INSERT INTO refresh_tokens (token_hash, session_id) VALUES ($1, $2)",
            token_hash,
            session_id,
        )
        return session_id

    async def holder(self, token_hash: bytes) -> Holder | None:
        """Whose a refresh token is; None: unknown, or its session was ended."""
        return await self._holders.get(token_hash)

    async def _holders_of(self, hashes: Sequence[bytes]) -> list[Holder | None]:
        rows = await self._database.fetch(
            "SELECT t.token_hash, u.id, u.email, u.name, u.status, u.last_active,"
            "       extract(epoch FROM s.expires_at - now())::float8 AS left_s"
            " FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id"
            " JOIN users u ON u.id = s.user_id"
            " WHERE t.token_hash = ANY($1) AND s.ended_at IS NULL",
            hashes,
        )
        found = {row["token_hash"]: Holder(user_from(row, own=True), row["left_s"]) for row in rows}
        return [found.get(one) for one in hashes]

    async def rotate(self, old_hash: bytes, new_hash: bytes) -> Rotation | None:
        """Use up one refresh token and store its successor, atomically.

        None: unknown, ended or expired. Of many at once with one token exactly one succeeds; the
        others find it used, which ends the session.
        """
        async with self._database.transaction() as c:
            row = await c.fetchrow(
                "SELECT s.id, s.user_id, t.used_at IS NOT NULL AS used,"
                "       s.ended_at IS NULL AND s.expires_at > now() AS alive"
                " FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id"
                " WHERE t.token_hash = $1 FOR UPDATE OF s",
                old_hash,
            )
            if row is None or not row["alive"]:
                return None
            # Read again under the lock: while we waited for it, somebody may have used the token.
            used = await c.fetchval(
                "SELECT used_at IS NOT NULL FROM refresh_tokens WHERE token_hash = $1", old_hash
            )
            if used:
                await c.execute("UPDATE sessions SET ended_at = now() WHERE id = $1", row["id"])
                return Rotation(row["id"], row["user_id"], reused=True)
            await c.execute(
                "UPDATE refresh_tokens SET used_at = now() WHERE token_hash = $1", old_hash
            )
            await c.execute(
                "INSERT INTO refresh_tokens (token_hash, session_id) VALUES ($1, $2)",
                new_hash,
                row["id"],
            )
            await c.execute("UPDATE sessions SET refreshed_at = now() WHERE id = $1", row["id"])
            return Rotation(row["id"], row["user_id"], reused=False)

    async def end_by_token(self, token_hash: bytes) -> int | None:
        """End the session that a refresh token belongs to; None when it is unknown or ended."""
        async with self._database.transaction() as c:
            ended: int | None = await c.fetchval(
                "UPDATE sessions SET ended_at = now() WHERE ended_at IS NULL AND id ="
                " (SELECT session_id FROM refresh_tokens WHERE token_hash = $1) RETURNING id",
                token_hash,
            )
        return ended

    @staticmethod
    async def end_all(connection: AnyConnection, user_id: int, keep: int = 0) -> list[int]:
        """End every session of a user but `keep`, under the user's lock (`UserStore.lock`)."""
        rows = await connection.fetch(
            "UPDATE sessions SET ended_at = now()"
            " WHERE user_id = $1 AND ended_at IS NULL AND id <> $2 RETURNING id",
            user_id,
            keep,
        )
        return [row["id"] for row in rows]

    @staticmethod
    async def end_beyond(connection: AnyConnection, user_id: int, limit: int) -> list[int]:
        """End those sessions of a user that are too many, unused longest first; under its lock."""
        rows = await connection.fetch(
            "UPDATE sessions SET ended_at = now() WHERE id IN (SELECT id FROM sessions"
            " WHERE user_id = $1 AND ended_at IS NULL AND expires_at > now()"
            " ORDER BY refreshed_at DESC, id DESC OFFSET $2) RETURNING id",
            user_id,
            limit,
        )
        return [row["id"] for row in rows]

    async def end_one(self, user_id: int, session_id: int) -> bool:
        """End a session of this user; False where there is none that stands."""
        async with self._database.transaction() as c:
            return await self.end(c, user_id, session_id)

    @staticmethod
    async def end(connection: AnyConnection, user_id: int, session_id: int) -> bool:
        """`end_one` in the caller's transaction."""
        ended = await connection.fetchval(
            "UPDATE sessions SET ended_at = now() WHERE id = $2 AND user_id = $1"
            " AND ended_at IS NULL AND expires_at > now() RETURNING id",
            user_id,
            session_id,
        )
        return ended is not None

    async def listing(
        self, user_id: int, current: int, before: int, limit: int
    ) -> list[LiveSession]:
        """A page of a user's sessions that stand, the newest first; `before` 0: the first page."""
        rows = await self._database.fetch(
            "SELECT id, created_at, refreshed_at, expires_at, agent FROM sessions"
            " WHERE user_id = $1 AND ended_at IS NULL AND expires_at > now()"
            " AND ($2::bigint = 0 OR id < $2) ORDER BY id DESC LIMIT $3",
            user_id,
            before,
            limit,
        )
        return [
            LiveSession(
                id=str(row["id"]),
                created_at=rfc3339(row["created_at"]),
                refreshed_at=rfc3339(row["refreshed_at"]),
                expires_at=rfc3339(row["expires_at"]),
                agent=row["agent"],
                current=row["id"] == current,
            )
            for row in rows
        ]

    @staticmethod
    async def age_s(connection: AnyConnection, session_id: int, user_id: int) -> float | None:
        """How long ago a session of this user was opened, in seconds; None unless it stands."""
        age: float | None = await connection.fetchval(
            "SELECT extract(epoch FROM now() - created_at)::float8 FROM sessions"
            " WHERE id = $1 AND user_id = $2 AND ended_at IS NULL AND expires_at > now()",
            session_id,
            user_id,
        )
        return age

    async def user_of(self, session_id: int, user_id: int) -> User | None:
        """The user of a session that still stands."""
        return await self._users.get((session_id, user_id))

    async def _users_of(self, pairs: Sequence[tuple[int, int]]) -> list[User | None]:
        rows = await self._database.fetch(
            "SELECT s.id AS session_id, u.id, u.email, u.name, u.status, u.last_active"
            " FROM sessions s JOIN users u ON u.id = s.user_id"
            " WHERE s.id = ANY($1) AND s.ended_at IS NULL AND s.expires_at > now()",
            list({session_id for session_id, _ in pairs}),
        )
        found = {(row["session_id"], row["id"]): user_from(row, own=True) for row in rows}
        return [found.get(pair) for pair in pairs]

    async def ended_since(self, seconds: float) -> list[int]:
        """Sessions that ended within the last `seconds`."""
        rows = await self._database.fetch(
            "SELECT id FROM sessions WHERE ended_at > now() - make_interval(secs => $1)", seconds
        )
        return [row["id"] for row in rows]

    async def purge(self, older_than_s: float, limit: int) -> int:
        """Remove up to `limit` sessions, with their tokens, that ended or expired that long ago."""
        gone = 0
        for column in ("ended_at", "expires_at"):  # each has its index
            tag = await self._database.execute(
                "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions"
                f" WHERE {column} < now() - make_interval(secs => $1) LIMIT $2)",
                older_than_s,
                limit,
            )
            gone += int(tag.rpartition(" ")[2])
        return gone
