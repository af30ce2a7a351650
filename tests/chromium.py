"""The browser of the tests: whether there is one, and starting it.

Playwright, of the extra `browser`, drives a Chromium that is on PATH. Where either is missing,
tests that need them are skipped, unless RTCHAT_TEST_BROWSER is set: then they fail.
"""

import contextlib
import importlib
import os
import shutil
from collections.abc import AsyncIterator
from importlib.util import find_spec
from typing import Any

import pytest

PATIENCE_MS = 20_000  # for whatever a test waits for in a page
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

# A page that a test makes up comes from no address, and could not reach a pod on this machine.
OPTIONS = ["--no-sandbox", "--disable-features=LocalNetworkAccessChecks"]


def missing() -> str | None:
    """What there is not."""
    if find_spec("playwright") is None:
        return "playwright drives the browser, and is not installed"
    if CHROMIUM is None:
        return "there is no Chromium on PATH"
    return None


@contextlib.asynccontextmanager
async def launched() -> AsyncIterator[Any]:
    """A headless Chromium; skips the test, or fails it, where there is none."""
    if why := missing():
        if os.environ.get("RTCHAT_TEST_BROWSER"):
            pytest.fail(f"{why}, and RTCHAT_TEST_BROWSER wants it")
        pytest.skip(why)
    playwright: Any = importlib.import_module("playwright.async_api")
    async with playwright.async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield browser
        await browser.close()
