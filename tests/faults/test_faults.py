"""Faults under load, one by one: whatever breaks, nothing acknowledged is lost, doubled, reordered.

The long form, with faults that overlap, is `python -m tests.faults`.
"""

from collections.abc import Iterator

import pytest

from tests.faults.catalogue import FAULTS
from tests.faults.fleet import Fleet, running, services
from tests.faults.mutants import MUTANTS
from tests.faults.run import run_fault, run_mutant
from tests.faults.text import render

SEED = 1
# One for each side: the writer, the hub, the bus, the connection.
TEETH = ["unknown-refused", "hole-passed", "heads-unchecked", "slow-skipped"]


@pytest.fixture(scope="module")
def stores() -> Iterator[object]:
    """A PostgreSQL and a Valkey of our own: they are killed."""
    with services() as both:
        yield both


@pytest.fixture(scope="module")
def fleet(stores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three pods behind proxies."""
    with running(tmp_path_factory.mktemp("fleet"), stores) as servers:
        yield servers


@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", [fault.name for fault in FAULTS.values() if fault.smoke])
def test_every_promise_is_kept(fleet: Fleet, name: str) -> None:
    """Clients send and listen through it; afterwards the log and what they saw agree.

    What was too slow may be the machine's fault: a server's own shows again.
    """
    outcome = run_fault(fleet, name, SEED)
    if outcome.verdict.ok and outcome.complaints:
        outcome = run_fault(fleet, name, SEED)
    report = render(outcome.verdict, outcome.stats)
    assert outcome.verdict.ok, report
    assert not outcome.complaints, report


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", TEETH)
def test_a_broken_promise_is_noticed(stores, tmp_path, name: str) -> None:
    """A server that was made wrong on purpose does not pass; all of them: `--mutants`."""
    mutant = MUTANTS[name]
    with running(tmp_path / "pods", stores, sql=mutant.sql, test_mutant=name) as wrong:
        assert run_mutant(wrong, mutant, SEED)
