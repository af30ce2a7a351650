"""The embedded PostgreSQL keeps what was committed, is found by nobody else, and always goes away.

Every server here is real. Most tests share one data directory, since `initdb` takes most of the
time, and run without fsync: SIGKILL leaves the page cache, so nothing is lost by that.
"""

import os
import signal
import socket
import stat
import time
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from rtchat.server.launch import free_port
from rtchat.server.postgres import EmbeddedPostgres
from tests.server.embedded import FAST, ask, is_kept, keep, launch, runs, sigkill, wait_until

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
