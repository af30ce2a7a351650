"""`rtchat token`: an access token for a test, and what is with one that somebody shows."""

import sys
from typing import NoReturn

import click

from rtchat import settings
from rtchat.cli.outcome import Status, at_database, database, fail, fail_at, load
from rtchat.cli.stdin import text_of_stdin
from rtchat.config import Config, ConfigError
from rtchat.errors import StartError

TOKEN_MAX_BYTES = 65_536


@click.group()
def token() -> None:
    """Access tokens, for operators."""


@token.command()
@click.argument("who", metavar="EMAIL|ID")
@click.option(
    "--ttl",
    type=click.IntRange(1, 3600),
    help="Seconds that it lives; RTCHAT_ACCESS_TOKEN_S at most, which is the default.",
)
def mint(who: str, ttl: int | None) -> None:
    """Print an access token that speaks for a user, and nothing else.

    It has a session of its own, which ends with it and stands in the user's list: rtchat user
    end-sessions revokes it like any other.
    """
    config = _with_keys()
    if ttl is not None and ttl > config.access_token_s:
        fail(
            f"--ttl {ttl} is more than RTCHAT_ACCESS_TOKEN_S, {config.access_token_s}: a token that"
            " lives longer could not be revoked, for pods forget ended sessions after that time",
            Status.WRONG,
        )
    from rtchat import logs
    from rtchat.operate import tokens
    from rtchat.operate.people import UnknownError

    logs.configure(config.log_level, config.log_format)
    life_s = ttl or config.access_token_s
    try:
        click.echo(at_database(lambda url: tokens.mint(config, url, who, life_s)))
    except (UnknownError, tokens.DisabledError) as error:
        fail(str(error), Status.WRONG)


@token.command()
def check() -> None:
    """Read an access token from standard input; say whose it is, and why it is not good.

    Ends with 0 for one that pods take, with 2 for one that they do not. Only a session tells
    whether it was revoked: without the database that stays open, and it ends with 3.
    """
    config = _with_keys()
    _, sources = load()
    from rtchat.operate import tokens

    if sys.stdin.isatty():
        click.echo("the token, then Ctrl+D:", err=True)
    text = text_of_stdin("the token", TOKEN_MAX_BYTES).strip()
    if not text:
        fail("there is no token on standard input: rtchat token check < FILE", Status.WRONG)
    claims, reasons = tokens.read(text.removeprefix("Bearer ").strip(), config)
    for name, value in tokens.described(claims):
        click.echo(f"{name:9}{value}")
    user_id, session_id = tokens.ids(claims)
    if not user_id or not session_id:
        _refuse(reasons)
    url, source = database(config, sources)
    try:
        held = tokens.session_of(url, user_id, session_id)
    except StartError as error:
        if reasons:
            _refuse(reasons)
        fail_at(error, source, "whether its session stands is not known: ")
    for name, value in tokens.told(held):
        click.echo(f"{name:9}{value}")
    reasons += held.reasons
    if reasons:
        _refuse(reasons)
    click.echo("it is good: pods take it")


def _refuse(reasons: list[str]) -> NoReturn:
    fail("pods refuse this token: " + "; ".join(reasons), Status.WRONG)


def _with_keys() -> Config:
    """The settings, where they have a key that tokens can be signed with."""
    config, _ = load()
    from rtchat.auth.keys import KeyRing

    try:
        settings.require_secret(config.secret_key)
        KeyRing(config)
    except (ConfigError, StartError) as error:
        fail(str(error), Status.WRONG)
    return config
