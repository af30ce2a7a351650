"""The peers in Python: FastAPI with and without storage, and python-socketio, all on uvicorn.

uvicorn runs with what its documentation recommends (uvloop, httptools, one worker); only its access
log is off, as rtchat's is.
"""

import contextlib
import importlib.metadata
import importlib.util
import secrets
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from bench.peers.peer import Peer, Running, serving
from rtchat.server.launch import free_port
from tests.services import Databases, run_postgres, run_valkey

ROOT = Path(__file__).parents[2]
SECRET_KEY = secrets.token_urlsafe(48)


class _OnUvicorn(Peer):
    """An ASGI application of this folder."""

    module: str
    packages: tuple[str, ...]

    def available(self) -> str | None:
        for package in self.packages:
            if importlib.util.find_spec(package.replace("python-", "")) is None:
                return f"{package} is not installed (pip install 'rtchat[bench]')"
        return None

    def version(self) -> str:
        names = (*self.packages, "uvicorn")
        return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)

    @contextlib.contextmanager
    def start(self, cores: Collection[int] = ()) -> Iterator[Running]:
        with self._serve(cores, {}) as running:
            yield running

    @contextlib.contextmanager
    def _serve(self, cores: Collection[int], environ: dict[str, str]) -> Iterator[Running]:
        port = free_port()
        command: list[str | Path] = [
            *(sys.executable, "-m", "uvicorn", f"bench.peers.{self.module}:app"),
            *("--app-dir", ROOT, "--port", str(port), "--loop", "uvloop", "--http", "httptools"),
            *("--log-level", "warning", "--no-access-log"),
        ]
        with serving(command, port, cores=cores, environ=environ) as child:
            database = environ.get("DATABASE_URL", "")
            url = f"http://127.0.0.1:{port}"
            yield Running(url, (child.pid,), self.dialect, database.replace("+asyncpg", ""))


class FastAPIStore(_OnUvicorn):
    """FastAPI + SQLAlchemy + Redis: what most people would build."""

    name = "FastAPI + SQLAlchemy + Redis"
    does = "stores each message (INSERT, commit), acks after it, publishes to other pods"
    does_not = "resume, order what commits at once, retry safely; a lost Redis message is lost"
    dialect = "plain"
    module = "fastapi_store"
    packages = ("fastapi", "sqlalchemy", "asyncpg", "redis")
    stores = True

    @contextlib.contextmanager
    def start(self, cores: Collection[int] = ()) -> Iterator[Running]:
        with contextlib.ExitStack() as stack:
            databases = Databases(stack.enter_context(run_postgres()).url)
            stack.callback(databases.close)
            url = urlsplit(stack.enter_context(databases.fresh(migrated=False)))
            valkey = stack.enter_context(run_valkey())
            environ = {
                "DATABASE_URL": url._replace(scheme="postgresql+asyncpg").geturl(),
                "REDIS_URL": valkey.url,
                "SECRET_KEY": SECRET_KEY,
            }
            yield stack.enter_context(self._serve(cores, environ))


class FastAPIBroadcast(_OnUvicorn):
    """FastAPI's tutorial."""

    name = "FastAPI broadcast"
    does = "sends to every member"
    does_not = "store, ack, resume, more than one pod"
    dialect = "plain"
    module = "fastapi_broadcast"
    packages = ("fastapi",)


class SocketIOPython(_OnUvicorn):
    """python-socketio."""

    name = "python-socketio"
    does = "sends to every member"
    does_not = "store, ack, resume, more than one pod (without its Redis manager)"
    dialect = "socketio"
    module = "socketio_python"
    packages = ("python-socketio",)
