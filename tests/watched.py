"""A page of a headless Chromium that is watched: its errors, and whom it asks."""

import asyncio
import re
from typing import Any
from urllib.parse import urlsplit

DESKTOP = {"width": 1280, "height": 720}
PHONE = {"width": 390, "height": 844}

# Violations are told to the page; its console gets them too, in words that change.
WATCH = """document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`))"""
# What Chromium says itself where a server is away.
AWAY = re.compile(r"net::ERR_|WebSocket connection to ")


class Watched:
    """A page, and what it did that it must not."""

    def __init__(self, page: Any, origin: str) -> None:
        self.page = page
        self.origin = origin
        self.errors: list[str] = []
        self.asked: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.errors.append(f"uncaught: {error}"))
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("websocket", lambda socket: self.asked.append(socket.url))

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    async def watch(self) -> None:
        """Begin; before the first page."""
        await self.page.add_init_script(WATCH)

    async def logs(self, text: str) -> None:
        """Wait until the console tells of an error that begins so."""
        while not any(error.startswith(text) for error in self.errors):
            await asyncio.sleep(0.02)

    def take_refusals(self, status: int) -> int:
        """How many answers of this status the console told of; a test says that it wants them."""
        told = f"the server responded with a status of {status} "
        found = [error for error in self.errors if told in error]
        self.errors = [error for error in self.errors if told not in error]
        return len(found)

    def take_absences(self) -> int:
        """How often the console told of a server that was not there."""
        found = [error for error in self.errors if AWAY.search(error)]
        self.errors = [error for error in self.errors if not AWAY.search(error)]
        return len(found)

    def strangers(self) -> set[str]:
        """Whom it asked besides the server."""
        hosts = {urlsplit(url).netloc for url in self.asked if not url.startswith("data:")}
        return hosts - {urlsplit(self.origin).netloc}

    def assert_clean(self) -> None:
        """It has told of nothing that no test has taken, and asked nobody else."""
        errors, self.errors = self.errors, []
        assert not errors, "\n".join(errors)
        assert not self.strangers(), self.strangers()


async def width_of(page: Any) -> int:
    """How wide the page is; beyond the window's width one scrolls sideways."""
    return int(await page.evaluate("document.documentElement.scrollWidth"))
