"""A topic's slot is the one that Redis computes, and only what is a map of slots is believed."""

from itertools import pairwise
from typing import Any

import pytest
import redis
from hypothesis import given, settings, strategies as st

from rtchat.bus.address import Address
from rtchat.bus.shards import Topics
from rtchat.bus.slots import SLOTS, BadMapError, owners, slot_of, slot_told
from tests.bus.valkey_cluster import ValkeyCluster

ASKED = Address.parse("rediss://user:secret@seed:7000")
tags = st.text(st.characters(exclude_characters="{}", exclude_categories=["Cs"]), min_size=1)


def test_the_slot_is_the_servers(valkey_cluster: ValkeyCluster):
    with redis.Redis.from_url(valkey_cluster.urls[0]) as client:

        def slot_of_key(key: bytes) -> int:
            slot: int = client.execute_command("CLUSTER", "KEYSLOT", key)
            return slot

        topics = Topics("rtchat", 64)
        assert slot_of_key(topics.control) == slot_of(Topics.CONTROL)
        for shard in range(64):
            slot = slot_of(str(shard))
            assert slot_of_key(topics.channel(shard, 4711)) == slot
            assert slot_of_key(topics.probe(shard, "0123456789ab")) == slot

        @settings(deadline=None, max_examples=200)
        @given(tags)
        def same(tag: str) -> None:
            assert slot_of(tag) == slot_of_key(f"prefix:{{{tag}}}:4711".encode())

        same()


def test_the_slots_of_64_shards_are_wire_format():
    assert [slot_of(tag) for tag in ("0", "1", "63", "control")] == [13907, 9842, 10499, 12069]


def test_three_even_primaries_get_even_parts_of_64_shards():
    parts = [slot_of(str(shard)) * 3 // SLOTS for shard in range(64)]
    assert sorted(map(parts.count, range(3))) == [21, 21, 22]


@settings(deadline=None)
@given(
    st.lists(st.integers(1, SLOTS - 1), unique=True, max_size=30).map(sorted),
    st.randoms(),
    st.integers(0, SLOTS - 1),
)
def test_every_slot_has_the_one_owner_that_the_map_names(bounds: list[int], random, slot: int):
    ranges = [[a, b - 1, [b"10.0.0.1", 1 + a, b"id"]] for a, b in pairwise([0, *bounds, SLOTS])]
    random.shuffle(ranges)
    left_out = ranges.pop()[0]
    first = max(bound for bound in [0, *bounds] if bound <= slot)
    [owner] = owners(ranges, [slot], ASKED)
    assert (owner is None) == (first == left_out)
    assert owner is None or owner.port - 1 == first


def test_an_owner_is_reached_with_the_seeds_credentials():
    [owner] = owners([[0, 16383, [b"node", 7001, b"id", []], [b"replica", 7002]]], [1], ASKED)
    assert owner is not None
    assert (owner.name, owner.host, owner.port) == ("node:7001", "node", 7001)
    assert owner.greeting("me") == ASKED.greeting("me")
    assert owner.tls is ASKED.tls is not None


@pytest.mark.parametrize("host", [None, b"", b"?"])
def test_a_node_that_does_not_know_its_host_is_the_one_that_was_asked(host: bytes | None):
    [owner] = owners([[0, 16383, [host, 7001]]], [1], ASKED)
    assert owner is not None
    assert owner.name == "seed:7001"


def test_a_map_without_slots_knows_no_owner():
    assert owners([], [1, 2], ASKED) == [None, None]


@pytest.mark.parametrize(
    "reply",
    [
        None,
        b"OK",
        7,
        [7],
        [[0, 16383]],
        [[0, 16383, []]],
        [[0, 16383, [b"a"]]],
        [[0, 16384, [b"a", 1]]],
        [[-1, 5, [b"a", 1]]],
        [[5, 4, [b"a", 1]]],
        [[b"0", b"5", [b"a", 1]]],
        [[0, 5, [b"a", 0]]],
        [[0, 5, [b"a", 65_536]]],
        [[0, 5, [b"a", b"1"]]],
        [[0, 5, [b"\xff", 1]]],
        [[0, 5, [5, 1]]],
        [[0, 5, b"a"]],
    ],
)
def test_what_is_no_map_is_refused(reply: Any):
    with pytest.raises(BadMapError):
        owners(reply, [1], ASKED)


nonsense = st.recursive(
    st.none() | st.integers(-2, 70_000) | st.binary(max_size=3),
    lambda some: st.lists(some, max_size=4),
    max_leaves=12,
)


@settings(deadline=None)
@given(nonsense)
def test_nonsense_is_refused_or_is_a_map(reply: Any):
    try:
        found = owners(reply, [0, 5], ASKED)
    except BadMapError:
        return
    assert len(found) == 2


@pytest.mark.parametrize(
    ("error", "slot"),
    [
        ("MOVED 3999 127.0.0.1:6381", 3999),
        ("ASK 0 host:1", 0),
        ("MOVED 12", 12),
        ("CLUSTERDOWN Hash slot not served", None),
        ("TRYAGAIN 12 keys", None),
        ("MOVED", None),
        ("MOVED -1 x", None),
        ("MOVED \u0663 x", None),
        ("", None),
    ],
)
def test_the_slot_that_an_error_names(error: str, slot: int | None):
    assert slot_told(error) == slot


def test_a_slot_of_any_length_is_read():
    assert slot_told("MOVED " + "9" * 100_000) == 999_999, "no slot at all, and no work"
