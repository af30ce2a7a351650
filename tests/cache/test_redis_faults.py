"""Without Redis: no codes, no waiting, and limits that are stricter, never open; then back."""

import signal
import time

import pytest

from rtchat import app
from rtchat.cache.redis import RedisCache
from rtchat.config import Config
from rtchat.errors import ChatError, Code
from rtchat.limits import Rate
from rtchat.reached import Reached
from rtchat.server.valkey import PrivateValkey
from tests.cache.conftest import MakeCache, comes_back

SLOW = (Rate(per_second=0.01, burst=40),)
SHARE = 0.25


async def let_through(cache: RedisCache, key: str, attempts: int) -> int:
    return [await cache.spend(key, SLOW) > 0 for _ in range(attempts)].count(False)


@pytest.mark.parametrize("fault", ["killed", "frozen"])
async def test_while_redis_is_away_each_pod_limits_by_its_share(
    make_cache: MakeCache, server: PrivateValkey, fault: str
):
    pods = [make_cache(timeout_s=1.0, local_share=SHARE) for _ in range(2)]
    await pods[0].put("code", b"ann", 60)
    assert await pods[1].spend("login:9", SLOW) == 0.0
    if fault == "killed":
        server.kill()
    else:
        server.send_signal(signal.SIGSTOP)

    for pod in pods:
        assert await let_through(pod, "login:1", 100) == 40 * SHARE
        with pytest.raises(ChatError) as refused:
            await pod.take("code")
        assert refused.value.code is Code.UNAVAILABLE
        assert refused.value.after_ms

    if fault == "killed":
        server.start()
    else:
        server.send_signal(signal.SIGCONT)
    for pod in pods:
        await comes_back(pod)
    left = 1 if fault == "frozen" else 0  # the answers to what was asked then came too late
    assert 40 - 2 * left <= sum([await let_through(pod, "login:1", 50) for pod in pods]) <= 40


async def test_a_pod_that_loses_redis_remembers_what_it_let_through(
    make_cache: MakeCache, server: PrivateValkey
):
    cache = make_cache(local_share=SHARE)
    assert await let_through(cache, "login:1", 30) == 30
    server.kill()
    assert await let_through(cache, "login:1", 10) == 0, "more than its share are gone"


async def test_a_frozen_redis_costs_a_few_callers_the_time_limit_and_the_rest_nothing(
    make_cache: MakeCache, server: PrivateValkey
):
    cache = make_cache(timeout_s=0.1)
    await cache.spend("warm", SLOW)
    server.send_signal(signal.SIGSTOP)
    started = time.monotonic()
    for number in range(500):
        await cache.spend(f"k{number}", SLOW)
    assert time.monotonic() - started < 500 * 0.1 / 2, "half of them waited"


async def test_a_redis_that_is_late_is_counted_also_where_nobody_is_told(server: PrivateValkey):
    reached = Reached()
    cache = app.make_cache(Config(redis_urls=server.url, cache_timeout_ms=100), reached)
    try:
        await cache.spend("warm", SLOW)
        assert reached.counts["cache_timeout_ms"] == 0
        server.send_signal(signal.SIGSTOP)
        await cache.spend("late", SLOW)
        assert reached.counts["cache_timeout_ms"] == 1
    finally:
        await cache.close()


async def test_a_redis_that_is_not_there_is_not_late():
    reached = Reached()
    cache = app.make_cache(Config(redis_urls="redis://127.0.0.1:1"), reached)
    with pytest.raises(ChatError):
        await cache.put("code", b"ann", 60)
    await cache.close()
    assert reached.counts["cache_timeout_ms"] == 0


async def test_a_redis_that_was_restarted_has_forgotten_and_knows_its_script_again(
    make_cache: MakeCache, server: PrivateValkey
):
    cache = make_cache()
    await cache.put("code", b"ann", 60)
    assert await let_through(cache, "login:1", 50) == 40
    server.kill()
    server.start()
    await comes_back(cache)
    assert await cache.take("code") is None
    assert await let_through(cache, "login:1", 50) == 40


async def test_a_redis_that_was_never_there_stops_nobody(make_cache: MakeCache):
    cache = make_cache("redis://127.0.0.1:1", timeout_s=0.5, local_share=SHARE)
    assert await let_through(cache, "login:1", 50) == 40 * SHARE
    with pytest.raises(ChatError) as refused:
        await cache.put("code", b"ann", 60)
    assert refused.value.code is Code.UNAVAILABLE
