"""The cache that all pods share: Redis (or Valkey) nodes, or a Redis Cluster.

Owns: a small pool of connections to each node, apart from the bus; which node has which key; and
when a node that does not answer is asked again. Must never: let a request wait longer than
`timeout_s`, or decide a limit more openly because Redis is away: then this pod decides, by a share
of the limit, and it kept count while Redis answered. Lost when Redis restarts: everything.

A key is on the node that weighs most with it, by the names of the nodes, as with the bus. Scripts
run whole, by Redis' own clock: pods need not agree on the time.

A call to redis-py runs in a task of its own, which nobody cancels: its time limits end it. redis-py
8.1 loses a connection's place in the pool when it is cancelled while it gives that back (eight such
cancels and nothing works any more), and did worse once (CVE-2023-28858: another caller's reply).
"""

import asyncio
import contextlib
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    NoScriptError,
    RedisClusterException,
    RedisError,
    TimeoutError as RedisTimeoutError,
)

from rtchat.bus.address import Address
from rtchat.bus.seldom import Seldom
from rtchat.bus.shards import rendezvous
from rtchat.cache import check
from rtchat.cache.breaker import Breaker
from rtchat.errors import ChatError, Code, spread_ms
from rtchat.limits import TOLERANCE_S, Buckets, Limit, Rate
from rtchat.tasks import Tasks

log = logging.getLogger(__name__)

Client = Redis | RedisCluster

REST_S = 1.0  # between two attempts to reach a node that did not answer

# `limits.Buckets.spend` in Lua, in microseconds. KEYS[1] holds when every rate's bucket is full.
# ARGV: cost, tolerance, then for each rate the time a token takes and the time the burst takes.
# Answers with the time to wait. The key lives until all are full, and is gone then.
_SPEND = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local cost = tonumber(ARGV[1])
local before = {}
for full_at in string.gmatch(redis.call('GET', KEYS[1]) or '', '%d+') do
  before[#before + 1] = tonumber(full_at)
end
local wait, last, after = 0, now, {}
for i = 1, (#ARGV - 2) / 2 do
  local token, span = tonumber(ARGV[2 * i + 1]), tonumber(ARGV[2 * i + 2])
  local full_at = math.min(before[i] or now, now + span)
  full_at = math.max(math.max(full_at, now) + cost * token, now)
  wait = math.max(wait, full_at - now - span)
  last = math.max(last, full_at)
  after[i] = string.format('%.0f', full_at)
end
if cost > 0 and wait > tonumber(ARGV[2]) then return math.ceil(wait) end
if last - now < 1 then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], table.concat(after, ' '), 'PX', math.ceil((last - now) / 1000))
end
return 0
"""
_SPEND_SHA = hashlib.sha1(_SPEND.encode()).hexdigest()  # noqa: S324  how Redis names scripts


class RedisCache:
    """A `Cache` that pods share."""

    def __init__(
        self,
        urls: Sequence[str],
        *,
        cluster: bool = False,
        prefix: str = "rtchat",
        timeout_s: float = 0.5,
        connections: int = 8,
        entries_max: int = 100_000,
        local_share: float = 0.25,
        clock: Callable[[], float] = time.monotonic,
        on_late: Callable[[], object] = lambda: None,
    ) -> None:
        """`connections`: to each node; `local_share`: of a limit, which holds while Redis is away;
        `on_late`: told of each call that was not answered in time.

        Raises ValueError and OSError for URLs that cannot be used.
        """
        addresses = [Address.parse(url) for url in urls]
        self._names = [address.name for address in addresses]
        self._prefix = f"{prefix}:cache:"
        self._timeout_s = timeout_s
        self._share = local_share
        self._clock = clock
        self._on_late = on_late
        self._local = Buckets(entries_max)
        self._seldom = Seldom(log)
        options: dict[str, Any] = {
            "protocol": 2,  # of the third's pushes none is wanted
            "client_name": f"{prefix}-cache",
            "retry": Retry(NoBackoff(), 0),  # the caller waits, and tries again if it wants
            "max_connections": connections,
            "socket_timeout": timeout_s,
            "socket_connect_timeout": timeout_s,
        }
        self._clients: list[Client]
        if cluster:
            self._clients = [_cluster(urls[0], addresses, options)]
        else:
            self._clients = [Redis.from_url(url, **options) for url in urls]
        self._breakers = [Breaker(REST_S) for _ in self._clients]
        self._slots = [asyncio.Semaphore(connections) for _ in self._clients]
        self._tasks = Tasks("cache")

    async def put(self, key: str, value: bytes, life_s: float) -> None:
        """Keep a value on its node. Raises ChatError(unavailable)."""
        check(key, value)
        await self._ask(key, lambda client, name: client.set(name, value, px=int(life_s * 1000)))

    async def take(self, key: str) -> bytes | None:
        """Get a value and delete it, in one step. Raises ChatError(unavailable)."""
        check(key)
        found = await self._ask(key, lambda client, name: client.getdel(name))
        assert found is None or isinstance(found, bytes), key
        return found

    async def spend(self, key: str, limit: Limit, cost: float = 1.0) -> float:
        """Take from a bucket that pods share; from this pod's own where Redis does not answer."""
        check(key)
        limit = tuple(rate for rate in limit if rate.per_second)
        if not limit:
            return 0.0
        assert cost <= min(rate.burst for rate in limit), (key, cost, limit)
        share = tuple(
            Rate(rate.per_second * self._share, max(rate.burst * self._share, cost, 1.0))
            for rate in limit
        )
        arguments = [str(cost), f"{TOLERANCE_S * 1e6:.0f}"]
        for rate in limit:
            arguments += [
                f"{1e6 / rate.per_second:.3f}",
                f"{rate.burst / rate.per_second * 1e6:.0f}",
            ]
        try:
            wait_us = await self._ask(key, lambda client, name: _spend(client, name, arguments))
        except ChatError:
            return self._local.spend(key, share, self._clock(), cost)
        if not wait_us:
            self._local.spend(key, share, self._clock(), cost)
        return int(wait_us) / 1e6

    @property
    def answers(self) -> bool:
        """Whether each node answered when it was last asked."""
        return all(breaker.closed for breaker in self._breakers)

    async def close(self) -> None:
        """Close the connections."""
        await self._tasks.close()
        for client in self._clients:
            await client.aclose()

    async def _ask(self, key: str, work: Callable[[Client, str], Awaitable[Any]]) -> Any:
        """Ask the key's node. Raises ChatError(unavailable) within the time limit."""
        at = rendezvous(key, self._names) if len(self._clients) > 1 else 0
        breaker = self._breakers[at]
        if not breaker.admits(self._clock()):
            raise _unavailable()
        slots = self._slots[at]
        answer: Any = TimeoutError()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._timeout_s):
                await slots.acquire()
                asked = self._tasks.start(_outcome(work(self._clients[at], self._prefix + key)))
                asked.add_done_callback(lambda _: slots.release())
                answer = await asyncio.shield(asked)
        if isinstance(answer, TimeoutError | RedisTimeoutError):
            self._on_late()
        if isinstance(answer, Exception):
            breaker.failed(self._clock())
            why = str(answer) or type(answer).__name__
            self._seldom.warning("cache does not answer", node=self._names[at], why=why)
            raise _unavailable() from answer
        if breaker.succeeded():
            log.info("cache answers again", extra={"node": self._names[at]})
        return answer


def _cluster(url: str, seeds: Sequence[Address], options: dict[str, Any]) -> RedisCluster:
    nodes = [ClusterNode(seed.host, seed.port) for seed in seeds]
    try:
        return RedisCluster.from_url(url, startup_nodes=nodes, **options)
    except RedisClusterException as error:  # a Unix socket, or a database that is not 0
        raise ValueError(str(error)) from error


async def _outcome(work: Awaitable[Any]) -> Any:
    """The answer, or the error as a value: whoever asked may have gone."""
    try:
        return await work
    except (RedisError, RedisClusterException, OSError, TimeoutError) as error:
        return error


async def _spend(client: Client, name: str, arguments: list[str]) -> Any:
    try:
        return await client.evalsha(_SPEND_SHA, 1, name, *arguments)
    except NoScriptError:  # the node has restarted, or is asked for the first time
        return await client.eval(_SPEND, 1, name, *arguments)


def _unavailable() -> ChatError:
    return ChatError(Code.UNAVAILABLE, after_ms=spread_ms(int(REST_S * 1000)))
