"""Fixtures of the pages: a new tab for each test, and one that keeps its page."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import pytest

from tests.chromium import PATIENCE_MS
from tests.people import People
from tests.pods import Pod, Pods
from tests.services import Databases
from tests.web.conversing import SETTINGS
from tests.web.desks import Desk, browser_of, channel_of
from tests.web.seats import INTERNAL_TOKEN, Network
from tests.web.tab import Tab


@pytest.fixture(scope="session")
def unlimited(pods: Pods, databases: Databases) -> Iterator[Pod]:
    """A pod that lets a connection write as fast as it can; not to be stopped."""
    with databases.fresh() as url:
        pod = pods.spawn(url, internal_token=INTERNAL_TOKEN, **SETTINGS).wait()
        yield pod
        pod.kill()


@pytest.fixture
async def tab(chromium: Any, pod: Pod, request: pytest.FixtureRequest) -> AsyncIterator[Tab]:
    """A tab that nobody has used, of the size that the test asks for; at its end it is clean."""
    context = await chromium.new_context(**getattr(request, "param", {}))
    context.set_default_timeout(PATIENCE_MS)
    tab = Tab(await context.new_page(), pod.url)
    await tab.watch()
    yield tab
    tab.assert_clean()
    await context.close()


@pytest.fixture(scope="session")
async def loaded_docs(chromium: Any, pod: Pod) -> AsyncIterator[Tab]:
    """`/docs`, which takes seconds to load, once for all; dark at first."""
    context = await chromium.new_context(color_scheme="dark")
    context.set_default_timeout(PATIENCE_MS)
    docs = Tab(await context.new_page(), pod.url)
    await docs.watch()
    await docs.opens("/docs")
    yield docs
    await context.close()


@pytest.fixture
async def docs(loaded_docs: Tab) -> AsyncIterator[Tab]:
    """That page, as if nobody had touched it; at the test's end it is clean, as of a `tab`."""
    await loaded_docs.begins_anew()
    yield loaded_docs
    errors, strangers = loaded_docs.errors[:], loaded_docs.strangers()
    loaded_docs.errors.clear()
    loaded_docs.asked.clear()
    assert (errors, strangers) == ([], set())


# --- of the client


@pytest.fixture(scope="module")
async def network(unlimited: Pod) -> AsyncIterator[Network]:
    """The way to a pod."""
    network = Network(unlimited.url)
    async with network.proxy:
        yield network


@pytest.fixture(scope="module")
async def crowd(unlimited: Pod) -> AsyncIterator[People]:
    async with People(unlimited.database_url) as people:
        yield people


@pytest.fixture
async def rest(network: Network) -> AsyncIterator[httpx2.AsyncClient]:
    host, port = network.proxy.target
    async with httpx2.AsyncClient(base_url=f"http://{host}:{port}", timeout=20) as http:
        yield http


@pytest.fixture
async def browser(chromium: Any) -> AsyncIterator[Any]:
    async with browser_of(chromium) as context:
        yield context


@pytest.fixture
async def desk(
    browser: Any, network: Network, crowd: People, rest: httpx2.AsyncClient
) -> AsyncIterator[Desk]:
    """Somebody new with a channel; however the test ends, the next one's network is whole."""
    ann = await crowd.new("ann")
    yield Desk(browser, network, ann, await channel_of(rest, ann))
    network.proxy.refuses = network.proxy.swallows = False
