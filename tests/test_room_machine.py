"""Pods and an unruly network, at random (tests/simulation): whatever comes when, and goes wrong,

each subscriber gets the entries behind its cursor densely, in order, once, as they are stored and
not before their acks; nothing behind the end of its membership, and nothing while its socket takes
nothing; what is kept is bounded; and when all is well again everybody gets everything, in a few
seconds and by a few questions.

The hub, its rooms and its catching up are the real ones; the log, the bus and time are models.
"""

from types import ModuleType
from typing import Any

import pytest

from rtchat import hub, room, rooms
from tests.simulation.delivery import Delivery
from tests.simulation.machines import find, run
from tests.simulation.room_mutants import MUTANTS
from tests.simulation.sockets import Numbered

PLACES: dict[str, ModuleType] = {
    "Room": rooms, "Tails": rooms, "CatchUp": hub, "Rooms": hub, "Hub": hub,
}  # fmt: skip


@pytest.fixture(autouse=True)
def numbered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same run each time: no order depends on where in memory something lies."""
    monkeypatch.setattr(room, "Subscription", Numbered)


@pytest.mark.timeout(3600)
def test_whatever_happens_every_subscriber_gets_the_log_in_order():
    run(Delivery, examples=150)


@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_machine_finds(mutant: type[Any]):
    assert find(Delivery, mutant, PLACES[mutant.__bases__[0].__name__], examples=1500)
