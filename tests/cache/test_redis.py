"""The cache on a real Valkey: taken once, limited together, bounded, and right when cancelled."""

import asyncio
import random

import pytest
import redis

from rtchat.cache.redis import RedisCache
from rtchat.limits import Rate
from rtchat.server.valkey import PrivateValkey
from tests.bus.valkey_cluster import ValkeyCluster
from tests.cache.conftest import MakeCache, comes_back

SLOW = (Rate(per_second=0.01, burst=5),)  # nothing comes back while a test runs


async def test_of_many_takers_on_two_pods_one_gets_it(make_cache: MakeCache):
    pods = [make_cache(), make_cache()]
    await pods[0].put("code", b"ann", 60)
    async with asyncio.TaskGroup() as group:
        takers = [group.create_task(pods[i % 2].take("code")) for i in range(40)]
    assert sorted(taker.result() or b"" for taker in takers) == [b""] * 39 + [b"ann"]


async def test_a_value_dies_at_the_end_of_its_life(make_cache: MakeCache):
    cache = make_cache()
    await cache.put("short", b"1", 0.01)
    await asyncio.sleep(0.05)
    assert await cache.take("short") is None


async def test_a_bucket_holds_over_all_pods(make_cache: MakeCache):
    pods = [make_cache(), make_cache()]
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(pods[i % 2].spend("login:1", SLOW)) for i in range(30)]
    waits = sorted(one.result() for one in asked)
    assert waits[:6] == pytest.approx([0.0] * 5 + [100.0], abs=20)
    assert waits[5] > 0
    assert await pods[0].spend("login:2", SLOW) == 0.0, "another key, another bucket"


async def test_what_is_given_back_can_be_taken_again(make_cache: MakeCache):
    cache = make_cache()
    assert [await cache.spend("a", SLOW, cost=5) > 0 for _ in range(2)] == [False, True]
    assert await cache.spend("a", SLOW, cost=-2) == 0.0
    assert [await cache.spend("a", SLOW) > 0 for _ in range(3)] == [False, False, True]


async def test_every_rate_of_a_limit_holds_and_a_refusal_takes_of_none(make_cache: MakeCache):
    cache = make_cache()
    both = (Rate(0.01, 3), Rate(0.001, 4))
    assert [await cache.spend("a", both) > 0 for _ in range(4)] == [False] * 3 + [True]
    assert await cache.spend("a", both[1:]) == 0.0  # one tier alone: reads the first time kept
    assert await cache.spend("off", (Rate(0, 1),)) == 0.0, "0 switches a rate off"


async def test_a_bucket_is_forgotten_when_it_is_full(make_cache: MakeCache, server: PrivateValkey):
    cache = make_cache()
    with redis.Redis.from_url(server.url) as admin:
        await cache.spend("soon", (Rate(50, 10),))
        [key] = admin.keys("*soon")
        assert 0 < admin.pttl(key) <= 20
        await cache.spend("later", SLOW)
        await cache.spend("later", SLOW, cost=-1)
        assert admin.keys("*later") == [], "given back: full"


async def test_a_clock_that_was_set_back_makes_nobody_wait_longer_than_a_burst_takes(
    make_cache: MakeCache, server: PrivateValkey
):
    cache = make_cache()
    await cache.spend("a", SLOW)
    with redis.Redis.from_url(server.url) as admin:
        [key] = admin.keys("*cache:a")
        admin.set(key, int(admin.get(key)) + 10**15)
    assert await cache.spend("a", SLOW) <= 100.001


async def test_keys_are_shared_out_to_nodes_whatever_their_order(
    make_cache: MakeCache, server: PrivateValkey
):
    with PrivateValkey() as second:
        one, two = make_cache(server.url, second.url), make_cache(second.url, server.url)
        for number in range(40):
            await one.put(f"k{number}", b"%d" % number, 60)
        for url in (server.url, second.url):
            with redis.Redis.from_url(url) as admin:
                assert 5 < admin.dbsize() < 35
        assert [await two.take(f"k{n}") for n in range(40)] == [b"%d" % n for n in range(40)]
        await two.close()
        await one.close()


async def test_it_works_on_a_cluster(valkey_cluster: ValkeyCluster, make_cache: MakeCache):
    pods = [make_cache(*valkey_cluster.urls, cluster=True) for _ in range(2)]
    for pod in pods:
        await comes_back(pod)  # a primary that has just started has no keys for 2 s
    for number in range(20):
        await pods[0].put(f"k{number}", b"%d" % number, 60)
    assert [await pods[1].take(f"k{n}") for n in range(20)] == [b"%d" % n for n in range(20)]
    assert await pods[0].take("k1") is None
    waits = [await pods[at % 2].spend("cluster", SLOW) for at in range(6)]
    assert [wait > 0 for wait in waits] == [False] * 5 + [True]


async def calls(cache: RedisCache, key: str) -> None:
    """Put and take a key's own value, over and over; whatever comes is that, or nothing."""
    while True:
        await cache.put(key, key.encode(), 60)
        assert await cache.take(key) in (key.encode(), None), "another's reply"


@pytest.mark.parametrize("on_cluster", [False, True])
async def test_calls_that_are_cancelled_leave_no_reply_to_the_next_one(
    make_cache: MakeCache, valkey_cluster: ValkeyCluster, on_cluster: bool
):
    """As redis-py once did: CVE-2023-28858, CVE-2023-28859."""
    chance = random.Random(7)
    urls = valkey_cluster.urls if on_cluster else ()
    cache = make_cache(*urls, cluster=on_cluster, connections=2 + 8 * on_cluster)
    await comes_back(cache)
    for turn in range(150):
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(calls(cache, f"{turn}-{i}")) for i in range(6)]
            await asyncio.sleep(chance.random() * 0.004)
            for task in chance.sample(tasks, 6):
                task.cancel()
                await asyncio.sleep(0)
        assert all(task.cancelled() for task in tasks)
    await cache.put("k", b"right", 60)
    assert await cache.take("k") == b"right"


@pytest.mark.parametrize("url", ["redis://127.0.0.1:6379/1", "unix:///run/redis.sock"])
async def test_what_no_cluster_can_be_stops_the_start(url: str):
    with pytest.raises(ValueError, match="cluster mode"):
        RedisCache([url], cluster=True)
