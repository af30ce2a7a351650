"""`rtchat user`: looking after people, their passwords and their sessions."""

import sys
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

import click

from rtchat.cli.outcome import (
    Status,
    after_option,
    at_database,
    columns,
    fail,
    limit_option,
    load,
    more,
)
from rtchat.cli.stdin import PASSWORD_MAX_BYTES, asked_password, text_of_stdin, without_end
from rtchat.config import Config
from rtchat.operate.terminal import printable

T = TypeVar("T")
_who = click.argument("who", metavar="EMAIL|ID")


@click.group()
def user() -> None:
    """Look after users."""


@user.command("list")
@click.option("--query", default="", help="The beginning of a name, or a whole address.")
@limit_option
@after_option
def list_users(query: str, limit: int, after: int | None) -> None:
    """List users: id, address, name, when they were last seen, and whether they are disabled."""
    from rtchat.operate import people

    found = at_database(lambda url: people.listing(url, query, limit + 1, after or 0))
    rows = [["id", "address", "name", "last seen", ""]]
    rows += [
        [
            str(one.id),
            shown(one.email),
            shown(one.name),
            when(one.last_active),
            "disabled" if one.disabled_at else "",
        ]
        for one in found[:limit]
    ]
    click.echo("\n".join(columns(rows)))
    more(len(found) > limit, limit, rows[-1][0])


@user.command()
@_who
def show(who: str) -> None:
    """Show one user: ways to sign in, sessions, channels."""
    from rtchat.operate import people

    found, ways = _of(lambda url: people.shown(url, who))
    providers = ", ".join(ways.providers)
    rows = [
        ["id", str(found.id)],
        ["address", shown(found.email)],
        ["name", shown(found.name)],
        ["status", shown(found.status)],
        ["made", when(found.created_at)],
        ["last seen", when(found.last_active)],
        ["disabled", when(found.disabled_at) if found.disabled_at else "no"],
        ["password", "yes" if ways.password else "none"],
        ["providers", providers or "none"],
        ["sessions", str(ways.sessions)],
        ["channels", str(ways.channels)],
    ]
    click.echo("\n".join(columns(rows)))


@user.command()
@click.argument("email", metavar="EMAIL")
@click.option("--name", help="As people see it; else the address up to the @.")
def create(email: str, name: str | None) -> None:
    """Make a user, who can sign in with this password at once.

    The password is asked for, or is what comes on standard input; it must be one that sign-up
    would take.
    """
    from rtchat.operate import people

    config = _begin()
    _of(lambda _: people.name_of(config, email, name))  # before somebody types a password twice
    password = _password()
    user_id = _of(lambda url: people.create(config, url, email, name, password))
    click.echo(f"user {user_id} is there")


@user.command("password")
@_who
def set_password(who: str) -> None:
    """Set another password, and end all sessions: whoever knew the old one is out within 2 s.

    The password is asked for, or is what comes on standard input.
    """
    from rtchat.operate import people

    config = _begin()
    password = _password()
    done = _of(lambda url: people.set_password(config, url, who, password))
    click.echo(
        f"user {done.user_id} has another password; {len(done.session_ids)} sessions have ended"
    )


@user.command()
@_who
@limit_option
@after_option
def sessions(who: str, limit: int, after: int | None) -> None:
    """List the sessions of a user that stand, the newest first."""
    from rtchat.model import ID_MAX
    from rtchat.operate import people

    found = _of(lambda url: people.sessions(url, who, limit + 1, after or ID_MAX))
    rows = [["session", "opened", "refreshed", "ends", "agent"]]
    rows += [
        [str(one.id), when(one.created_at), when(one.refreshed_at), when(one.expires_at), one.agent]
        for one in found[:limit]
    ]
    click.echo("\n".join(columns([*row[:-1], shown(row[-1])] for row in rows)))
    more(len(found) > limit, limit, rows[-1][0])


@user.command("end-sessions")
@_who
@click.option("--session", "session_id", type=click.IntRange(1, 2**53 - 1), help="Only this one.")
def end_sessions(who: str, session_id: int | None) -> None:
    """End all sessions of a user, or one; their sockets close on every pod within 2 s."""
    from rtchat.operate import people

    _begin()
    done = _of(lambda url: people.end_sessions(url, who, session_id))
    click.echo(f"user {done.user_id}: {len(done.session_ids)} sessions have ended")


@user.command()
@_who
def disable(who: str) -> None:
    """Let nobody sign in as this user any more, and end all sessions, on every pod within 2 s."""
    _set_disabled(who, disabled=True)


@user.command()
@_who
def enable(who: str) -> None:
    """Let a disabled user sign in again."""
    _set_disabled(who, disabled=False)


def _set_disabled(who: str, *, disabled: bool) -> None:
    from rtchat.auth.disable import set_disabled

    _begin()
    word = "disabled" if disabled else "enabled"
    done = at_database(lambda url: set_disabled(url, who, disabled=disabled))
    if done is None:
        fail(f"there is no user {who}; rtchat user list --query TEXT finds names", Status.WRONG)
    ended = f"; sessions ended: {len(done.session_ids)}" if disabled else ""
    click.echo(f"user {done.user_id} is {word}{ended}")


def _begin() -> Config:
    """The settings, and the log: what is done to people is told there."""
    from rtchat import logs

    config, _ = load()
    logs.configure(config.log_level, config.log_format)
    return config


def _of(ask: Callable[[str], T]) -> T:
    from rtchat.errors import ChatError
    from rtchat.operate.people import UnknownError

    try:
        return at_database(ask)
    except UnknownError as error:
        fail(str(error), Status.WRONG)
    except ChatError as error:
        fail(f"{error.field}: {error.message}" if error.field else error.message, Status.WRONG)


def _password() -> str:
    """Never from the command line, which everybody on the machine can list."""
    if sys.stdin.isatty():
        return asked_password(new=True)
    return without_end(text_of_stdin("the password", PASSWORD_MAX_BYTES))


def when(moment: datetime | None) -> str:
    """A time in a column."""
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z") if moment else "never"


def shown(text: str | None) -> str:
    """A text that came from outside, with nothing in it that a terminal would obey."""
    return printable(text) if text is not None else "none"
