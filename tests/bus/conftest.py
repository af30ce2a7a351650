"""A Valkey of our own to break, and pods on it."""

import secrets
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import redis

from rtchat.bus.redis import RedisBus
from rtchat.server.valkey import PrivateValkey
from tests.bus.bus_pod import BusPod, MakePod
from tests.bus.valkey_cluster import ValkeyCluster


@pytest.fixture(scope="module")
def running() -> Iterator[PrivateValkey]:
    with PrivateValkey() as server:
        yield server


@pytest.fixture
def server(running: PrivateValkey) -> Iterator[PrivateValkey]:
    """A server to break; mended for the next test."""
    yield running
    running.kill()
    running.start()


@pytest.fixture
def admin(server: PrivateValkey) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        yield client


@pytest.fixture
async def make_pod(server: PrivateValkey) -> AsyncIterator[MakePod]:
    """Makes pods of one prefix, on `server` unless told otherwise, and closes them at the end."""
    pods: list[BusPod] = []
    prefix = f"test-{secrets.token_hex(4)}"

    def make(*urls: str, **limits: Any) -> BusPod:
        pods.append(BusPod(RedisBus(urls or [server.url], **{"prefix": prefix, **limits})))
        return pods[-1]

    yield make
    for pod in pods:
        await pod.bus.close()


@pytest.fixture
def cluster(valkey_cluster: ValkeyCluster) -> Iterator[ValkeyCluster]:
    """The session's cluster, to break here; mended for the next test, though slots may move.

    And there may be replicas: whoever wants primaries asks for `primaries`.
    """
    yield valkey_cluster
    valkey_cluster.heal()


@pytest.fixture
async def make_cluster_pod(cluster: ValkeyCluster) -> AsyncIterator[MakePod]:
    """Makes pods of one prefix on `cluster` unless told otherwise, and closes them at the end."""
    pods: list[BusPod] = []
    prefix = f"test-{secrets.token_hex(4)}"

    def make(*urls: str, **limits: Any) -> BusPod:
        bus = RedisBus(urls or cluster.urls, cluster=True, **{"prefix": prefix, **limits})
        pods.append(BusPod(bus))
        return pods[-1]

    yield make
    for pod in pods:
        await pod.bus.close()
