"""A tab with one of the pages to read and try, and what people do there."""

import random
from typing import Any

from tests.watched import DESKTOP, Watched

PASSWORD = "correct horse battery"


class Tab(Watched):
    """One of the pages to read and try."""

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
