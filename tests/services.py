"""The real services that tests and benches run against: started here, or given by URL.

Owns: temporary directories that a PostgreSQL started by root can work in, and fresh databases.
RTCHAT_TEST_DATABASE_URL (of a role that may create databases) and RTCHAT_TEST_REDIS_URL name
servers that run already, as in CI; such a server cannot be killed, only used.
"""

import asyncio
import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from rtchat.server.postgres import EmbeddedPostgres
from rtchat.server.valkey import PrivateValkey

# Durability stays as in production: the server refuses to be ready without it.
POSTGRES_SETTINGS = {"max_connections": "200"}  # several pods, each with its pool


@dataclass(frozen=True, slots=True)
class Given:
    """A server that runs already."""

    url: str


@contextlib.contextmanager
def temporary_directory() -> Iterator[Path]:
    """Make a directory that other users may pass through, and delete it at the end.

    Started by root, PostgreSQL runs as another user, and pytest's own `tmp_path` is for its owner.
    """
    directory = Path(tempfile.mkdtemp(prefix="rtchat-test-", dir="/var/tmp"))
    directory.chmod(0o711)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def run_postgres() -> Iterator[EmbeddedPostgres | Given]:
    """Start a PostgreSQL, or take the given one."""
    if url := os.environ.get("RTCHAT_TEST_DATABASE_URL"):
        yield Given(url)
        return
    with (
        temporary_directory() as directory,
        EmbeddedPostgres(directory / "data", POSTGRES_SETTINGS) as server,
    ):
        yield server


@contextlib.contextmanager
def run_valkey() -> Iterator[PrivateValkey | Given]:
    """Start a Valkey, or take the given one."""
    if url := os.environ.get("RTCHAT_TEST_REDIS_URL"):
        yield Given(url)
        return
    with PrivateValkey() as server:
        yield server


class Databases:
    """Fresh databases on one server, each a copy of one that was migrated once.

    A copy takes some 20 ms, the migrations many times that. Not from inside a running event loop.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._prefix = f"rtchat_test_{secrets.token_hex(4)}"
        self._number = 0
        self._template = f"{self._prefix}_template"
        self._migrated = False

    def _url_of(self, name: str) -> str:
        return urlsplit(self.url)._replace(path=f"/{name}").geturl()

    def _execute(self, statement: str) -> None:
        async def execute() -> None:
            connection = await asyncpg.connect(self.url)
            try:
                await connection.execute(statement)
            finally:
                await connection.close()

        with asyncio.Runner() as runner:
            runner.run(execute())

    def _migrate(self) -> None:
        from rtchat.store.migrate import upgrade  # 0.3 s, and most tests need no database

        self._execute(f"CREATE DATABASE {self._template}")
        upgrade(self._url_of(self._template))
        self._migrated = True

    @contextlib.contextmanager
    def fresh(self, *, migrated: bool = True) -> Iterator[str]:
        """Make a database with the newest schema (or with nothing), and drop it at the end."""
        if migrated and not self._migrated:
            self._migrate()
        self._number += 1
        name = f"{self._prefix}_{self._number}"
        template = self._template if migrated else "template0"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield self._url_of(name)
        finally:
            self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def close(self) -> None:
        """Drop the template."""
        self._execute(f"DROP DATABASE IF EXISTS {self._template} WITH (FORCE)")
