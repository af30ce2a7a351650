"""The way back in: for its user alone, one process at a time, never half."""

import stat
from pathlib import Path

import pytest

from rtchat.terminal.keeping import Keeper, Kept, directory

URL = "http://localhost:8000"
KEPT = Kept("ann@example.org", "token")


@pytest.fixture(autouse=True)
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


def test_what_is_kept_comes_back_and_is_for_its_user_alone(state_home: Path) -> None:
    keeper = Keeper(URL)
    assert keeper.open()
    assert keeper.read() is None
    keeper.keep(Kept("ann@example.org", "older"))
    keeper.keep(KEPT)
    assert keeper.read() == KEPT
    files = list((state_home / "rtchat").iterdir())
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE((state_home / "rtchat").stat().st_mode) == 0o700
    keeper.forget()
    keeper.forget()
    assert keeper.read() is None


def test_servers_are_kept_apart_and_one_process_has_each() -> None:
    """Two that used one refresh token would end the session."""
    first = Keeper(URL)
    assert first.open()
    first.keep(KEPT)
    assert not Keeper(URL).open()
    other = Keeper("http://localhost:9000")
    assert other.open()
    assert other.read() is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"email": "x"}', "\xff"])
def test_a_file_that_cannot_be_read_is_none(text: str) -> None:
    keeper = Keeper(URL)
    assert keeper.open()
    keeper.keep(KEPT)
    (file,) = directory().glob("*.json")
    file.write_text(text, encoding="latin-1")
    assert keeper.read() is None


def test_the_place_is_xdgs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path there is none (XDG Base Directory)."""
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert directory() == Path.home() / ".local" / "state" / "rtchat"
