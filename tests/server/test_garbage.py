"""The collector leaves alone what lives. That it is not needed: see `test_websocket`."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from rtchat.server.garbage import ELDER, FULL_S, Garbage


class Cycle:
    """Only the collector frees it."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def garbage() -> Iterator[Garbage]:
    garbage = Garbage()
    garbage.start(0.0)
    yield garbage
    garbage.stop()


def test_what_outlives_the_young_is_set_aside(garbage: Garbage):
    kept = Cycle()
    before = gc.get_freeze_count()
    gc.collect(ELDER)
    assert gc.get_freeze_count() > before
    assert kept.itself is kept


def test_a_young_cycle_is_freed_at_once(garbage: Garbage):
    gone = weakref.ref(Cycle())
    gc.collect(ELDER)
    assert gone() is None


def test_an_old_cycle_is_freed_when_its_time_comes(garbage: Garbage):
    kept: Cycle | None = Cycle()
    gone = weakref.ref(kept)
    gc.collect(ELDER)
    del kept
    gc.collect()
    assert gone() is not None
    garbage.tick(FULL_S - 1)
    assert gone() is not None
    garbage.tick(FULL_S)
    assert gone() is None


def test_all_is_as_before_in_the_end():
    before = gc.get_threshold(), list(gc.callbacks)
    garbage = Garbage()
    garbage.start(0.0)
    assert gc.get_threshold() != before[0]
    garbage.stop()
    garbage.stop()
    assert (gc.get_threshold(), gc.callbacks, gc.get_freeze_count()) == (*before, 0)
