"""Fixtures for every test: real services, started once a session and only if a test asks."""

from collections.abc import Iterator

import pytest
import uvloop

from rtchat.server.postgres import EmbeddedPostgres
from rtchat.server.valkey import PrivateValkey
from tests.services import Databases, Given, run_postgres, run_valkey


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
