"""The long form of fuzzing, led by coverage of rtchat's code (atheris, in the extra `fuzz`).

    python -m tests.fuzz frame --seconds 600     one target
    python -m tests.fuzz all --seconds 60        each of them, one after the other

Inputs that got further than others are kept in `--corpus` and gone on from; one that failed is
printed, and kept in `--failed`. Exit status: 0 if none did.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

import click

NAMES = [
    "frame", "token", "query", "path", "body", "envelope", "notice", "room", "bus", "conversation",
]  # fmt: skip
WITH_DATABASE = {"bus", "conversation"}
DATABASE_VARIABLE = "RTCHAT_FUZZ_DATABASE_URL"


@contextlib.contextmanager
def database(name: str) -> Iterator[Mapping[str, str]]:
    """An environment, with a database where the target wants one."""
    if name not in WITH_DATABASE:
        yield os.environ
        return
    from tests.services import Databases, run_postgres

    with run_postgres() as server:
        source = Databases(server.url)
        with source.fresh() as url:
            yield {**os.environ, DATABASE_VARIABLE: url}
        source.close()


def fuzz(name: str, seconds: int, corpus: Path, failed: Path) -> bool:
    """Fuzz one target in a process of its own, since libFuzzer ends the one that it runs in."""
    before = set(failed.glob("*"))
    with database(name) as environ:
        arguments = [name, str(seconds), corpus / name, failed / f"{name}-"]
        child = [sys.executable, "-m", "tests.fuzz.drive", *map(str, arguments)]
        status = subprocess.run(child, env=environ, check=False).returncode
    for found in set(failed.glob("*")) - before:
        click.secho(f"{name} failed on {found.read_bytes()!r}", fg="red")
    return status == 0


@click.command(help=__doc__)
@click.argument("target", type=click.Choice([*NAMES, "all"]))
@click.option("--seconds", type=click.IntRange(1), default=60, show_default=True)
@click.option("--corpus", type=click.Path(path_type=Path), default=Path("fuzz-corpus"))
@click.option("--failed", type=click.Path(path_type=Path), default=Path("fuzz-failed"))
def main(target: str, seconds: int, corpus: Path, failed: Path) -> None:
    """Fuzz what was asked for."""
    if find_spec("atheris") is None:
        raise click.ClickException("atheris is missing: pip install -e '.[fuzz]'")
    names = NAMES if target == "all" else [target]
    failed.mkdir(exist_ok=True)
    well = [fuzz(name, seconds, corpus, failed) for name in names]
    if not any(failed.iterdir()):
        failed.rmdir()
    sys.exit(0 if all(well) else 1)


if __name__ == "__main__":
    main()
