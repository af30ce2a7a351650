"""Fixtures for every test: real services, started once a session and only if a test asks."""

import os
import secrets
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import pytest
import uvloop
from hypothesis import settings

from rtchat.server.postgres import EmbeddedPostgres
from rtchat.server.valkey import PrivateValkey
from tests import documented
from tests.bus.valkey_cluster import ValkeyCluster
from tests.chromium import launched
from tests.people import People
from tests.pods import Pod, Pods
from tests.services import Databases, Given, run_postgres, run_valkey

# The same examples in every run, so that a change is judged by itself and not by luck; new ones are
# looked for with RTCHAT_TEST_RANDOM=1.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("random", deadline=None)
settings.load_profile("random" if os.environ.get("RTCHAT_TEST_RANDOM") else "same")


def pytest_asyncio_loop_factories(config, item):
    """Run async tests on the loop that the server runs on."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres | Given]:
    """The session's PostgreSQL."""
    with run_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def valkey() -> Iterator[PrivateValkey | Given]:
    """The session's Valkey; tests keep apart by the names of their keys and channels."""
    with run_valkey() as server:
        yield server


@pytest.fixture(scope="session")
def valkey_cluster() -> Iterator[ValkeyCluster]:
    """The session's Redis Cluster of three primaries; not to be broken."""
    with ValkeyCluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def databases(postgres: EmbeddedPostgres | Given) -> Iterator[Databases]:
    """Where fresh databases come from."""
    source = Databases(postgres.url)
    yield source
    source.close()


@pytest.fixture
def database_url(databases: Databases) -> Iterator[str]:
    """An empty database with the newest schema, for one test."""
    with databases.fresh() as url:
        yield url


@pytest.fixture(scope="module")
def module_database_url(databases: Databases) -> Iterator[str]:
    """An empty database with the newest schema, for the tests of one module together."""
    with databases.fresh() as url:
        yield url


@pytest.fixture(scope="session")
def pods(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pods]:
    """Where pods come from: `await pods.start(url, redis_urls=…)`; they end with the session."""
    source = Pods(tmp_path_factory.mktemp("pods"))
    yield source
    source.close()


@pytest.fixture(scope="session")
def pod(databases: Databases, pods: Pods) -> Iterator[Pod]:
    """One pod with its bus in memory, on a database of the session's; not to be stopped."""
    with databases.fresh() as url:
        pod = pods.spawn(url).wait()
        yield pod
        pod.kill()


@pytest.fixture(scope="session")
def two_pods(
    databases: Databases, valkey: PrivateValkey | Given, pods: Pods
) -> Iterator[tuple[Pod, Pod]]:
    """Two pods on one database of the session's and one Valkey; not to be stopped."""
    with databases.fresh() as url:
        settings = {"redis_urls": valkey.url, "bus_prefix": f"pods-{secrets.token_hex(4)}"}
        pair = pods.spawn(url, **settings), pods.spawn(url, **settings)
        for pod in pair:
            pod.wait()
        yield pair
        for pod in pair:
            pod.kill()


@pytest.fixture(scope="session")
async def people(pod: Pod) -> AsyncIterator[People]:
    """People on `pod`: `await people.new("ann")`."""
    async with People(pod.database_url) as source:
        yield source


@pytest.fixture(scope="session")
async def http(pod: Pod) -> AsyncIterator[httpx2.AsyncClient]:
    """An HTTP client of `pod`'s, who is nobody: pass a person's `headers`."""
    # The server closes what is idle for 5 s; a request must not be on its way just then.
    limits = httpx2.Limits(keepalive_expiry=2)
    async with httpx2.AsyncClient(base_url=pod.url, limits=limits, timeout=20) as client:
        documented.watch(client)
        yield client


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Any]:
    """The session's headless Chromium."""
    async with launched() as browser:
        yield browser
