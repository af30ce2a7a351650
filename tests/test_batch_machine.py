"""Pods that write to one database, at random (tests/simulation): whatever fails, at whichever step,

every write is answered once, and truly: an ack names the entry that is stored, a nonce has one
entry and one number, what is refused for ever is not stored; numbers have no holes; what one
connection sends is numbered in that order; batches and queues are bounded; and when all is well
again nothing stays open.

The writer, its lanes and the decisions are the real ones; the database and time are models.
"""

from typing import Any

import pytest

from tests.simulation.machines import find, run
from tests.simulation.sending import Sending
from tests.simulation.writer_mutants import MUTANTS


@pytest.mark.timeout(3600)
def test_whatever_fails_every_write_is_answered_truly():
    run(Sending, examples=150)


@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_machine_finds(mutant: type[Any]):
    assert find(Sending, mutant, MUTANTS[mutant], examples=500)
