"""Every pod places a channel on the same node, evenly, and a changed list of nodes moves little."""

import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import assume, given, settings, strategies as st

from rtchat.bus.shards import Topics, place, rendezvous, shard_of
from rtchat.model import ID_MAX

SHARDS = 64
SHARDS_OF = [39, 15, 54, 35, 57]
PLACED = [0, 2, 0, 0, 1, 2, 1, 1, 0, 2, 1, 2, 2, 1, 1, 0]
PROPERTY = settings(deadline=None, max_examples=60)
channels = st.integers(1, ID_MAX)
names = st.from_regex(r"[a-z0-9.-]{1,20}:[0-9]{1,5}", fullmatch=True)


def lists_of_nodes(least: int = 1, most: int = 8) -> st.SearchStrategy[list[str]]:
    return st.lists(names, min_size=least, max_size=most, unique=True)


@PROPERTY
@given(channels, st.integers(1, 4096))
def test_a_channel_has_a_shard(channel: int, shards: int):
    assert 0 <= shard_of(channel, shards) < shards


@pytest.mark.parametrize("step", [1, 2, 3, 64, 1_000, 4_096, 2**22, 2**32])
def test_channels_spread_evenly_whatever_their_step(step: int):
    counts = Counter(shard_of(number * step, SHARDS) for number in range(1, 10_001))
    assert len(counts) == SHARDS
    assert max(counts.values()) < 1.2 * 10_000 / SHARDS


def test_the_mapping_is_the_same_in_every_process_and_release():
    """These values are wire format: pods of two releases have to agree during an upgrade."""
    nodes = ["redis-0:6379", "redis-1:6379", "redis-2:6379"]
    assert [shard_of(channel, SHARDS) for channel in (1, 2, 3, 4711, ID_MAX)] == SHARDS_OF
    assert place(16, nodes) == PLACED
    assert Topics("rtchat", SHARDS).channel(17, 4711) == b"rtchat:{17}:4711"
    assert Topics("rtchat", SHARDS).control == b"rtchat:{control}"
    program = (
        "from rtchat.bus.shards import *;"
        f"print([shard_of(c, 64) for c in (1, 2, 3, 4711, {ID_MAX})], place(16, {nodes}))"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert told.stdout.decode().strip() == f"{SHARDS_OF} {PLACED}"


@PROPERTY
@given(lists_of_nodes(), st.randoms())
def test_the_order_of_the_list_means_nothing(nodes: list[str], random):
    shuffled = list(nodes)
    random.shuffle(shuffled)
    before = [nodes[at] for at in place(SHARDS, nodes)]
    assert before == [shuffled[at] for at in place(SHARDS, shuffled)]
    assert nodes[rendezvous("control", nodes)] == shuffled[rendezvous("control", shuffled)]


@PROPERTY
@given(lists_of_nodes(most=4))
def test_every_node_carries_something(nodes: list[str]):
    """Of 4 nodes one stays empty with 64 shards once in 25 million lists."""
    assert set(place(SHARDS, nodes)) == set(range(len(nodes)))


@PROPERTY
@given(lists_of_nodes(least=2), st.data())
def test_a_node_that_leaves_moves_only_its_own_shards(nodes: list[str], data: st.DataObject):
    gone = data.draw(st.sampled_from(nodes))
    left = [node for node in nodes if node != gone]
    before = [nodes[at] for at in place(SHARDS, nodes)]
    after = [left[at] for at in place(SHARDS, left)]
    moved = {node for node, now in zip(before, after, strict=True) if node != now}
    assert moved <= {gone}
    assert gone not in after


@PROPERTY
@given(lists_of_nodes(), names)
def test_a_node_that_joins_takes_only_what_becomes_its(nodes: list[str], joins: str):
    assume(joins not in nodes)
    more = [*nodes, joins]
    before = [nodes[at] for at in place(SHARDS, nodes)]
    after = [more[at] for at in place(SHARDS, more)]
    assert {now for was, now in zip(before, after, strict=True) if was != now} <= {joins}


@PROPERTY
@given(lists_of_nodes(), st.lists(channels, min_size=1, max_size=50))
def test_every_topic_has_exactly_one_node(nodes: list[str], heard: list[int]):
    topics = Topics("rtchat", SHARDS)
    placed = place(SHARDS, nodes)
    assert len(placed) == SHARDS
    assert all(0 <= at < len(nodes) for at in placed)
    of: dict[bytes, set[int]] = {}
    for channel in heard:
        shard = topics.shard(channel)
        of.setdefault(topics.channel(shard, channel), set()).add(placed[shard])
    assert all(len(at) == 1 for at in of.values())


@PROPERTY
@given(lists_of_nodes(least=2))
def test_no_node_carries_more_than_its_share_can_explain(nodes: list[str]):
    """Shares are binomial: beyond 6 deviations once in some 10^8 lists."""
    fair = SHARDS / len(nodes)
    deviation = (fair * (1 - 1 / len(nodes))) ** 0.5
    counts = Counter(place(SHARDS, nodes))
    assert all(abs(counts[at] - fair) <= 6 * deviation for at in range(len(nodes)))


def test_shards_are_spread_over_nodes():
    for number in (2, 3, 4):
        nodes = [f"10.0.0.{host}:6379" for host in range(number)]
        counts = Counter(place(SHARDS, nodes))
        assert max(counts.values()) <= 1.5 * SHARDS / number


@PROPERTY
@given(channels, channels, st.integers(1, 256))
def test_topics_of_different_channels_differ(one: int, other: int, shards: int):
    topics = Topics("rtchat", shards)
    both = [topics.channel(topics.shard(channel), channel) for channel in (one, other)]
    assert (both[0] == both[1]) == (one == other)
    assert topics.control not in both
    assert topics.probe(0, "4711") not in both


@pytest.mark.parametrize("prefix", ["a{b", "a}b", "a b", "a\nb", "ä"])
def test_a_prefix_cannot_break_topics_and_names(prefix: str):
    with pytest.raises(ValueError, match="prefix"):
        Topics(prefix, SHARDS)


def test_there_is_a_shard():
    with pytest.raises(ValueError, match="shard"):
        Topics("rtchat", 0)
