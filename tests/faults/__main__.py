"""The long form of the fault suite, by hand.

    python -m tests.faults --seed 7 --seconds 60        overlapping faults by lot, then the check
    python -m tests.faults --seeds 1-20 --seconds 30    the same for each seed
    python -m tests.faults --each                       every fault alone, as a table
    python -m tests.faults --fault pod-drain            one of them
    python -m tests.faults --mutants                    every mutant must be caught
    … --write                                           puts the table into docs/guarantees.md

Exit status: 0 if every promise was kept (and every mutant caught), else 1. Of a run that failed,
the history and the pods' logs stay in `--keep`.
"""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from rtchat.server.postgres import EmbeddedPostgres
from rtchat.server.valkey import PrivateValkey
from tests.faults import text
from tests.faults.catalogue import FAULTS
from tests.faults.fleet import running, services
from tests.faults.mutants import MUTANTS
from tests.faults.run import Outcome, run_fault, run_mutant, run_storm

GUARANTEES = Path(__file__).parents[2] / "docs" / "guarantees.md"
Stores = tuple[EmbeddedPostgres, PrivateValkey]


def numbers(span: str) -> list[int]:
    """`1-20` or `3,5,8` as numbers."""
    first, dash, last = span.partition("-")
    return list(range(int(first), int(last) + 1)) if dash else [int(n) for n in span.split(",")]


def tell(name: str, outcome: Outcome, keep: Path) -> bool:
    """Print an outcome; keep it if it failed. Was it well?"""
    slow = outcome.complaints if len(outcome.faults) == 1 else []  # in a storm, the next one comes
    well = outcome.verdict.ok and not slow
    click.secho(f"\n{name} (seed {outcome.seed})", bold=True)
    click.echo("\n".join([text.render(outcome.verdict, outcome.stats), *slow]))
    if not well:
        outcome.keep(keep / f"{name}-{outcome.seed}.gz")
        click.secho(f"kept in {keep}", fg="red")
    return well


def storms(stores: Stores, directory: Path, keep: Path, seeds: list[int], seconds: float) -> bool:
    """Overlapping faults, for each seed."""
    well = True
    for seed in seeds:
        with running(directory / f"storm-{seed}", stores) as fleet:
            outcome = run_storm(fleet, seed, seconds)
        click.echo(f"faults     {', '.join(outcome.faults)}")
        well &= tell("storm", outcome, keep)
    return well


def each(
    stores: Stores, directory: Path, keep: Path, names: list[str], seed: int
) -> Iterator[tuple[str, bool]]:
    """Faults alone, one after the other; a row of the table each."""
    with running(directory / "each", stores) as fleet:
        for name in names:
            outcome = run_fault(fleet, name, seed)
            well = tell(name, outcome, keep)
            fault = FAULTS[name]
            yield text.row(f"{fault.row}: {fault.says}", outcome.verdict, outcome.stats, seed), well


def mutants(
    stores: Stores, directory: Path, names: list[str], seed: int, tries: int
) -> Iterator[tuple[str, bool]]:
    """Mutants, each under its fault, several times if need be: some faults strike by chance."""
    for one in (MUTANTS[name] for name in names):
        caught: list[str] = []
        for attempt in range(tries):
            place = directory / f"{one.name}-{attempt}"
            with running(place, stores, sql=one.sql, test_mutant=one.name) as fleet:
                caught = run_mutant(fleet, one, seed + attempt)
            if caught:
                break
        shown = ", ".join(caught) or "NOT CAUGHT"
        click.secho(f"{one.name}: {shown}", fg="green" if caught else "red")
        yield f"| {one.says} | {FAULTS[one.fault].says} | {shown} |", bool(caught)


@click.command(help=__doc__)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--seeds", type=numbers, help="Several: 1-20, or 3,5,8.")
@click.option("--seconds", type=float, default=60, show_default=True, help="Of faults, a seed.")
@click.option("--each", "alone", is_flag=True, help="Every fault alone.")
@click.option("--fault", type=click.Choice(list(FAULTS)), help="This fault alone.")
@click.option("--mutants", "teeth", is_flag=True, help="Every mutant.")
@click.option("--mutant", type=click.Choice(list(MUTANTS)), help="This mutant alone.")
@click.option("--tries", type=int, default=3, show_default=True, help="Of a mutant.")
@click.option("--write", is_flag=True, help="Put the table into docs/guarantees.md.")
@click.option("--keep", type=click.Path(path_type=Path), default=Path("faults-failed"))
def main(
    seed: int,
    seeds: list[int] | None,
    seconds: float,
    alone: bool,
    fault: str | None,
    teeth: bool,
    mutant: str | None,
    tries: int,
    write: bool,
    keep: Path,
) -> None:
    """Run what was asked for."""
    directory = Path(tempfile.mkdtemp(prefix="rtchat-faults-"))
    keep.mkdir(exist_ok=True)
    with services() as stores:
        if alone or fault:
            rows = list(each(stores, directory, keep, [fault] if fault else list(FAULTS), seed))
            name, table = "faults", text.table([row for row, _ in rows])
        elif teeth or mutant:
            names = [mutant] if mutant else list(MUTANTS)
            rows = list(mutants(stores, directory, names, seed, tries))
            head = "| changed on purpose | under this fault | caught as |\n|---|---|---|"
            name, table = "mutants", "\n".join([head, *(row for row, _ in rows)])
        else:
            well = storms(stores, directory, keep, seeds or [seed], seconds)
            rows, name, table = [("", well)], "", ""
    well = all(good for _, good in rows)
    click.echo(table)
    if write and name:
        text.replace_in(GUARANTEES, name, table)
    if well:
        shutil.rmtree(directory)
        if not any(keep.iterdir()):
            keep.rmdir()
    else:
        shutil.copytree(directory, keep / "logs", dirs_exist_ok=True)
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
