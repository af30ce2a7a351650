"""Root becomes someone else, who must be able to reach the data; nothing of others is changed."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtchat.server.account import (
    SERVER_USERS,
    account_for,
    blocked_by,
    default_data_dir,
    make_directory,
    open_private,
    require_name,
)
from rtchat.server.launch import Account, LaunchError
from tests.services import temporary_directory

ROOT = os.geteuid() == 0
STRANGER = Account(54321, 54321, "stranger")


@pytest.fixture
def directory() -> Iterator[Path]:
    with temporary_directory() as directory:
        yield directory


def test_default_directory() -> None:
    expected = Path("/var/lib/rtchat") if ROOT else Path(".rtchat")
    assert default_data_dir() == expected


def test_first_step_that_blocks_is_named(directory: Path) -> None:
    (directory / "open" / "closed" / "deep").mkdir(parents=True)
    (directory / "open").chmod(0o711)
    (directory / "open" / "closed").chmod(0o770)
    assert blocked_by(directory / "open", STRANGER) is None
    assert blocked_by(directory / "open" / "closed" / "deep", STRANGER) == (
        directory / "open" / "closed"
    )


def test_owner_and_group_are_judged_by_their_own_bits(directory: Path) -> None:
    owner, group = os.geteuid(), os.getegid()
    directory.chmod(0o701)
    assert blocked_by(directory, Account(54321, group, "group")) == directory
    assert blocked_by(directory, Account(owner, 54321, "owner")) is None


def test_user_id_without_a_name_cannot_make_a_cluster() -> None:
    require_name(None)
    with pytest.raises(LaunchError, match="54321 has no entry in /etc/passwd"):
        require_name(STRANGER)


def test_files_are_private_and_never_reached_through_a_link(directory: Path) -> None:
    """Or the owner of the directory could lead root to any file."""
    os.close(open_private(directory / "file", os.O_WRONLY, None))
    assert stat.S_IMODE((directory / "file").stat().st_mode) == 0o600
    (directory / "link").symlink_to(directory / "file")
    with pytest.raises(OSError, match="symbolic links"):
        open_private(directory / "link", os.O_WRONLY, None)


def test_directory_is_made_for_its_user_alone(directory: Path) -> None:
    make_directory(directory / "data", None)
    assert stat.S_IMODE((directory / "data").stat().st_mode) == 0o700


@pytest.mark.skipif(ROOT, reason="about ordinary users")
class TestAsOrdinaryUser:
    def test_the_server_runs_as_we_do(self, directory: Path) -> None:
        assert account_for(directory) is None

    def test_directory_of_another_user_is_refused(self) -> None:
        with pytest.raises(LaunchError, match="belongs to root, and we may not write to it"):
            make_directory(Path("/"), None)


@pytest.mark.skipif(not ROOT, reason="about root")
class TestAsRoot:
    def test_root_becomes_one_of_the_server_users(self, directory: Path) -> None:
        account = account_for(directory / "data")
        assert account is not None
        assert account.uid != 0
        assert account.name in SERVER_USERS

    def test_root_becomes_the_owner_of_what_is_there(self, directory: Path) -> None:
        os.chown(directory, 54321, 54321)
        account = account_for(directory)
        assert account is not None
        assert (account.uid, account.gid) == (54321, 54321)

    def test_without_a_server_user_there_is_a_way_out(
        self, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("rtchat.server.account.SERVER_USERS", ("no-such-user",))
        with pytest.raises(LaunchError, match=r"no-such-user.*ordinary user.*RTCHAT_DATABASE_URL"):
            account_for(directory)

    def test_made_directory_lets_the_server_user_pass(self, directory: Path) -> None:
        make_directory(directory / "data", STRANGER)
        assert blocked_by(directory / "data", STRANGER) is None

    def test_modes_of_others_directories_stay(self, directory: Path) -> None:
        (directory / "closed").mkdir(mode=0o700)
        with pytest.raises(LaunchError, match="stranger may not pass through"):
            make_directory(directory / "closed" / "data", STRANGER)
        assert stat.S_IMODE((directory / "closed").stat().st_mode) == 0o700
