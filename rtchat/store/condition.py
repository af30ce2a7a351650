"""SQL of how a PostgreSQL is: its version, settings, clock and limits, as one role sees them.

Owns: the questions; what the answers mean is `operate.postgres`'s to say. Must never: write, or
need more rights than the server's own role has.
"""

import time
from typing import NamedTuple

from asyncpg import exceptions as pg

from rtchat.store import privileges
from rtchat.store.database import AnyConnection

# Of a database that is no rtchat's yet; what another one's table holds is no revision of ours.
_REVISION_MAX_CHARS = 32


class Condition(NamedTuple):
    """What was seen in one look."""

    version: int  # as 180001
    shown_version: str
    encoding: str
    replica: bool
    read_only: bool
    fsync: str
    full_page_writes: str
    synchronous_commit: str
    max_connections: int
    reserved: int  # of them for superusers, and for roles of a kind that ours is not
    role_limit: int  # -1: none
    database_limit: int
    connected: int  # backends of all databases, ours among them
    role: str
    revision: str | None  # of the schema; None: there is none
    lacking: list[tuple[str, list[str]]]
    excess: list[str]
    skew_s: float  # by how much its clock is ahead of this machine's
    within_s: float  # give or take


_ASKED = """
SELECT current_setting('server_version_num')::int, current_setting('server_version'),
       current_setting('server_encoding'), pg_is_in_recovery(),
       current_setting('transaction_read_only')::boolean,
       current_setting('fsync'), current_setting('full_page_writes'),
       current_setting('synchronous_commit'), current_setting('max_connections')::int,
       current_setting('superuser_reserved_connections')::int
           + coalesce(current_setting('reserved_connections', true)::int, 0),
       (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user),
       (SELECT datconnlimit FROM pg_database WHERE datname = current_database()),
       (SELECT coalesce(sum(numbackends), 0)::int FROM pg_stat_database),
       current_user::text
"""


async def look(connection: AnyConnection) -> Condition:
    """Ask once for everything."""
    row = await connection.fetchrow(_ASKED)
    assert row is not None
    lacking = await privileges.lacking(connection)
    standing = await privileges.standing_of(connection, row[-1])
    began = time.time()
    theirs: float = await connection.fetchval(
        "SELECT extract(epoch FROM clock_timestamp())::float8"
    )
    ended = time.time()
    return Condition._make(
        [
            *row,
            await _revision(connection),
            lacking,
            standing.excess if standing else [],
            theirs - (began + ended) / 2,
            (ended - began) / 2,
        ]
    )


async def _revision(connection: AnyConnection) -> str | None:
    try:
        found = await connection.fetchval("SELECT version_num FROM alembic_version")
    except (pg.UndefinedTableError, pg.UndefinedColumnError, pg.InsufficientPrivilegeError):
        return None
    return str(found)[:_REVISION_MAX_CHARS] if found else None
