"""SQL of the log's epoch, and what is asked of a database before it is used.

The epoch names one history of the whole log. An operator renews it when a log may have lost
acknowledged entries (a restored backup, a lossy failover): every cursor of before means nothing
then, and pods tell their clients so. Owns: reading it, renewing it, and whether the schema is one
that this version can serve. Must never: change anything of the log itself.
"""

import contextlib
from typing import NamedTuple

from asyncpg import exceptions as pg

from rtchat.errors import StartError
from rtchat.store import once
from rtchat.store.database import AnyConnection

# The oldest schema that this version can serve. Revisions are numbers of one length, so that they
# compare as texts; a newer one than ours is fine (pods of both versions run during an upgrade).
SCHEMA = "0004"

# As a part of other statements: then it belongs to the same moment as what these read.
LATEST = "SELECT epoch FROM log_epochs ORDER BY id DESC LIMIT 1"

_NO_SCHEMA = "the database has no schema of rtchat's: run `rtchat migrate` first"


class Renewed(NamedTuple):
    """An epoch and the one that took its place."""

    before: str
    now: str


async def current(connection: AnyConnection) -> str:
    """The epoch. Raises StartError where the schema is missing, or too old for this version."""
    version = found = None
    with contextlib.suppress(pg.UndefinedTableError):
        version = await connection.fetchval("SELECT version_num FROM alembic_version")
        found = await connection.fetchval(LATEST)
    if version is None or found is None:
        raise StartError(_NO_SCHEMA)
    if version < SCHEMA:
        raise StartError(
            f"the database has schema {version}, and {SCHEMA} is needed: run `rtchat migrate` first"
        )
    return str(found)


async def renew(connection: AnyConnection) -> Renewed:
    """Put a fresh random epoch in the place of the present one."""
    async with connection.transaction():
        before = await current(connection)
        now = await connection.fetchval("INSERT INTO log_epochs DEFAULT VALUES RETURNING epoch")
        return Renewed(before, str(now))


def read_at(url: str) -> str:
    """The epoch of the database at `url`, for the command line. Raises StartError."""
    return once.run(url, "reading the epoch", current)


def renew_at(url: str) -> Renewed:
    """Renew the epoch of the database at `url`, for the command line. Raises StartError."""
    return once.run(url, "renewing the epoch", renew)
