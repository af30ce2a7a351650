"""Fixtures of the tests that speak REST to the session's pod."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import httpx2
import pytest

from tests.calm import calm as still_calm
from tests.contract.provoking import World, troubled
from tests.contract.rest import Caller
from tests.oidc.process import Idp, run_idp
from tests.people import People
from tests.pods import Pod, Pods
from tests.services import Databases

SignIn = Callable[..., Awaitable[Caller]]


@pytest.fixture(scope="session")
def nobody(http: httpx2.AsyncClient) -> Caller:
    """Somebody who is not signed in."""
    return Caller(http)


@pytest.fixture(scope="session")
def sign_in(http: httpx2.AsyncClient, people: People) -> SignIn:
    """Somebody new who is signed in: `ann = await sign_in("ann")`."""

    async def new(name: str = "ann") -> Caller:
        return Caller(http, await people.new(name))

    return new


@pytest.fixture(scope="module")
async def ann(sign_in: SignIn) -> Caller:
    """Ann, the same for a whole module."""
    return await sign_in("ann")


@pytest.fixture(scope="module")
async def bob(sign_in: SignIn) -> Caller:
    """Bob, the same for a whole module."""
    return await sign_in("bob")


@pytest.fixture(scope="module")
async def eve(sign_in: SignIn) -> Caller:
    """Eve, who is a member of nothing."""
    return await sign_in("eve")


@pytest.fixture(scope="module")
async def calm(pod: Pod) -> AsyncIterator[None]:
    """Whatever a module sends: afterwards the pod is as it was before, and well."""
    async with still_calm(pod):
        yield


@pytest.fixture(scope="module")
def idp() -> Iterator[Idp]:
    """A provider to sign in by."""
    with run_idp() as process:
        yield process


@pytest.fixture(scope="module")
def broken_url(databases: Databases) -> Iterator[str]:
    """A database that is to lose its tables."""
    with databases.fresh() as url:
        yield url


@pytest.fixture(scope="module")
async def world(
    pods: Pods, module_database_url: str, broken_url: str, idp: Idp
) -> AsyncIterator[World]:
    """Pods in each trouble that there is."""
    async with troubled(pods, module_database_url, broken_url, idp) as made:
        yield made
