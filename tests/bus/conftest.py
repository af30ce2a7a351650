"""A Valkey of our own to break, and pods on it."""

import secrets
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import redis

from rtchat.bus.redis import RedisBus
from rtchat.server.valkey import PrivateValkey
from tests.bus.bus_pod import BusPod, MakePod


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
