"""When a worker is started again: at once, later, or never."""

import pytest

from rtchat.server.restarts import FAILURES_MAX, QUICK_S, Life, Restarts

CRASH = 139  # SIGSEGV


def served(seconds: float, status: int = CRASH) -> Life:
    return Life(status, served=True, lasted_s=seconds)


def failed(status: int = 1) -> Life:
    return Life(status, served=False, lasted_s=0.5)


@pytest.mark.parametrize("status", [2, 3])
def test_what_a_restart_does_not_mend_is_given_up_at_the_first_start(status: int):
    assert Restarts().ended(failed(status), 0.5) is None


def test_once_it_has_served_it_is_tried_again_whatever_it_ended_with():
    """The database may be away for a moment, and was right before."""
    place = Restarts()
    assert place.ended(served(QUICK_S), 0.5) is not None
    assert place.ended(failed(3), 0.5) is not None


def test_one_that_served_for_long_is_back_at_once_each_time():
    place = Restarts()
    for _ in range(10 * FAILURES_MAX):
        assert place.ended(served(QUICK_S), 1.0) == pytest.approx(0.15)


@pytest.mark.parametrize("life", [failed(), failed(CRASH), served(QUICK_S - 1)])
def test_quick_failures_wait_longer_each_time_and_then_end_it(life: Life):
    place = Restarts()
    delays = [place.ended(life, 0.5) for _ in range(FAILURES_MAX)]
    assert delays[-1] is None
    waits = [delay for delay in delays if delay is not None]
    assert len(waits) == FAILURES_MAX - 1
    assert waits == sorted(waits)
    assert len(set(waits)) == len(waits)


def test_a_long_life_makes_good_what_was_before_it():
    place = Restarts()
    for _ in range(3):
        for _ in range(FAILURES_MAX - 1):
            assert place.ended(failed(), 0.5) is not None
        assert place.ended(served(QUICK_S), 0.5) is not None


@pytest.mark.parametrize("lot", [0.0, 0.3, 1.0])
def test_the_wait_is_spread_and_bounded(lot: float):
    """Workers that ended together do not start together."""
    place = Restarts()
    for _ in range(FAILURES_MAX - 1):
        delay = place.ended(failed(), lot)
        assert delay is not None
        assert 0 < delay < 5
    assert (Restarts().ended(failed(), 0.0) or 0) < (Restarts().ended(failed(), 1.0) or 0)
