"""The projection: work adds up, and nothing is free."""

from dataclasses import replace

import pytest

from bench.projection import POD_CONNECTIONS, USED, Factors, Load, project

FACTORS = Factors(
    us_per_message=50,
    us_per_delivery=5,
    us_per_envelope=20,
    database_us_per_message=30,
    redis_us_per_envelope=2,
)
LOAD = Load(connections=10_000, messages_per_s=1_000, members=100)


def test_a_load_that_one_pod_carries_takes_one_and_no_redis():
    """1 000 × (50 + 100 × 5) µs = 0.55 of a core."""
    found = project(FACTORS, LOAD)
    assert (found["pods"], found["redis_nodes"]) == (1, 0)
    assert found["pod_cpu"] == pytest.approx(0.55)
    assert found["database_cores"] == pytest.approx(0.05)
    assert found["deliveries_per_s"] == 100_000


def test_further_pods_cost_their_envelopes_too():
    """10 000 × (50 + 500 + 9 × 20) µs = 7.3 cores' work, at 0.6 each more than 12 pods."""
    found = project(FACTORS, replace(LOAD, messages_per_s=10_000))
    pods = found["pods"]
    assert 10_000 * (550 + (pods - 1) * 20) <= pods * USED * 1e6
    assert 10_000 * (550 + (pods - 2) * 20) > (pods - 1) * USED * 1e6
    assert found["pod_cpu"] <= USED
    assert found["redis_nodes"] == 1


def test_nobody_hears_who_has_no_member():
    """In a channel of three, three pods hear, however many there are."""
    many = project(FACTORS, Load(connections=10**6, messages_per_s=1_000, members=3))
    assert many["pods"] == 10**6 // POD_CONNECTIONS
    assert many["pod_cpu"] * many["pods"] == pytest.approx(0.065 + 2 * 0.02)


def test_pods_that_all_must_hear_everything_reach_an_end():
    """Where a further pod costs as much as it brings, more pods are not the answer."""
    costly = replace(FACTORS, us_per_envelope=1_000)
    found = project(costly, Load(connections=1, messages_per_s=5_000, members=50))
    assert found["pod_cpu"] <= USED
    assert found["pods"] > 50
