"""`rtchat dev`, `serve` and `drain`: starting the server, and sending its clients away."""

import logging
import sys
from typing import Any

import click

from rtchat import settings
from rtchat.cli.outcome import Status, fail, load
from rtchat.config import ConfigError
from rtchat.errors import StartError

log = logging.getLogger(__name__)


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
_port = click.option(
    "--port", type=click.IntRange(0, 65535), help="Port to listen on; 0: any free one."
)
_host = click.option("--host", help="Address to listen on.")


@click.command()
@_port
@_host
@click.option("--data", type=click.Path(file_okay=False), help="Where the data is kept.")
@_workers
def dev(port: int | None, host: str | None, data: str | None, workers: int | None) -> None:
    """Try rtchat out: brings its own PostgreSQL, needs nothing else, keeps its data."""
    from rtchat import dev as development

    config, _ = load(port=port, host=host, workers=workers)
    try:
        sys.exit(development.run(config, data))
    except StartError as error:
        fail(str(error), Status.AWAY)


@click.command()
@_port
@_host
@_workers
def serve(port: int | None, host: str | None, workers: int | None) -> None:
    """Serve in production, as the RTCHAT_… variables say (see: rtchat config)."""
    config, _ = load(port=port, host=host, workers=workers)
    count = settings.worker_count(config)
    from rtchat.auth import keys

    try:
        settings.require_production(config, count)
        keys.KeyRing(config)
    except (ConfigError, StartError) as error:
        fail(str(error), Status.WRONG)
    except ValueError as error:  # of urllib, which does not say whose URL it was
        urls = "RTCHAT_DATABASE_URL, RTCHAT_MIGRATE_URL or RTCHAT_REDIS_URLS"
        fail(f"{urls} is no URL that can be read: {error}", Status.WRONG)
    from rtchat import logs
    from rtchat.app import App
    from rtchat.server import run, workers as several

    logs.configure(config.log_level, config.log_format)
    for path in settings.open_to_all():
        log.warning("everybody here may read a secret; chmod 400", extra={"file": path})
    try:
        if count == 1:
            run.run(App(config), config)
        else:
            sys.exit(several.run(lambda: App(config), config, count))
    except StartError as error:  # in the log's form: for whatever collects it
        log.error("start failed", extra={"reason": str(error)})
        sys.exit(Status.AWAY)


@click.command()
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    help="Port to call; else RTCHAT_INTERNAL_PORT, or RTCHAT_PORT where there is none.",
)
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
    config, _ = load(host=host)
    if not config.internal_token:
        fail("RTCHAT_INTERNAL_TOKEN (or RTCHAT_INTERNAL_TOKEN_FILE) is not set", Status.WRONG)
    from rtchat.prestop import PreStopError, port_of, request_drain

    if not (called := port or port_of(config)):
        fail("RTCHAT_PORT is 0, any port; name the server's with --port", Status.WRONG)
    try:
        click.echo(request_drain(config, called, hold))
    except PreStopError as error:
        fail(str(error), Status.AWAY)
