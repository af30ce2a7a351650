"""Histograms count each observation once, under the least bound that it does not pass."""

import math

import pytest
from hypothesis import given, strategies as st

from rtchat.measures import ROWS, WAIT_S, Histogram


@given(st.lists(st.floats(0, 100, allow_nan=False), max_size=50))
def test_every_observation_is_under_its_bound(values: list[float]):
    made = Histogram(WAIT_S)
    for value in values:
        made.observe(value)
    below = 0
    for bound, count in zip((*WAIT_S, math.inf), made.counts, strict=True):
        below += count
        assert below == sum(value <= bound for value in values)
    assert made.count == len(values)
    assert made.total == pytest.approx(sum(values))


def test_one_that_equals_a_bound_is_not_above_it():
    """As Prometheus has it: `le`, less or equal."""
    made = Histogram((1, 2, 5))
    for value in (1, 2, 5, 6):
        made.observe(value)
    assert made.counts == [1, 1, 1, 1]


@pytest.mark.parametrize("bounds", [(2, 1), (1, 1)])
def test_bounds_ascend(bounds: tuple[int, int]):
    with pytest.raises(AssertionError):
        Histogram(bounds)


def test_the_bounds_reach_what_the_limits_allow():
    """Beyond the last one all are the same: nothing ordinary may lie there."""
    assert WAIT_S[-1] >= 10, "write_timeout_ms"
    assert ROWS[-1] >= 500, "batch_max_rows"
