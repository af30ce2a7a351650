"""A tab of a headless Chromium that watches what a page does: its errors, and whom it asks."""

import asyncio
import random
from typing import Any
from urllib.parse import urlsplit

DESKTOP = {"width": 1280, "height": 720}
PHONE = {"width": 390, "height": 844}
PASSWORD = "correct horse battery"

# Violations are told to the page; its console gets them too, in words that change.
WATCH = """document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`))"""


class Tab:
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

    def strangers(self) -> set[str]:
        """Whom it asked besides the pod."""
        hosts = {urlsplit(url).netloc for url in self.asked if not url.startswith("data:")}
        return hosts - {urlsplit(self.origin).netloc}

    # --- what people do

    async def opens(self, path: str) -> None:
        """Go to a page and wait until it is filled."""
        await self.page.goto(f"{self.origin}{path}")
        await self.page.locator(".opblock, .frame").first.wait_for()

    async def fills_in(self, email: str, password: str = PASSWORD) -> None:
        """Fill in the strip."""
        await self.page.get_by_label("E-mail").fill(email)
        await self.page.get_by_role("textbox", name="Password").fill(password)

    async def clicks(self, name: str) -> None:
        """Press the button of this name."""
        await self.page.get_by_role("button", name=name, exact=True).click()

    async def sees(self, text: str) -> None:
        """Wait for a text."""
        await self.page.get_by_text(text).first.wait_for()

    async def makes_an_account(self) -> str:
        """Become somebody new; returns the address."""
        email = f"ann{random.randrange(10**12)}@example.org"
        await self.fills_in(email)
        await self.clicks("Make an account")
        await self.sees("Signed in as")
        return email

    # --- the console

    async def connects(self) -> None:
        """Open the socket, signed in."""
        await self.clicks("Connect")
        await self.sees("Connected as")

    async def sends(self, example: str) -> None:
        """Send an example as it is."""
        await self.page.get_by_label("Frame", exact=True).select_option(label=example)
        await self.clicks("Send")

    async def gets(self, t: str, text: str = "") -> None:
        """Wait until a frame of this type, with this text, is in the list."""
        entries = self.page.locator(".transcript li.in", has=self.page.locator(f'b:text-is("{t}")'))
        await entries.filter(has_text=text).first.wait_for()

    # --- the operations

    async def begins_anew(self) -> None:
        """Undo on `/docs` what a test before did: nobody is signed in, and no operation is open."""
        await self.page.set_viewport_size(DESKTOP)
        await self.page.emulate_media(color_scheme="dark")
        for button in (".auth-btn-wrapper .btn-done", "#account button:text-is('Sign out')"):
            if await self.page.locator(button).is_visible():
                await self.page.locator(button).click()
        await self.page.get_by_label("E-mail").wait_for()
        open_ones = self.page.locator(".opblock.is-open .opblock-summary-control")
        while await open_ones.count():
            await open_ones.first.click()
        await self.page.evaluate("sessionStorage.clear()")

    def operation(self, path: str) -> Any:
        """The first operation of this path."""
        return self.page.locator(".opblock", has=self.page.locator(f'[data-path="{path}"]')).first

    async def opened(self, path: str) -> Any:
        """The same, opened."""
        operation = self.operation(path)
        await operation.locator(".opblock-summary-control").click()
        await operation.locator(".samples").wait_for()
        return operation

    async def gets_an_answer(self, path: str, text: str) -> str:
        """Try an open operation, and wait for an answer with this text; gives its status."""
        await self.operation(path).get_by_role("button", name="Execute").click()
        answers = self.operation(path).locator(".live-responses-table .response")
        answer = answers.filter(has_text=text)
        await answer.wait_for()
        return str(await answer.locator(".response-col_status").inner_text())


async def width_of(tab: Tab) -> int:
    """How wide the page is; beyond the window's width one scrolls sideways."""
    return int(await tab.page.evaluate("document.documentElement.scrollWidth"))
