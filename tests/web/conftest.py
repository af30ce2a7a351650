"""Fixtures of the pages: one Chromium, a new tab for each test, and one that keeps its page."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.pods import Pod, Pods
from tests.services import Databases
from tests.web.chromium import launched
from tests.web.conversing import SETTINGS
from tests.web.tab import Tab

PATIENCE_MS = 20_000


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Any]:
    """A headless Chromium."""
    async with launched() as browser:
        yield browser


@pytest.fixture(scope="session")
def unlimited(pods: Pods, databases: Databases) -> Iterator[Pod]:
    """A pod that lets a connection write as fast as it can; not to be stopped."""
    with databases.fresh() as url:
        pod = pods.spawn(url, **SETTINGS).wait()
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
    assert (tab.errors, tab.strangers()) == ([], set())
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
