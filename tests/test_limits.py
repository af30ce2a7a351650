"""A bucket lets through its rate on average and its burst at once."""

import itertools

import pytest
from hypothesis import given, settings, strategies as st

from rtchat.limits import Bucket

PROPERTY = settings(max_examples=100, deadline=None, derandomize=True)
ROUNDING_S = 1e-6  # a wait is told to clients in whole milliseconds


def test_the_burst_goes_through_at_once_and_then_the_rate():
    bucket = Bucket(per_second=2, burst=3, now=100.0)
    assert [bucket.take(100.0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    assert bucket.take(100.25) == 0.25
    assert bucket.take(100.5) == 0.0
    assert bucket.take(100.5) == 0.5


def test_a_refusal_takes_nothing():
    """Whoever asks again and again is not kept waiting for it."""
    bucket = Bucket(per_second=1, burst=1, now=0.0)
    bucket.take(0.0)
    assert [bucket.take(now) for now in (0.25, 0.5, 0.75)] == [0.75, 0.5, 0.25]
    assert bucket.take(1.0) == 0.0


def test_no_more_than_the_burst_is_saved():
    bucket = Bucket(per_second=10, burst=2, now=0.0)
    assert [bucket.take(1e6) > 0 for _ in range(3)] == [False, False, True]


def test_a_rate_of_0_lets_everything_through():
    """A limit of rate is switched off by 0 (contract §1.6)."""
    bucket = Bucket(per_second=0, burst=1, now=0.0)
    assert {bucket.take(0.0) for _ in range(1000)} == {0.0}


@pytest.mark.parametrize("burst", [0, 0.5, 1])
def test_a_burst_is_one_at_least(burst: float):
    """Or nothing would ever go through."""
    bucket = Bucket(per_second=1, burst=burst, now=0.0)
    assert bucket.take(0.0) == 0.0
    assert bucket.take(0.0) == 1.0


rates = st.sampled_from([0.1, 1.0, 3.0, 20.0, 1000.0])
bursts = st.sampled_from([1, 2, 40])
pauses = st.lists(st.floats(0, 3) | st.sampled_from([0.0, 0.001, 0.05, 1.0]), max_size=60)


@PROPERTY
@given(rates, bursts, pauses)
def test_in_no_span_of_time_more_than_burst_and_rate(rate: float, burst: int, pauses: list[float]):
    times = list(itertools.accumulate(pauses, initial=5000.0))
    bucket = Bucket(rate, burst, times[0])
    passed = [now for now in times if bucket.take(now) == 0.0]
    for i, start in enumerate(passed):
        for count, end in enumerate(passed[i:], start=1):
            assert count <= burst + rate * (end - start + ROUNDING_S)


@PROPERTY
@given(rates, bursts, pauses)
def test_the_wait_told_is_enough_and_not_too_long(rate: float, burst: int, pauses: list[float]):
    now = 5000.0
    bucket = Bucket(rate, burst, now)
    for pause in pauses:
        now += pause
        wait = bucket.take(now)
        assert 0.0 <= wait <= 1 / rate + ROUNDING_S
        if wait > 2 * ROUNDING_S:
            assert bucket.take(now + wait / 2) > 0.0
            now += wait + ROUNDING_S
            assert bucket.take(now) == 0.0
