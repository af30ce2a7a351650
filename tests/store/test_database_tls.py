"""The way to PostgreSQL by TLS: whom the server must be vouched for by, and for which name."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from asyncpg import exceptions as pg

from rtchat.config import Config, ConfigError
from rtchat.errors import StartError
from rtchat.server.postgres import EmbeddedPostgres
from rtchat.settings import require_production
from rtchat.store.database import Database
from tests.certificates import Authority
from tests.pods import ROOT, Pods
from tests.services import Databases, Given, temporary_directory

KEY = "zT7kq0vWm3XbL9sRdF2hNcYpJ8gU5aEo"


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    """Where certificates are."""
    with temporary_directory() as made:
        yield made


@pytest.fixture(scope="module")
def authority(directory: Path) -> Authority:
    """Whom everybody trusts."""
    return Authority(directory)


@pytest.fixture(scope="module")
def tls_url(authority: Authority, directory: Path) -> Iterator[str]:
    """A database behind a PostgreSQL that speaks TLS as 127.0.0.1, and refuses whoever does not."""
    data = directory / "data"
    with EmbeddedPostgres(data) as server:
        _switch_tls_on(server, data, authority.issue("127.0.0.1"))
        databases = Databases(server.url)
        with databases.fresh() as url:
            yield url


def _switch_tls_on(server: EmbeddedPostgres, data: Path, issued: Path) -> None:
    cluster = data / "pg"
    owner = cluster.stat()
    for name in ("server.crt", "server.key"):  # one file for both will do
        shutil.copy(issued, cluster / name)
        os.chown(cluster / name, owner.st_uid, owner.st_gid)
        (cluster / name).chmod(0o600)
    hba = cluster / "pg_hba.conf"
    hba.write_text(hba.read_text().replace("host ", "hostssl ").replace("host\t", "hostssl\t"))
    server.stop()
    server.settings["ssl"] = "on"
    try:
        server.start()
    except Exception as error:
        if "SSL is not supported by this build" in str(error):
            pytest.skip("this PostgreSQL was built without TLS; one of the system's has it")
        raise


def verified(url: str, root: Path, host: str = "127.0.0.1") -> str:
    parts = urlsplit(url.replace("127.0.0.1", host))
    return parts._replace(query=f"sslmode=verify-full&sslrootcert={root}").geturl()


async def reached(url: str) -> Database:
    database = Database(Config(database_url=url))
    try:
        await database.open()
    except BaseException:
        await database.close()
        raise
    return database


async def test_a_server_that_is_vouched_for(tls_url: str, authority: Authority) -> None:
    """S-67: the pool's connections and the writer's are encrypted."""
    database = await reached(verified(tls_url, authority.certificate))
    asked = "SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    try:
        row = await database.fetchrow(asked)
        assert row is not None
        dedicated = await database.dedicated()
        assert await dedicated.fetchrow(asked) == row
        await dedicated.close()
        assert (row["ssl"], row["version"]) == (True, "TLSv1.3")
    finally:
        await database.close()


async def test_plain_links_are_not_taken(tls_url: str) -> None:
    """So that the tests above and below tell something."""
    with pytest.raises(pg.PostgresError, match="no encryption"):
        await asyncpg.connect(tls_url, ssl="disable")


async def test_a_server_that_nobody_vouches_for(tls_url: str, directory: Path) -> None:
    """The start ends, and says why without the password."""
    other = Authority(directory, "another")
    with pytest.raises(StartError, match="certificate verify failed") as caught:
        await reached(verified(tls_url, other.certificate))
    assert str(urlsplit(tls_url).password) not in str(caught.value)


async def test_a_server_of_another_name(tls_url: str, authority: Authority) -> None:
    """Its certificate is for 127.0.0.1; another server's would do for whoever stands in between."""
    with pytest.raises(StartError, match="not valid for 'localhost'") as caught:
        await reached(verified(tls_url, authority.certificate, "localhost"))
    assert str(urlsplit(tls_url).password) not in str(caught.value)


def test_a_missing_root_certificate(tls_url: str, directory: Path) -> None:
    """asyncpg would only say that some file is missing, as it does of a server that is away."""
    config = Config(database_url=verified(tls_url, directory / "nowhere.pem"), secret_key=KEY)
    with pytest.raises(ConfigError, match=r"RTCHAT_DATABASE_URL names /.*/nowhere\.pem") as caught:
        require_production(config)
    assert str(urlsplit(tls_url).password) not in str(caught.value)


async def test_a_server_without_tls(
    postgres: EmbeddedPostgres | Given, authority: Authority, pods: Pods
) -> None:
    """It may be one in the middle: nothing is sent, the pod is not ready, and its log says why."""
    if isinstance(postgres, Given):
        pytest.skip("a given server may have TLS")
    pod = await pods.start(verified(postgres.url, authority.certificate))
    (told,) = pod.events("the start waits for the database")
    assert "rejected SSL upgrade" in told["reason"]
    assert str(urlsplit(postgres.url).password) not in pod.log()
    pod.kill()


def test_migrations_read_the_same_url(tls_url: str, authority: Authority) -> None:
    """`rtchat migrate` goes by TLS too."""
    done = subprocess.run(
        [sys.executable, "-m", "rtchat", "migrate"],
        env={"RTCHAT_MIGRATE_URL": verified(tls_url, authority.certificate), "PATH": ""},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
