"""Fixtures of the client's tests: a pod that may be killed, and clients of people on it."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from rtchat.client import Client, Rest
from rtchat.server.launch import free_port
from tests.people import People, Person
from tests.pods import Pod, Pods

Connect = Callable[..., Client]


class Server:
    """A pod that keeps its address over its deaths."""

    def __init__(self, pods: Pods, database_url: str) -> None:
        self._pods = pods
        self._settings: dict[str, Any] = {"port": free_port(), "sends_per_second": 0}
        self.database_url = database_url
        self.pod: Pod | None = None

    async def start(self, **settings: Any) -> Pod:
        """Start it, where it was before."""
        self._settings |= settings
        self.pod = await self._pods.start(self.database_url, **self._settings)
        return self.pod


@pytest.fixture
def server(pods: Pods, database_url: str):
    """A server of one test's own, not started yet; without a limit on the rate of sends."""
    server = Server(pods, database_url)
    yield server
    if server.pod is not None:
        server.pod.kill()


@pytest.fixture
async def crowd(database_url: str) -> AsyncIterator[People]:
    """People on `server`."""
    async with People(database_url) as source:
        yield source


@pytest.fixture
def connect(pod: Pod) -> Connect:
    """Make a client of a person on the session's pod."""

    def make(person: Person, **options: Any) -> Client:
        return Client(pod.ws_url, token=person.token, **options)

    return make


@pytest.fixture
async def rest(pod: Pod) -> AsyncIterator[Rest]:
    """REST of the session's pod, as nobody: `rest.as_user(person.token)`."""
    async with Rest(pod.url, trust_env=False) as client:
        yield client
