"""Pods that write to one database, at random (tests/simulation): whatever fails, at whichever step,

every write is answered once, and truly: an ack names the entry that is stored, a nonce has one
entry and one number, what is refused for ever is not stored; numbers have no holes; what one
connection sends is numbered in that order; batches and queues are bounded; and when all is well
again nothing stays open.

The writer, its lanes and the decisions are the real ones; the database and time are models.
"""

from typing import Any

import pytest
from asyncpg import exceptions as pg

from tests.simulation.machines import find, run
from tests.simulation.sending import Sending
from tests.simulation.writer_mutants import MUTANTS


@pytest.mark.timeout(3600)
def test_whatever_fails_every_write_is_answered_truly():
    run(Sending, examples=150)


@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_machine_finds(mutant: type[Any]):
    assert find(Sending, mutant, MUTANTS[mutant], examples=1500)


def test_of_what_was_rolled_back_nothing_is_said_to_be_known():
    """Twice the same nonce in one batch, which finds the disk full: neither has a number now."""
    world = Sending()
    world.begin(by_turns=False)
    world.send(pod=0, channel=1, user=2, number=2, given=True, poison=None)  # the second one waits
    world.again(pod=0, pick=0, other=False)
    world.reply_to_all(rounds=6)  # four steps of the first batch, two of the next
    (question,) = [q for q in world.questions if q.key == ("copy", 0)]
    world.act(question.fail, pg.DiskFullError("no"))
    assert [r.outcome for r in world.requests] == ["ack", "unavailable", "unavailable"]
    world.teardown()
