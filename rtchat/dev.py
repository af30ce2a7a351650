"""`rtchat dev`: the whole server on a machine that has nothing but Python.

Owns: the embedded PostgreSQL's life around the server's, the secret that is made once and kept with
the data, and the first words to whoever tries rtchat out. One process, the bus in memory; or with
`--workers N` several, and a Valkey of their own, as in production. Killed at any moment, it leaves
nothing running, and the next start finds every acknowledged message.
"""

import contextlib
import logging
import secrets
import sys
import time
from pathlib import Path

import click
import msgspec

from rtchat import settings
from rtchat.config import Config, ConfigError
from rtchat.errors import StartError

WELCOME = """
  rtchat {version} is running on {url}

  in a browser:      {url}
  for developers:    {url}/docs (REST) and {url}/docs/ws (WebSocket)
  make an account:   curl -s {url}/auth/register -H 'content-type: application/json' \\
                       -d '{{"email":"ann@example.org","password":"correct horse"}}'
  look at yourself:  curl -s {url}/users/me -H "authorization: Bearer $TOKEN"
  open a socket:     python -m websockets {ws}/ws
                     then type {{"t":"auth","token":"…"}}
  first messages are in README.md; data is in {data}
  stop with Ctrl+C
"""


def run(config: Config, data: str | None) -> int:
    """Start PostgreSQL, migrate, serve until a signal, stop; the status. Raises StartError."""
    from rtchat.server.account import default_data_dir
    from rtchat.server.launch import LaunchError
    from rtchat.server.postgres import EmbeddedPostgres
    from rtchat.server.valkey import PrivateValkey

    started = time.monotonic()
    workers = settings.worker_count(config)
    _require_ports(config, workers)
    try:
        directory = _make(Path(data) if data else default_data_dir())
        with contextlib.ExitStack() as stack:
            urls = {"database_url": config.database_url, "redis_urls": config.redis_urls}
            if not config.database_url:
                postgres = stack.enter_context(EmbeddedPostgres(directory / "postgres"))
                click.echo(f"  {postgres.summary}", err=True)
                urls["database_url"] = postgres.url
            if workers > 1 and not config.redis_nodes:
                valkey = stack.enter_context(PrivateValkey())
                click.echo(f"  {valkey.summary}", err=True)
                urls["redis_urls"] = valkey.url
            return _serve(msgspec.structs.replace(config, **urls), directory, workers, started)
    except LaunchError as error:
        raise StartError(str(error)) from None


def _require_ports(config: Config, workers: int) -> None:
    """Raise StartError where the server could not listen: before PostgreSQL is started for it."""
    from rtchat.server.listeners import bind_for

    try:
        places = bind_for(config, workers)
    except StartError as error:
        raise StartError(f"{error}; choose another port: rtchat dev --port 0") from error
    for listener in (one for place in places for one in place):
        listener.close()


def _make(directory: Path) -> Path:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if directory.stat().st_mode & 0o002:
            raise StartError(f"anyone may write to {directory}; choose another with --data")
        return directory.resolve()
    except OSError as error:
        raise StartError(f"{directory} cannot be made: {error.strerror}; try --data") from None


def _serve(config: Config, directory: Path, count: int, started: float) -> int:
    from rtchat import logs
    from rtchat.app import App
    from rtchat.server import run as server, workers
    from rtchat.store import migrate, privileges

    try:
        settings.require_ports(config, count)
    except ConfigError as error:
        raise StartError(str(error)) from None
    logs.configure(config.log_level, config.log_format)
    privileges.log.setLevel(logging.ERROR)  # here the server owns everything, by nature
    config = msgspec.structs.replace(
        config,
        secret_key=config.secret_key or _kept_secret(directory),
        drain_s=min(config.drain_s, 1),  # whoever presses Ctrl+C waits for it
        shutdown_s=min(config.shutdown_s, 8),
    )
    try:
        migrate.upgrade(config.database_url)
    except migrate.MigrationError as error:
        raise StartError(str(error)) from error

    def welcome(port: int) -> None:
        _welcome(config.host, port, directory, started)

    class DevApp(App):
        def on_listening(self, port: int) -> None:
            super().on_listening(port)
            welcome(port)

    if count > 1:
        return workers.run(lambda: App(config), config, count, welcome)
    server.run(DevApp(config), config)
    return 0


def _welcome(host: str, port: int, directory: Path, started: float) -> None:
    from rtchat import __version__

    host = "localhost" if host in ("127.0.0.1", "0.0.0.0", "::") else host  # noqa: S104
    text = WELCOME.format(
        version=__version__,
        url=f"http://{host}:{port}",
        ws=f"ws://{host}:{port}",
        data=directory,
    )
    click.echo(text)
    click.echo(f"  ready after {time.monotonic() - started:.1f} s", err=True)
    sys.stdout.flush()


def _kept_secret(directory: Path) -> str:
    """The secret that signs tokens, made at the first start and kept: sign-ins outlive restarts."""
    path = directory / "secret_key"
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        made = secrets.token_urlsafe(48)
        new = path.with_suffix(".new")  # renamed when whole: a kill leaves no half secret
        new.unlink(missing_ok=True)
        new.touch(mode=0o600, exist_ok=False)
        new.write_text(made)
        new.rename(path)
        return made
