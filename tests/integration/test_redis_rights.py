"""The Redis user of the hardening guide: enough for two pods, and too little for anything else."""

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

import httpx2
import pytest
import redis

from rtchat.bus.redis import RedisBus
from rtchat.cache.redis import RedisCache
from rtchat.limits import Rate
from rtchat.server.valkey import PrivateValkey
from tests.bus.bus_pod import BusPod
from tests.bus.valkey_cluster import ValkeyCluster, ask
from tests.cache.conftest import comes_back
from tests.people import People
from tests.pods import Pod, Pods
from tests.sockets import wire

GUIDE = Path(__file__).parents[2] / "docs" / "security.md"
PASSWORD = "correct horse battery"


class Locked(NamedTuple):
    """A Valkey that knows the guide's user, besides the administrator."""

    admin: redis.Redis
    user: redis.Redis
    url: str


def told() -> str:
    """The command of the guide, with a password."""
    (command,) = re.findall(r"^ *(ACL SETUSER rtchat on .*)$", GUIDE.read_text(), re.MULTILINE)
    return str(command).replace(">…", ">s3cret")


@pytest.fixture(scope="module")
def locked() -> Iterator[Locked]:
    """A server with that user."""
    with PrivateValkey() as server, redis.from_url(server.url) as admin:
        admin.execute_command(*told().split())
        url = server.url.replace("//", "//rtchat:s3cret@")
        with redis.from_url(url) as user:
            yield Locked(admin, user, url)


@pytest.fixture(scope="module")
async def two(
    locked: Locked, module_database_url: str, pods: Pods
) -> AsyncIterator[tuple[Pod, Pod]]:
    """Two pods that come to Redis as that user."""
    pair = [pods.spawn(module_database_url, redis_urls=locked.url) for _ in range(2)]
    yield await pair[0].listening(), await pair[1].listening()
    for pod in pair:
        pod.kill()


async def test_the_rights_of_the_guide_are_enough(locked: Locked, two: tuple[Pod, Pod]) -> None:
    """S-69: delivery, sign-in with its throttles, ends of sessions: nothing was refused."""
    near, far = two
    async with (
        People(near.database_url) as people,
        httpx2.AsyncClient(base_url=near.url, timeout=20) as http,
    ):
        ann, bob = await people.new("ann"), await people.new("bob")
        body = {"name": "x", "type": "public", "members": [bob.id]}
        made = await http.post("/channels", json=body, headers=ann.headers)
        channel = made.json()["id"]
        async with wire(far.ws_url, bob) as socket:
            await socket.ask({"t": "sub", "ref": 1, "ch": {str(channel): 0}})
            sent = {"content": "hi", "nonce": "n"}
            path = f"/channels/{channel}/messages"
            assert (await http.post(path, json=sent, headers=ann.headers)).status_code == 201
            assert (await socket.until(t="msg"))[-1]["content"] == "hi"
            account = {"email": "cat@example.org", "password": PASSWORD}
            assert (await http.post("/auth/register", json=account)).status_code == 201
            for tried in (PASSWORD, "wrong horse battery"):
                await http.post("/auth/login", json={**account, "password": tried})
            gone = await http.post("/auth/logout", json={"all": True}, headers=bob.headers)
            assert gone.status_code == 204
            assert (await socket.closed())[0] == 4004
    assert locked.admin.acl_log() == []


@pytest.mark.parametrize(
    "command",
    [
        "SET other:key 1", "GET other:key", "PUBLISH other:topic x", "SUBSCRIBE other:topic",
        "PSUBSCRIBE *", "KEYS *", "SCAN 0", "FLUSHALL", "CONFIG GET *", "ACL LIST", "CLIENT LIST",
        "SHUTDOWN NOSAVE", "MONITOR", "REPLICAOF NO ONE", "SCRIPT FLUSH",
        "MODULE LIST", "SAVE",
    ],
)  # fmt: skip
def test_they_are_for_nothing_else(locked: Locked, command: str) -> None:
    """Not for what others keep there, and not for the server."""
    with pytest.raises(redis.exceptions.NoPermissionError):
        locked.user.execute_command(*command.split())  # type: ignore[no-untyped-call]


async def test_in_a_cluster_they_are_enough_with_some_more(valkey_cluster: ValkeyCluster) -> None:
    """S-69: the bus by shards and the cache, on every node."""
    (more,) = re.findall(r"In a Redis Cluster it needs\s+`([^`]+)`", GUIDE.read_text())
    for node in valkey_cluster.nodes:
        ask(node, *told().split(), *more.split())
        ask(node, "ACL", "LOG", "RESET")
    urls = [url.replace("//", "//rtchat:s3cret@") for url in valkey_cluster.urls]
    cache, pod = RedisCache(urls, cluster=True, timeout_s=5.0), BusPod(RedisBus(urls, cluster=True))
    try:
        await comes_back(cache)  # a primary that has just started has no keys for 2 s
        await pod.bus.start()
        await pod.bus.subscribe(range(20))
        for number in range(20):
            pod.bus.publish(number, b"%d" % number)
            await pod.hears(b"%d" % number)
            await cache.put(f"key {number}", b"value", 10)
            assert await cache.take(f"key {number}") == b"value"
            assert await cache.spend(f"bucket {number}", (Rate(1, 5),)) == 0.0
        pod.bus.unsubscribe(range(20))
        assert [ask(node, "ACL", "LOG") for node in valkey_cluster.nodes] == [[], [], []]
    finally:
        await pod.bus.close()
        await cache.close()
