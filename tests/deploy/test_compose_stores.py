"""The stores of docker-compose.yml for real: their roles, users and secrets, and a pod on them.

The very files run, on a PostgreSQL of the tests and a Valkey of its own; only names are others: all
`rtchat` becomes a word of this test's, for roles are a server's and not a database's.
"""

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import asyncpg
import httpx2
import pytest
import redis
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError
from redis.retry import Retry

from rtchat.server.binaries import find_postgres
from rtchat.server.launch import LaunchError, end_with_parent, free_port
from rtchat.server.postgres import EmbeddedPostgres
from rtchat.server.valkey import find_valkey
from tests.deploy import needed
from tests.deploy.containers_compose import COMPOSE, load
from tests.people import People
from tests.pods import ROOT, Pods
from tests.services import Given
from tests.sockets import wire

DEPLOY = ROOT / "docs" / "deploy"


class Stores(NamedTuple):
    """Where they are, and as whom."""

    word: str  # in the place of `rtchat`
    migrate_url: str
    database_url: str
    redis_urls: str


def psql() -> str:
    """Beside PostgreSQL's programs, or on PATH."""
    try:
        beside = str(find_postgres().directory)
    except LaunchError:
        beside = ""
    found = shutil.which("psql", path=f"{beside}:{os.environ.get('PATH', os.defpath)}")
    if found is None:
        needed.skip_or_fail("psql is missing, with which the image of PostgreSQL makes the roles")
    return found


def run_sql(url: str, text: str, environ: Mapping[str, str]) -> None:
    """Have a file's worth of SQL done, as the image of PostgreSQL does."""
    command = [psql(), "--no-psqlrc", "--quiet", url]
    done = subprocess.run(
        command, input=text, env=dict(environ), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), done


@pytest.fixture(scope="module")
def stores(
    postgres: EmbeddedPostgres | Given, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stores]:
    """Made as the containers make them."""
    directory = tmp_path_factory.mktemp("stores")
    word = f"compose_{secrets.token_hex(4)}"
    subprocess.run(["sh", str(DEPLOY / "secrets.sh"), str(directory)], check=True)
    for made in directory.iterdir():
        text = made.read_text().replace("rtchat", word)
        made.unlink()
        made.write_text(text)
    environ = {"PATH": os.environ["PATH"], "SECRETS_PATH": str(directory)}
    roles = (DEPLOY / "postgres" / "roles.sql").read_text().replace("rtchat", word)
    run_sql(postgres.url, roles, environ)
    server, port = started_valkey(directory, word, environ)
    at = urlsplit(postgres.url)
    places = {"@postgres:5432": f"@{at.hostname}:{at.port}", "@valkey:6379": f"@127.0.0.1:{port}"}
    urls = [
        (directory / name).read_text() for name in ("migrate_url", "database_url", "redis_urls")
    ]
    for old, new in places.items():
        urls = [url.replace(old, new) for url in urls]
    yield Stores(word, *urls)
    server.terminate()
    assert server.wait(10) == 0
    drop = f"DROP DATABASE {word} WITH (FORCE); DROP ROLE {word}; DROP ROLE {word}_owner;"
    run_sql(postgres.url, drop, environ)


def started_valkey(
    directory: Path, word: str, environ: Mapping[str, str]
) -> tuple["subprocess.Popen[bytes]", int]:
    """By the script of the container."""
    port = free_port()
    programs = directory / "bin"
    programs.mkdir()
    (programs / "valkey-server").symlink_to(find_valkey().path)
    script = directory / "valkey.sh"
    script.write_text((DEPLOY / "valkey.sh").read_text().replace("rtchat", word))
    path = f"{programs}:{environ['PATH']}"
    server = subprocess.Popen(
        ["sh", script],
        cwd=directory,
        env={**environ, "PATH": path, "VALKEY_PORT": str(port)},
        stdout=subprocess.DEVNULL,
        preexec_fn=end_with_parent(signal.SIGKILL),
    )
    deadline = time.monotonic() + 20
    while not listens(port):
        assert server.poll() is None, "it ended"
        assert time.monotonic() < deadline, "it does not listen in time"
        time.sleep(0.01)
    return server, port


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def migrated(stores: Stores) -> Stores:
    """By the command of the service `migrate`."""
    words = load({}, COMPOSE)["services"]["migrate"]["command"]
    words = [stores.word if word == "rtchat" else word for word in words]
    clean = {k: v for k, v in os.environ.items() if not k.startswith("RTCHAT_")}
    done = subprocess.run(
        [sys.executable, "-m", "rtchat", *words],
        cwd=ROOT, env={**clean, "RTCHAT_MIGRATE_URL": stores.migrate_url},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return stores


async def test_a_pod_serves_on_them(migrated: Stores, pods: Pods) -> None:
    """With a role that has what it needs and no more, and a user of Valkey that has, too."""
    pod = await pods.start(
        migrated.database_url,
        redis_urls=migrated.redis_urls,
        bus_prefix=migrated.word,
        tls_required=0,
        connections_max=100,
    )
    async with People(migrated.database_url) as people, httpx2.AsyncClient() as http:
        ann = await people.new("ann")
        body = {"name": "x", "type": "public"}
        made = await http.post(f"{pod.url}/channels", json=body, headers=ann.headers)
        async with wire(pod.ws_url, ann) as one:
            channel = made.json()["id"]
            await one.ask({"t": "sub", "ref": 1, "ch": {str(channel): 0}})
            await one.send({"t": "send", "ref": 2, "ch": channel, "content": "x"})
            assert (await one.until(t="msg"))[-1]["content"] == "x"
        wrong = {"email": ann.email, "password": "wrong horse"}  # counted in Valkey
        assert (await http.post(f"{pod.url}/auth/login", json=wrong)).status_code == 401
    assert pod.stop() == 0
    lines = pod.events()
    assert [line for line in lines if line["level"] not in ("info", "debug")] == []


async def test_the_pods_role_owns_nothing(migrated: Stores) -> None:
    connection = await asyncpg.connect(migrated.database_url)
    try:
        for statement in ("CREATE TABLE mine ()", "DROP TABLE messages", "TRUNCATE messages"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
    finally:
        await connection.close()


def test_valkey_knows_its_users(stores: Stores) -> None:
    """Nobody without a name; the health check may ping; a pod has its own keys and no others."""
    test = load({}, COMPOSE)["services"]["valkey"]["healthcheck"]["test"]
    named = {word: test[n + 1] for n, word in enumerate(test) if word in ("--user", "--pass")}
    at = urlsplit(stores.redis_urls).netloc.rpartition("@")[2]
    nobody, probe, pod = (
        redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0))
        for url in (
            f"redis://{at}", f"redis://{named['--user']}:{named['--pass']}@{at}", stores.redis_urls
        )
    )  # fmt: skip
    with nobody, probe, pod:
        with pytest.raises(redis.AuthenticationError):
            nobody.ping()
        assert probe.ping()
        assert pod.set(f"{stores.word}:x", "1", ex=60)
        for refused in (
            lambda: probe.get(f"{stores.word}:x"),
            lambda: pod.set("another:x", "1"),
            lambda: pod.publish("another", "x"),
            lambda: pod.config_get("maxmemory"),
        ):
            with pytest.raises(NoPermissionError):
                refused()


@pytest.mark.parametrize("name", ["postgres/roles.sql", "valkey.sh"])
def test_a_secret_of_another_form_stops_the_start(
    name: str, postgres: EmbeddedPostgres | Given, tmp_path: Path
) -> None:
    """With words that say which; not with a role or a user that has no password."""
    for secret in ("migrate_url", "database_url", "redis_urls"):
        (tmp_path / secret).write_text("postgresql://rtchat:a@b:c@somewhere")
    environ = {"PATH": os.environ["PATH"], "SECRETS_PATH": str(tmp_path)}
    path = DEPLOY / name
    sql = [psql(), "-X", "-f", str(path), postgres.url]
    program = ["sh", str(path)] if path.suffix == ".sh" else sql
    done = subprocess.run(
        program, env=environ, capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode != 0
    assert re.search(r"(migrate_url|redis_urls) is to be ", done.stderr), done
