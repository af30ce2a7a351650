"""Runs Alembic's migrations, one at a time in the whole cluster.

Owns: the way from any older schema to the newest. Pods may start it together: `migrations/env.py`
holds an advisory lock, so one runs and the others wait, then find nothing to do. Each migration is
one transaction; a crash in the middle leaves the schema as it was before it.
"""

from pathlib import Path
from typing import NamedTuple

import rtchat

# Arbitrary, but the same in every version: the advisory lock that migrations take.
LOCK_KEY = 0x7274_6368_6174


def _script_location() -> Path:
    package = Path(rtchat.__file__).parent
    packed = package / "migrations"  # in an installed wheel
    return packed if packed.is_dir() else package.parent / "migrations"


def _config(url: str):  # type: ignore[no-untyped-def]  # Alembic is imported on first use: 0.3 s
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_script_location()))
    config.attributes["url"] = url
    return config


class MigrationError(Exception):
    """The database cannot be reached, or does not allow what the migration needs."""


def upgrade(url: str) -> None:
    """Bring the database at `url` to the newest schema. Not from inside a running event loop.

    Raises MigrationError.
    """
    from alembic import command
    from asyncpg import exceptions as pg
    from sqlalchemy.exc import DBAPIError

    refusals = (DBAPIError, pg.PostgresError, pg.InterfaceError, OSError, ValueError)
    try:
        command.upgrade(_config(url), "head")
    except (*refusals, TimeoutError) as error:
        raise MigrationError(f"the migration failed: {error}") from error


class Revision(NamedTuple):
    """A step of the schema: its number and what it does."""

    number: str
    words: str


def behind(number: str | None) -> list[Revision] | None:
    """The steps from the schema of this number (None: there is none) to the newest, oldest first.

    None: no version of this code has made such a schema; a newer one perhaps. Asks no database.
    """
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(_config(""))
    steps = [Revision(one.revision, one.doc) for one in scripts.walk_revisions()][::-1]
    if number is None:
        return steps
    numbers = [step.number for step in steps]
    return steps[numbers.index(number) + 1 :] if number in numbers else None


def check(url: str) -> None:
    """Raise `alembic.util.CommandError` when `store.schema` and the migrations differ."""
    from alembic import command

    command.check(_config(url))


def revision(url: str, message: str) -> None:
    """Write the migration from the database at `url` to `store.schema`, to be read and mended."""
    from alembic import command

    command.revision(_config(url), message=message, autogenerate=True)
