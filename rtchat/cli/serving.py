"""`rtchat dev`, `serve` and `drain`: starting the server, and sending its clients away."""

import logging
import sys
from typing import Any

import click

from rtchat import links, settings
from rtchat.cli.outcome import Status, fail, load
from rtchat.config import Config, ConfigError
from rtchat.errors import StartError
from rtchat.operate.finding import origin

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
    _require_urls(config)
    try:
        settings.require_ports(config, settings.worker_count(config))
    except ConfigError as error:
        fail(str(error), Status.WRONG)
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
    _require_urls(config)
    from rtchat.auth import keys

    try:
        settings.require_production(config, count)
        keys.KeyRing(config)
    except (ConfigError, StartError) as error:
        fail(str(error), Status.WRONG)
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


def _require_urls(config: Config) -> None:
    """End the process where a URL cannot be used, whatever is there: waiting does not mend it."""
    if mends := links.unreadable(config):
        fail("; ".join(mends), Status.WRONG)
    if not config.redis_nodes:
        return
    from rtchat.bus.address import Address

    try:
        names = {Address.parse(url).name for url in config.redis_nodes}
    except (ValueError, OSError) as error:  # the latter of a file of certificates
        fail(f"RTCHAT_REDIS_URLS cannot be used: {error}", Status.WRONG)
    if len(names) < len(config.redis_nodes):
        fail("RTCHAT_REDIS_URLS names one node twice", Status.WRONG)


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
    config, sources = load(host=host)
    if not config.internal_token:
        fail("RTCHAT_INTERNAL_TOKEN (or RTCHAT_INTERNAL_TOKEN_FILE) is not set", Status.WRONG)
    from rtchat.prestop import PreStopError, port_of, request_drain

    if not (called := port or port_of(config)):
        fail("RTCHAT_PORT is 0, any port; name the server's with --port", Status.WRONG)
    try:
        click.echo(request_drain(config, called, hold))
    except PreStopError as error:
        setting = "internal_port" if config.internal_port else "port"
        named = "--port" if port else origin(setting, sources)
        mend = "start it, or name another by --port and --host; `rtchat doctor` looks at its ports"
        fail(f"{error} (the server of {origin('host', sources)} and {named}; {mend})", Status.AWAY)
