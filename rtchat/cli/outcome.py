"""How a command begins and how it ends: the settings it reads, and the status it leaves with.

Owns: the statuses, the one line that tells of a failure, and where a value came from. Must never:
show a secret, or import what only some commands need.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum
from typing import Any, NoReturn, TypeVar

import click

from rtchat import links, settings
from rtchat.config import Config, ConfigError
from rtchat.errors import StartError
from rtchat.operate.finding import origin
from rtchat.operate.terminal import printable

T = TypeVar("T")

limit_option = click.option(
    "--limit", type=click.IntRange(1, 10_000), default=50, help="How many at most."
)
after_option = click.option(
    "--after",
    type=click.IntRange(1, 2**53 - 1),
    metavar="ID",
    help="Go on behind this one, the last of the list before.",
)


class Status(IntEnum):
    """What the process ends with."""

    WELL = 0
    UNEXPECTED = 1
    WRONG = 2
    AWAY = 3


MEANINGS = {
    Status.WELL: "it is done; warnings do not change that",
    Status.UNEXPECTED: "an unexpected failure: a fault of rtchat's, with a traceback; or Ctrl+C,"
    " where a command was not meant to be ended so",
    Status.WRONG: "the command line, a setting, or what was handed in is wrong: mend that first",
    Status.AWAY: "something that rtchat depends on (the database, Redis, a server, the port) is not"
    " there, or not as it has to be: the same may succeed later",
}


def fail(message: str, status: Status) -> NoReturn:
    """End the process; `message` says what is wrong, where it came from, and how to mend it."""
    click.echo(f"rtchat: {printable(message)}", err=True)
    sys.exit(status)


def load(**given: Any) -> tuple[Config, dict[str, str]]:
    """Read the settings, `given` over all; with where each came from. Ends the process if wrong."""
    try:
        return settings.load(**given)
    except ConfigError as error:
        fail(str(error), Status.WRONG)


def database(config: Config, sources: Mapping[str, str], *, owner: bool = False) -> tuple[str, str]:
    """The URL of the database, and where it came from. Ends the process where none is set, or where
    the way there is not safe, as `rtchat serve` would.

    `owner`: for what the server's own role may not do. Whoever set one URL means it for both.
    """
    names = ("migrate_url", "database_url") if owner else ("database_url", "migrate_url")
    for name in names:
        if url := getattr(config, name):
            require_urls(config)
            return url, origin(name, sources)
    fail(
        "RTCHAT_DATABASE_URL (or RTCHAT_MIGRATE_URL) is not set. It names the database:"
        " postgresql://user:password@host:5432/rtchat",
        Status.WRONG,
    )


def require_urls(config: Config) -> None:
    """End the process where a URL cannot be read, or the way to where it leads is not safe."""
    if mends := links.unreadable(config):
        fail("; ".join(mends), Status.WRONG)
    try:
        settings.require_tls(config)
    except ConfigError as error:
        fail(str(error), Status.WRONG)


def at_database(ask: Callable[[str], T], *, owner: bool = False) -> T:
    """What `ask` answers of the database. Ends the process where that is not there."""
    url, source = database(*load(), owner=owner)
    try:
        return ask(url)
    except StartError as error:
        fail_at(error, source)


def fail_at(error: Exception, source: str, before: str = "") -> NoReturn:
    """End the process for what failed at the database of `source`: as wrong where its URL is."""
    from rtchat.store.once import UrlError

    wrong = isinstance(error, UrlError)
    words = f"{before}{error} (the database of {source}; `rtchat doctor` looks at it)"
    fail(words, Status.WRONG if wrong else Status.AWAY)


def more(beyond: bool, limit: int, after: object) -> None:
    """Say on standard error that a list goes on behind what was shown of it."""
    if beyond:
        words = f"more: --limit {limit} ends the list here; it goes on with --after {after}"
        click.echo(f"rtchat: {words}", err=True)


def columns(rows: Iterable[Iterable[str]], gap: str = "  ") -> list[str]:
    """Lines of a table whose columns stand below each other."""
    found = [list(row) for row in rows]
    widths = [max(map(len, cells)) for cells in zip(*found, strict=True)]
    return [
        gap.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in found
    ]
