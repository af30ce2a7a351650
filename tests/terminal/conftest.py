"""Fixtures of the terminal's tests: people with passwords, and servers that may be killed."""

import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest

from rtchat.client.sync import Rest
from rtchat.server.launch import free_port
from tests.people import People
from tests.pods import Pod, Pods
from tests.services import Databases
from tests.terminal.seat import PASSWORD


class Someone(NamedTuple):
    """Somebody who has an account."""

    id: int
    name: str
    email: str
    rest: Rest


Someones = Callable[[str], Someone]


@contextmanager
def accounts(pod: Pod) -> Iterator[Someones]:
    """Make accounts on a pod."""
    with Rest(pod.url, trust_env=False) as rest:

        def make(name: str) -> Someone:
            email = f"{secrets.token_hex(8)}@terminal.example.org"
            session = rest.register(email, PASSWORD, name)
            return Someone(session.user.id, name, email, rest.as_user(session.access_token))

        yield make


@pytest.fixture(scope="session")
def pod(databases: Databases, pods: Pods) -> Iterator[Pod]:
    """One of their own: on that of the session are a thousand channels of others."""
    with databases.fresh() as url:
        pod = pods.spawn(url).wait()
        yield pod
        pod.kill()


@pytest.fixture(scope="session")
async def people(pod: Pod) -> AsyncIterator[People]:
    """People on it."""
    async with People(pod.database_url) as source:
        yield source


@pytest.fixture(scope="module")
def someone(pod: Pod) -> Iterator[Someones]:
    with accounts(pod) as make:
        yield make


class Mortal:
    """A server that keeps its address over its deaths."""

    def __init__(self, pods: Pods, database_url: str) -> None:
        self._pods = pods
        self._database_url = database_url
        self._port = free_port()
        self.pod = self.start()

    @property
    def url(self) -> str:
        """Where it is."""
        return self.pod.url

    def start(self) -> Pod:
        """Start it, where it was before."""
        self.pod = self._pods.spawn(self._database_url, port=self._port).wait()
        return self.pod


@pytest.fixture
def mortal(databases: Databases, pods: Pods) -> Iterator[Mortal]:
    with databases.fresh() as url:
        server = Mortal(pods, url)
        yield server
        server.pod.kill()
