"""The command line: parse, call, print. Each command imports what it needs when it runs.

Exit status: 0 well; 1 an unexpected failure; 2 the command line or a setting is wrong; 3 something
that rtchat depends on (the database, the port) is not there.
"""

import logging
import sys
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import click

import rtchat
from rtchat import settings
from rtchat.config import Config, ConfigError

log = logging.getLogger(__name__)

T = TypeVar("T")


def _fail(message: str, status: int) -> NoReturn:
    click.echo(f"rtchat: {message}", err=True)
    sys.exit(status)


def _load(**given: Any) -> tuple[Config, dict[str, str]]:
    try:
        return settings.load(**given)
    except ConfigError as error:
        _fail(str(error), 2)


class _Workers(click.IntRange):
    """A number of workers, or `auto`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        return int(super().convert(0 if value == "auto" else value, param, ctx))


_workers = click.option(
    "--workers",
    type=_Workers(0, 256),
    metavar="N|auto",
    help="Processes that serve, one port for all; auto, or 0: as many as there are cores.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(rtchat.__version__, prog_name="rtchat")
def main() -> None:
    """A realtime chat server: every acknowledged message stored, ordered and delivered."""


@main.command()
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 0: any free one.")
@click.option("--host", help="Address to listen on.")
@click.option("--data", type=click.Path(file_okay=False), help="Where the data is kept.")
@_workers
def dev(port: int | None, host: str | None, data: str | None, workers: int | None) -> None:
    """Try rtchat out: brings its own PostgreSQL, needs nothing else, keeps its data."""
    from rtchat import dev as development
    from rtchat.errors import StartError

    config, _ = _load(port=port, host=host, workers=workers)
    try:
        sys.exit(development.run(config, data))
    except StartError as error:
        _fail(str(error), 3)


@main.command()
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 0: any free one.")
@click.option("--host", help="Address to listen on.")
@_workers
def serve(port: int | None, host: str | None, workers: int | None) -> None:
    """Serve in production, as the RTCHAT_… variables say (see: rtchat config)."""
    config, _ = _load(port=port, host=host, workers=workers)
    count = settings.worker_count(config)
    from rtchat.auth import keys
    from rtchat.errors import StartError

    try:
        settings.require_production(config, count)
        keys.KeyRing(config)
    except (ConfigError, StartError) as error:
        _fail(str(error), 2)
    from rtchat import logs
    from rtchat.app import App
    from rtchat.server import run, workers as several

    logs.configure(config.log_level, config.log_format)
    for path in settings.open_to_all():
        log.warning("everybody here may read a secret; chmod 400", extra={"file": path})
    if count == 1:
        run.run(App(config), config)
    else:
        sys.exit(several.run(lambda: App(config), config, count))


@main.command()
@click.option("--port", type=click.IntRange(1, 65535), help="Port on which it serves.")
@click.option("--host", help="Address on which it serves.")
@click.option(
    "--hold",
    type=click.FloatRange(0, 600),
    default=0.0,
    help="Seconds to take at least: endpoints elsewhere need some to forget this pod.",
)
def drain(port: int | None, host: str | None, hold: float) -> None:
    """Send the clients of the server beside this command away; for a pre-stop hook.

    Waits until they are gone. Reads the same settings; RTCHAT_INTERNAL_TOKEN must be set.
    """
    config, _ = _load(port=port, host=host)
    if not config.internal_token:
        _fail("RTCHAT_INTERNAL_TOKEN (or RTCHAT_INTERNAL_TOKEN_FILE) is not set", 2)
    if not config.port:
        _fail("RTCHAT_PORT is 0, any port; name the server's with --port", 2)
    from rtchat.prestop import PreStopError, request_drain

    try:
        click.echo(request_drain(config, hold))
    except PreStopError as error:
        _fail(str(error), 3)


@main.command()
@click.option("--grant", metavar="ROLE", help="Database role of the server, to get what it needs.")
def migrate(grant: str | None) -> None:
    """Bring the database to the newest schema; safe to run from several places at once.

    With --grant, a role that is there already gets exactly what `rtchat serve` needs, and loses
    what else it had on rtchat's tables. Name it each time: a migration may bring new tables.
    """
    config, _ = _load()
    url = config.migrate_url or config.database_url
    if not url:
        _fail("RTCHAT_DATABASE_URL (or RTCHAT_MIGRATE_URL) is not set", 2)
    from rtchat import logs
    from rtchat.errors import StartError
    from rtchat.store import migrate as migrations, privileges

    logs.configure(config.log_level, config.log_format)
    try:
        migrations.upgrade(url)
        click.echo("the database has the newest schema")
        if grant is not None:
            privileges.grant_at(url, grant)
            click.echo(f"the role {grant} may do what the server needs, and no more")
    except (migrations.MigrationError, StartError) as error:
        _fail(str(error), 3)


@main.group(invoke_without_command=True)
@click.pass_context
def epoch(context: click.Context) -> None:
    """Print the epoch: the name of the log's present history."""
    if context.invoked_subcommand is None:
        from rtchat.store import epoch as epochs

        click.echo(_at_database(epochs.read_at))


@epoch.command()
def renew() -> None:
    """Replace the epoch by a fresh one; do this when the log may have lost acknowledged messages.

    That is: after a backup was restored, or a failover to a replica that was behind. Every pod
    notices within RTCHAT_HEAD_CHECK_MS, resets all subscriptions and sends its clients away once;
    they come back within seconds and read anew what there is. Nothing in the log changes.
    """
    from rtchat.store import epoch as epochs

    before, now = _at_database(epochs.renew_at)
    click.echo(f"the epoch was {before} and is {now}")
    click.echo(
        "every pod notices within RTCHAT_HEAD_CHECK_MS, and its clients start over", err=True
    )


def _at_database(ask: Callable[[str], T]) -> T:
    config, _ = _load()
    url = config.migrate_url or config.database_url
    if not url:
        _fail("RTCHAT_DATABASE_URL (or RTCHAT_MIGRATE_URL) is not set", 2)
    from rtchat.errors import StartError

    try:
        return ask(url)
    except StartError as error:
        _fail(str(error), 3)


@main.group()
def user() -> None:
    """Look after users."""


@user.command()
@click.argument("who", metavar="EMAIL|ID")
def disable(who: str) -> None:
    """Let nobody sign in as this user any more, and end all sessions, on every pod within 2 s."""
    _set_disabled(who, disabled=True)


@user.command()
@click.argument("who", metavar="EMAIL|ID")
def enable(who: str) -> None:
    """Let a disabled user sign in again."""
    _set_disabled(who, disabled=False)


def _set_disabled(who: str, *, disabled: bool) -> None:
    from rtchat import logs
    from rtchat.auth.disable import set_disabled

    config, _ = _load()
    logs.configure(config.log_level, config.log_format)
    word = "disabled" if disabled else "enabled"
    done = _at_database(lambda url: set_disabled(url, who, disabled=disabled))
    if done is None:
        _fail(f"there is no user {who}", 2)
    click.echo(f"user {done.user_id} is {word}; {len(done.session_ids)} sessions have ended")


@main.group()
def key() -> None:
    """Keys that sign access tokens."""


@key.command()
@click.option(
    "--alg",
    type=click.Choice(("EdDSA", "RS256", "ES256", "HS256")),
    default="EdDSA",
    help="What it signs with; of HS256 there is no public half.",
)
def new(alg: str) -> None:
    """Print a fresh key: for RTCHAT_SIGNING_KEY_FILE, or of HS256 for RTCHAT_SECRET_KEY_FILE."""
    from rtchat.auth import keys

    click.echo(keys.new(alg).rstrip())


@main.command()
def openapi() -> None:
    """Print the OpenAPI 3.1 document of the REST interface, with the limits of these settings."""
    from rtchat.api.openapi import document

    _print(document(_load()[0]))


@main.command()
def asyncapi() -> None:
    """Print the AsyncAPI 3.0 document of the WebSocket, with the limits of these settings."""
    from rtchat.api.asyncapi import document

    _print(document(_load()[0]))


def _print(document: dict[str, Any]) -> None:
    import msgspec

    click.echo(msgspec.json.encode(document))


@main.command("config")
def show_config() -> None:
    """Show each setting: its value, where it came from, what it means. Secrets are masked."""
    config, sources = _load()
    for name in settings.NAMES:
        value = getattr(config, name)
        shown = ("••••••" if value else "") if settings.is_secret(name) else value
        click.echo(f"{settings.PREFIX}{name.upper()}={shown}  (from {sources[name]})")
        click.echo(f"    {settings.describe(name)}")
