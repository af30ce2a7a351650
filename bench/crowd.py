"""People by the thousand: users with a session each, written straight into the database.

Owns: their rows, and the tokens that they show, signed as the server signs them. Registering them
over REST would hash a password each, 0.2 s of CPU; nothing else is done behind the server's back.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from rtchat.auth.tokens import Tokens
from rtchat.config import Config

SESSION_S = 7 * 86_400


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a session."""

    id: int
    name: str
    session_id: int
    tokens: Tokens

    def token(self) -> str:
        """A new access token; a provider for `Client(tokens=…)`."""
        return self.tokens.sign(self.id, self.session_id)


async def gather(database_url: str, secret_key: str, names: Sequence[str]) -> list[Person]:
    """Make a user and a session for each name, in that order; addresses are unique by the run."""
    run = secrets.token_hex(4)
    tokens = Tokens(Config(secret_key=secret_key))
    connection = await asyncpg.connect(database_url)
    try:
        async with connection.transaction():
            users = await _ids(connection, "users", len(names))
            sessions = await _ids(connection, "sessions", len(names))
            expires = await connection.fetchval(
                "SELECT now() + make_interval(secs => $1)", float(SESSION_S)
            )
            await connection.copy_records_to_table(
                "users",
                columns=["id", "email", "name"],
                records=[
                    (user, f"irc-{run}-{n}@example.org", name)
                    for n, (user, name) in enumerate(zip(users, names, strict=True))
                ],
            )
            await connection.copy_records_to_table(
                "sessions",
                columns=["id", "user_id", "expires_at"],
                records=[(s, user, expires) for s, user in zip(sessions, users, strict=True)],
            )
    finally:
        await connection.close()
    return [
        Person(user, name, session, tokens)
        for user, name, session in zip(users, names, sessions, strict=True)
    ]


async def _ids(connection: asyncpg.Connection, table: str, count: int) -> list[int]:
    """Take so many ids from a table's sequence."""
    rows = await connection.fetch(
        "SELECT nextval(pg_get_serial_sequence($1, 'id')) FROM generate_series(1, $2)",
        table,
        count,
    )
    return [row[0] for row in rows]


async def open_channels(database_url: str, members: Sequence[Sequence[int]]) -> list[int]:
    """Make a public channel for each list of user ids; the first of them owns it. No entries."""
    connection = await asyncpg.connect(database_url)
    try:
        async with connection.transaction():
            channels = await _ids(connection, "channels", len(members))
            await connection.copy_records_to_table(
                "channels",
                columns=["id", "name", "type", "created_by"],
                records=[
                    (channel, f"bench {channel}", "public", users[0])
                    for channel, users in zip(channels, members, strict=True)
                ],
            )
            await connection.copy_records_to_table(
                "members",
                columns=["channel_id", "user_id", "role"],
                records=[
                    (channel, user, "member" if n else "owner")
                    for channel, users in zip(channels, members, strict=True)
                    for n, user in enumerate(users)
                ],
            )
    finally:
        await connection.close()
    return channels


async def write_log(database_url: str, channel_id: int, users: Sequence[int], count: int) -> None:
    """Give a channel that has no entries so many messages of 100 bytes, by these users in turn."""
    connection = await asyncpg.connect(database_url)
    try:
        async with connection.transaction():
            await connection.execute(
                """
                INSERT INTO messages (channel_id, seq, kind, user_id, content, timestamp, nonce)
                SELECT $1, n, 1, ($2::bigint[])[1 + n % cardinality($2)],
                       rpad('message ' || n || ' ', 100, 'and so on '),
                       date_trunc('milliseconds', now()) + n * interval '1 second', 'bench-' || n
                FROM generate_series(1, $3::bigint) AS n
                """,
                channel_id,
                users,
                count,
                timeout=300,
            )
            await connection.execute(
                "UPDATE channels SET last_seq = $2 WHERE id = $1", channel_id, count
            )
            await connection.execute(
                "UPDATE members SET read_seq = $2 WHERE channel_id = $1", channel_id, count
            )
        await connection.execute("VACUUM ANALYZE messages, channels, members", timeout=300)
    finally:
        await connection.close()
