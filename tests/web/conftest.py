"""Fixtures of the pages: one Chromium, and a new tab for each test."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.pods import Pod
from tests.web.tab import CHROMIUM, Tab


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Any]:
    """A headless Chromium."""
    playwright = pytest.importorskip(
        "playwright.async_api", reason="playwright drives the browser, and is not installed"
    )
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine")
    async with playwright.async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        await browser.close()


@pytest.fixture
async def tab(chromium: Any, pod: Pod, request: pytest.FixtureRequest) -> AsyncIterator[Tab]:
    """A tab that nobody has used, of the size that the test asks for; at its end it is clean."""
    context = await chromium.new_context(**getattr(request, "param", {}))
    context.set_default_timeout(20_000)
    tab = Tab(await context.new_page(), pod.url)
    await tab.watch()
    yield tab
    assert (tab.errors, tab.strangers()) == ([], set())
    await context.close()
