"""The cache of a process that is alone keeps the promises of `rtchat.cache`, within its bounds."""

import itertools
from collections import OrderedDict

import pytest
from hypothesis import given, settings, strategies as st

from rtchat.cache import KEY_MAX_CHARS, VALUE_MAX_BYTES
from rtchat.cache.memory import ENTRY_BYTES, MemoryCache
from rtchat.limits import Buckets, Rate

BIG = 1 << 30


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_a_value_is_taken_once():
    cache = MemoryCache(10, BIG)
    await cache.put("code", b"ann", 60)
    assert await cache.take("code") == b"ann"
    assert await cache.take("code") is None
    assert await cache.take("never put") is None


async def test_the_newer_value_stands():
    cache = MemoryCache(10, BIG)
    await cache.put("code", b"one", 60)
    await cache.put("code", b"two", 60)
    assert len(cache) == 1
    assert await cache.take("code") == b"two"


async def test_a_value_dies_at_the_end_of_its_life():
    clock = Clock()
    cache = MemoryCache(10, BIG, clock)
    await cache.put("a", b"a", 10)
    await cache.put("b", b"b", 10)
    clock.now += 9.99
    assert await cache.take("a") == b"a"
    clock.now += 0.01
    assert await cache.take("b") is None


@pytest.mark.parametrize(("key", "size"), [("", 1), ("k" * (KEY_MAX_CHARS + 1), 1), ("k", BIG)])
async def test_what_no_part_of_the_server_makes_is_a_mistake(key: str, size: int):
    with pytest.raises(AssertionError):
        await MemoryCache(10, BIG).put(key, bytes(min(size, VALUE_MAX_BYTES + 1)), 1)


puts = st.lists(
    st.tuples(st.integers(0, 7), st.integers(0, 300), st.sampled_from([1, 5]), st.booleans()),
    max_size=60,
)


@given(puts, st.sampled_from([1, 3, 100]), st.sampled_from([ENTRY_BYTES * 2, BIG]))
@settings(max_examples=100)
async def test_it_stays_within_its_bounds_and_loses_the_oldest_first(
    steps: list[tuple[int, int, int, bool]], entries_max: int, bytes_max: int
):
    clock = Clock()
    cache = MemoryCache(entries_max, bytes_max, clock)
    model: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
    for number, size, life_s, take in steps:
        key, value = f"k{number}", b"v" * size
        if take:
            found = model.pop(key, (b"", 0.0))
            expected = found[0] if found[1] > clock.now else None
            assert await cache.take(key) == expected
        else:
            await cache.put(key, value, life_s)
            model.pop(key, None)
            model[key] = value, clock.now + life_s
            while len(model) > entries_max or (
                sum(ENTRY_BYTES + len(kept) for kept, _ in model.values()) > bytes_max
            ):
                model.popitem(last=False)
            assert len(cache) <= entries_max
        clock.now += 0.7


async def test_a_bucket_is_spent_and_given_back():
    clock = Clock()
    cache = MemoryCache(10, BIG, clock)
    limit = (Rate(1, 2),)
    assert [await cache.spend("a", limit) for _ in range(3)] == [0.0, 0.0, 1.0]
    assert await cache.spend("b", limit) == 0.0, "another key, another bucket"
    assert await cache.spend("a", limit, cost=-1) == 0.0
    assert await cache.spend("a", limit) == 0.0
    await cache.close()


async def test_a_crowd_of_keys_takes_no_more_than_the_bound():
    clock = Clock()
    buckets = Buckets(100)
    for key in range(1000):
        buckets.spend(key, (Rate(1, 2),), clock.now)
    assert len(buckets) == 100
    assert [buckets.spend(999, (Rate(1, 2),), clock.now) for _ in range(2)] == [0.0, 1.0]
    for key in itertools.islice(itertools.count(5000), 60):
        buckets.spend(key, (Rate(1, 2),), clock.now + 10)
    assert len(buckets) < 100, "full ones go when somebody comes"
