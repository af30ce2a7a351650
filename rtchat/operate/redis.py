"""`rtchat doctor` on Redis or Valkey: is each node there, new enough, a cluster or not as set, and
does it let slow pods live long enough? And one round over the bus, as pods use it.

Owns: the look (bounded by `WITHIN_S` a node, all at once) and what it means. Must never: change
anything, show a password, or publish where a pod may listen.
"""

import asyncio
from collections.abc import Iterator
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from rtchat.app import make_bus
from rtchat.bus import WatchedBus
from rtchat.bus.address import Address
from rtchat.config import Config
from rtchat.errors import StartError
from rtchat.model import ID_MAX
from rtchat.operate.finding import Finding, away, ok, warn, wrong

WITHIN_S = 5.0
OLDEST = 7
ROUND_TOPICS = 64  # of channels that nobody has, spread over all shards and so over all nodes
ROUND_S = 3.0
# Redis' own default. A pod that reads nothing while so much comes is cut, and its rooms read the
# log: less than a node of ours may send at once (`bus_queue_bytes`) makes that happen in everyday
# stalls; none at all lets a pod that hangs fill the server's memory.
MB = 1 << 20
USUAL = "CONFIG SET client-output-buffer-limit 'pubsub 64mb 32mb 60', and the same in its file"


class Seen(NamedTuple):
    """What one node said. What its user may not ask is None, and named in `denied`."""

    product: str
    version: str
    clustered: bool | None
    cluster_state: str | None
    slots: int | None  # covered
    hard_bytes: int | None  # of client-output-buffer-limit pubsub; 0: no limit
    soft_bytes: int | None
    maxmemory: int | None
    policy: str | None
    denied: list[str]


def examine(config: Config, source: str, within_s: float = WITHIN_S) -> list[Finding]:
    """Look at every node, and say what was found; `source`: where the URLs came from."""
    if not config.redis_nodes:
        return [ok("redis", "none is set: one pod, one worker, its bus in memory", source)]
    return asyncio.run(_examine(config, source, within_s))


async def _examine(config: Config, source: str, within_s: float) -> list[Finding]:
    found: list[list[Finding]] = [[] for _ in config.redis_nodes]
    async with asyncio.TaskGroup() as group:
        for at, url in enumerate(config.redis_nodes):
            group.create_task(_node(url, config, source, found[at], within_s))
    findings = [finding for node in found for finding in node]
    if all(finding.cause is None for finding in findings):
        findings.append(await _round(config, source, min(within_s, ROUND_S)))
    return findings


async def _node(
    url: str, config: Config, source: str, found: list[Finding], within_s: float
) -> None:
    try:
        name = Address.parse(url).name
    except (ValueError, OSError) as error:
        mend = "write it as redis://:password@host:6379, rediss://… for TLS; several by commas"
        found.append(wrong("redis", f"a URL that cannot be used: {error}", source, mend))
        return
    try:
        async with asyncio.timeout(within_s):
            seen = await _look(url)
    except (RedisError, OSError, TimeoutError) as error:
        words = f"{name}: {_reason(error)}"
        mend = "start it, or correct the URL: host, port, user, password, TLS"
        found.append(away("redis", words, source, mend))
        return
    found += judge(seen, config, name, source)


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error).partition("\n")[0] or type(error).__name__


async def _look(url: str) -> Seen:
    denied: list[str] = []
    options: dict[str, Any] = {"protocol": 2, "retry": Retry(NoBackoff(), 0)}
    options |= {"socket_timeout": WITHIN_S, "socket_connect_timeout": WITHIN_S}

    async def ask(right: str, *command: str) -> Any:
        try:
            return await node.execute_command(*command)  # type: ignore[no-untyped-call]
        except ResponseError:  # NOPERM, or a server that hides the command
            denied.append(right)
            return None

    async with Redis.from_url(url, decode_responses=True, **options) as node:
        await node.ping()
        info = await ask("+info", "INFO") or {}
        limits = await ask("+config|get", "CONFIG GET", "client-output-buffer-limit") or {}
        cluster: dict[str, str] = {}
        if info.get("cluster_enabled"):
            cluster = await ask("+cluster|info", "CLUSTER INFO") or {}
    product = "Valkey" if "valkey_version" in info else "Redis"
    hard, soft = _pubsub_limit(limits.get("client-output-buffer-limit", ""))
    return Seen(
        product,
        str(info.get("valkey_version") or info.get("redis_version") or ""),
        bool(info["cluster_enabled"]) if "cluster_enabled" in info else None,
        cluster.get("cluster_state"),
        int(cluster["cluster_slots_ok"]) if "cluster_slots_ok" in cluster else None,
        hard,
        soft,
        int(info["maxmemory"]) if "maxmemory" in info else None,
        info.get("maxmemory_policy"),
        denied,
    )


def _pubsub_limit(text: str) -> tuple[int | None, int | None]:
    """Hard and soft, of `normal 0 0 0 … pubsub 33554432 8388608 60`."""
    words = text.split()
    if "pubsub" not in words:
        return None, None
    at = words.index("pubsub")
    return int(words[at + 1]), int(words[at + 2])


def judge(seen: Seen, config: Config, name: str, source: str) -> list[Finding]:
    """What one node's answers mean. Pure."""
    return [
        _version(seen, name, source),
        *_cluster(seen, config, name),
        *_memory(seen, config, name),
    ]


def _version(seen: Seen, name: str, source: str) -> Finding:
    if not seen.version:
        rights = f"ACL SETUSER … {' '.join(seen.denied)}, or look as another user"
        return warn("redis", f"{name} answers; its user may not see more", source, rights)
    words = f"{name}: {seen.product} {seen.version}"
    if int(seen.version.partition(".")[0]) < OLDEST:
        mend = f"upgrade it: version {OLDEST} has what the bus needs (sharded publish/subscribe)"
        return away("redis", f"{words}, too old", source, mend)
    return ok("redis", words, source)


def _cluster(seen: Seen, config: Config, name: str) -> Iterator[Finding]:
    if seen.clustered is None:
        return
    source = f"INFO cluster at {name}, and RTCHAT_REDIS_CLUSTER"
    if seen.clustered != bool(config.redis_cluster):
        is_one = "is a cluster's node" if seen.clustered else "is no cluster's node"
        mend = f"RTCHAT_REDIS_CLUSTER={int(seen.clustered)}"
        yield wrong("cluster", f"{name} {is_one}, and the setting says otherwise", source, mend)
    elif seen.clustered and seen.cluster_state is not None:
        words = f"{name}: state {seen.cluster_state}, {seen.slots} of 16384 slots are served"
        if seen.cluster_state != "ok" or seen.slots != 16384:
            mend = "bring its nodes back, or assign the slots: redis-cli --cluster check, fix"
            yield away("cluster", words, source, mend)
        else:
            yield ok("cluster", words, source)


def _memory(seen: Seen, config: Config, name: str) -> Iterator[Finding]:
    source = f"CONFIG GET client-output-buffer-limit at {name}"
    if seen.hard_bytes is not None and seen.soft_bytes is not None:
        shown = f"pubsub {_mb(seen.hard_bytes)} at once, {_mb(seen.soft_bytes)} for long"
        least = min(b for b in (seen.hard_bytes, seen.soft_bytes, 1 << 62) if b)
        if not seen.hard_bytes:
            words = f"{shown}: a pod that hangs can fill the server's memory"
            yield warn("pubsub buffers", words, source, USUAL)
        elif least < config.bus_queue_bytes:
            words = f"{shown}: less than RTCHAT_BUS_QUEUE_BYTES, so short stalls cut pods off"
            yield warn("pubsub buffers", words, source, USUAL)
        else:
            yield ok("pubsub buffers", shown, source)
    elif seen.version:
        mend = "ACL SETUSER … +config|get, or look as another user"
        yield warn("pubsub buffers", "its user may not see them", source, mend)
    if seen.maxmemory and seen.policy == "noeviction":
        words = f"maxmemory {_mb(seen.maxmemory)}, noeviction: once full, it refuses the cache"
        mend = "CONFIG SET maxmemory-policy volatile-ttl: all of rtchat's keys expire"
        yield warn("redis memory", words, f"INFO memory at {name}", mend)


def _mb(number: int) -> str:
    return f"{number / MB:.3g} MB" if number else "no limit"


async def _round(config: Config, source: str, within_s: float) -> Finding:
    """Publish on topics of every node, and hear it again: rights, links and shards together."""
    mend = (
        "give its user the rights of docs/security.md (publish, subscribe, the channels of"
        " RTCHAT_BUS_PREFIX), and let every node of a cluster be reached from here"
    )
    try:
        bus = make_bus(config)
    except StartError as error:
        return wrong("bus", str(error), source, "correct RTCHAT_REDIS_URLS or RTCHAT_BUS_PREFIX")
    heard: dict[int, float] = {}
    try:
        async with asyncio.timeout(WITHIN_S + within_s):
            await bus.start()
            await _publish(bus, heard, within_s)
    except TimeoutError:
        pass  # what was heard until then is told
    finally:
        await bus.close()
    words = f"{len(heard)} of {ROUND_TOPICS} items came back"
    if len(heard) < ROUND_TOPICS:
        return away("bus", words, source, mend)
    slowest_ms = max(heard.values()) * 1000
    return ok("bus", f"{words}, the slowest after {slowest_ms:.1f} ms", source)


async def _publish(bus: WatchedBus, heard: dict[int, float], within_s: float) -> None:
    loop = asyncio.get_running_loop()
    channels = range(ID_MAX - ROUND_TOPICS + 1, ID_MAX + 1)
    all_heard = asyncio.Event()

    def hear(item: bytes) -> None:
        heard[int(item)] = loop.time() - began
        if len(heard) == ROUND_TOPICS:
            all_heard.set()

    bus.on_envelope = hear
    await bus.subscribe(channels)
    began = loop.time()
    for channel in channels:
        bus.publish(channel, b"%d" % channel)
    async with asyncio.timeout(within_s):
        await all_heard.wait()
