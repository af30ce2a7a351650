"""Fixtures of the chat page: a pod for all of its tests, and people who come to it."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import pytest

from tests import documented
from tests.browser.pair import Pair
from tests.browser.town import Town
from tests.people import People
from tests.pods import Pod, Pods
from tests.services import Databases


@contextlib.asynccontextmanager
async def town_of(chromium: Any, pod: Pod) -> AsyncIterator[Town]:
    """A town at a pod; every page in it is clean at its end."""
    limits = httpx2.Limits(keepalive_expiry=2)  # the server closes what is idle for 5 s
    async with (
        People(pod.database_url) as people,
        httpx2.AsyncClient(base_url=pod.url, limits=limits, timeout=20) as http,
    ):
        documented.watch(http)
        town = Town(chromium, pod.url, people, http)
        yield town
        await town.close()


@pytest.fixture(scope="session")
def chat_pod(databases: Databases, pods: Pods) -> Iterator[Pod]:
    """A pod whose public channels are those of these tests; not to be stopped."""
    with databases.fresh() as url:
        pod = pods.spawn(url, presence=1, presence_grace_s=1, ephemeral_tick_ms=50).wait()
        yield pod
        pod.kill()


@pytest.fixture(scope="module")
async def neighbours(chromium: Any, chat_pod: Pod) -> AsyncIterator[Pair]:
    """Two people whose pages stay open for the tests of a file."""
    async with town_of(chromium, chat_pod) as town:
        yield await Pair.meet(town)


@pytest.fixture
async def pair(neighbours: Pair) -> AsyncIterator[Pair]:
    """The two, in a channel that is new; their pages are clean at the test's end."""
    await neighbours.enter()
    yield neighbours
    for person in (neighbours.ann, neighbours.bob):
        person.assert_clean()


@pytest.fixture
async def town(chromium: Any, chat_pod: Pod) -> AsyncIterator[Town]:
    """People for one test."""
    async with town_of(chromium, chat_pod) as town:
        yield town
