"""A Valkey of our own to break, and pods' caches on it."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from rtchat.cache.redis import RedisCache
from rtchat.errors import ChatError
from rtchat.server.valkey import PrivateValkey

MakeCache = Callable[..., RedisCache]


async def comes_back(cache: RedisCache) -> None:
    """Wait until Redis is asked again, and has the keys of every node of three."""
    for _ in range(200):
        try:
            for number in range(30):
                await cache.put(f"back-{number}", b"", 60)
        except ChatError:
            await asyncio.sleep(0.05)
        else:
            return
    pytest.fail("did not come back in 10 s")


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
async def make_cache(server: PrivateValkey) -> AsyncIterator[MakeCache]:
    """Makes caches of one prefix, on `server` unless told otherwise; closes them at the end."""
    caches: list[RedisCache] = []
    prefix = f"test-{secrets.token_hex(4)}"

    def make(*urls: str, **settings: Any) -> RedisCache:
        settings = {"prefix": prefix, "timeout_s": 5.0, **settings}
        caches.append(RedisCache(urls or [server.url], **settings))
        return caches[-1]

    yield make
    for cache in caches:
        await cache.close()
