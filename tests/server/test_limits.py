"""Counting connections, what fits into the open files, and budgets of frames."""

import functools
import resource
import socket
import sys

import pytest

from rtchat.config import Config
from rtchat.server.limits import (
    CLUSTER_NODES,
    FILES_RESERVE,
    LINGERING_MAX,
    SURPLUS_MAX,
    SURPLUS_PER_ADDRESS,
    Budget,
    Capacity,
    Room,
    fitting,
    raise_files_limit,
    set_peer_timeout,
)


def rooms(capacity: Capacity, *addresses: str) -> list[Room]:
    return [capacity.enter(address) for address in addresses]


# --- connections


def test_beyond_the_limit_some_are_told_and_the_rest_dropped():
    capacity = Capacity(3, 0)
    found = rooms(capacity, *["a"] * (3 + SURPLUS_MAX + 2))
    assert found == [Room.FREE] * 3 + [Room.SURPLUS] * SURPLUS_MAX + [Room.NONE] * 2


def test_who_leaves_makes_room():
    capacity = Capacity(1, 1)
    assert rooms(capacity, "a", "a") == [Room.FREE, Room.SURPLUS]
    capacity.leave("a")
    capacity.leave("a")
    assert capacity.count == 0
    assert rooms(capacity, "a") == [Room.FREE]


def test_an_address_has_a_limit_of_its_own():
    capacity = Capacity(0, 2)
    found = rooms(capacity, *["a"] * (2 + SURPLUS_PER_ADDRESS + 1), "b")
    surplus = [Room.SURPLUS] * SURPLUS_PER_ADDRESS
    assert found == [Room.FREE] * 2 + surplus + [Room.NONE, Room.FREE]


def test_it_is_told_which_limit_left_no_room():
    capacity = Capacity(3, 1)
    assert rooms(capacity, "a", "a") == [Room.FREE, Room.SURPLUS]
    assert capacity.reached() == "connections_per_address"
    assert rooms(capacity, "b", "c") == [Room.FREE, Room.SURPLUS]
    assert capacity.reached() == "connections_max"


def test_who_was_told_why_gives_its_place_back():
    """Though it lingers; so many may, and the others keep theirs."""
    capacity = Capacity(1, 0)
    beyond = [Room.SURPLUS] * LINGERING_MAX
    assert rooms(capacity, *["a"] * (1 + LINGERING_MAX)) == [Room.FREE, *beyond]
    assert all(capacity.linger("a") for _ in range(LINGERING_MAX))
    assert capacity.count == 1
    assert rooms(capacity, "a") == [Room.SURPLUS]
    assert not capacity.linger("a")
    capacity.lingered()
    assert capacity.linger("a")
    assert capacity.count == 1


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("fe80::1%lo", "fe80::2%lo", True),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.2", False),
        ("10.0.0.1", "10.0.0.2", False),
    ],
)
def test_an_address_of_ipv6_is_its_first_half(one: str, other: str, same: bool):
    """All of a /64 is mostly one customer's."""
    capacity = Capacity(0, 1)
    assert rooms(capacity, one, other) == [Room.FREE, Room.SURPLUS if same else Room.FREE]
    capacity.leave(other)
    capacity.leave(one)
    assert rooms(capacity, other) == [Room.FREE]


def test_without_limits_there_is_room():
    assert set(rooms(Capacity(0, 0), *["a"] * 1000)) == {Room.FREE}


# --- open files


def test_what_fits_into_the_open_files_is_the_bound(caplog: pytest.LogCaptureFixture):
    """With what databases and probes need left free; and it is said."""
    config = Config(connections_max=50_000, pool_max=8, lanes=4, redis_urls="redis://a,redis://b")
    reserve = SURPLUS_MAX + LINGERING_MAX + FILES_RESERVE
    node = 4 + config.cache_connections
    assert fitting(config, 1024) == 1024 - 8 - 4 - 2 * node - reserve
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_cluster_has_more_nodes_than_seeds():
    single = Config(redis_urls="redis://seed", cache_connections=2)
    cluster = Config(redis_urls="redis://seed", cache_connections=2, redis_cluster=1)
    assert fitting(single, 1024) - fitting(cluster, 1024) == (4 + 2) * (CLUSTER_NODES - 1)


@pytest.mark.parametrize("files", [10_000, resource.RLIM_INFINITY])
def test_what_fits_altogether_is_not_bounded(caplog: pytest.LogCaptureFixture, files: int):
    assert fitting(Config(connections_max=5000), files) == 5000
    assert caplog.records == []


def test_without_a_limit_the_files_are_one():
    assert 0 < fitting(Config(connections_max=0), 10_000) < 10_000


def test_the_soft_limit_of_open_files_is_raised_to_the_hard_one():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, before[1]))
    try:
        assert raise_files_limit() == resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 512
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


# --- frames


def test_a_budget_is_its_burst_and_then_its_rate():
    now = 100.0
    budget = Budget(10, 3, now)
    assert [budget.spend(lambda: now) for _ in range(4)] == [True, True, True, False]
    now = 100.05
    assert not budget.spend(lambda: now)
    now = 100.11
    assert [budget.spend(lambda: now) for _ in range(2)] == [True, False]
    now = 200.0
    assert [budget.spend(lambda: now) for _ in range(4)] == [True, True, True, False]


def test_a_steady_rate_up_to_the_limit_never_ends():
    times = [i * 0.1001 for i in range(10_000)]
    budget = Budget(10, 5, 0.0)
    assert all(budget.spend(functools.partial(float, now)) for now in times)


def test_no_rate_is_no_limit():
    budget = Budget(0, 0, 0.0)
    assert all(budget.spend(lambda: 0.0) for _ in range(10_000))


# --- peers that take nothing


@pytest.mark.skipif(sys.platform != "linux", reason="TCP_USER_TIMEOUT is Linux's")
def test_accepted_sockets_inherit_the_listeners_timeout():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        set_peer_timeout(listener, 15_000)
        with socket.create_connection(listener.getsockname()), listener.accept()[0] as accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 15_000
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
