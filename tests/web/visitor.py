"""Somebody at the chat page: what people do there, and what they see.

Owns: a tab of a browser profile of its own, watched as every tab is (`tab.Tab`): no error in the
console, nothing that the policy forbids, nobody asked but the pod. Names are those that a reader of
the screen, or of its sounds, goes by.
"""

import json
import time
from typing import Any

from tests.people import Person
from tests.web.tab import PASSWORD, Tab


class Visitor(Tab):
    """A tab with the chat."""

    async def comes(self, person: Person | None = None, channel: int = 0) -> "Visitor":
        """Open the page; as somebody who has signed in before, and at a channel."""
        await self.page.goto(f"{self.origin}/docs/icon.svg")
        if person is not None:
            held = {
                "user": {"id": person.id, "name": person.name},
                "accessToken": person.token,
                "refreshToken": person.refresh_token,
                "renewAt": (time.time() + 600) * 1000,
            }
            script = "([key, held]) => localStorage.setItem(key, held)"
            await self.page.evaluate(script, [f"rtchat {self.origin}/", json.dumps(held)])
        await self.page.goto(f"{self.origin}/#{channel or ''}")
        return self

    async def signs_up(self, name: str, email: str, password: str = PASSWORD) -> None:
        """Fill in the form for somebody new, and send it."""
        await self.page.get_by_role("heading", name="Sign in").wait_for()
        await self.clicks("Make an account")
        await self.page.get_by_label("Name").fill(name)
        await self.page.get_by_label("E-mail").fill(email)
        await self.page.get_by_label("Password").fill(password)
        await self.page.locator("form").get_by_role("button", name="Make an account").click()

    @property
    def writing(self) -> Any:
        """Where one writes."""
        return self.page.get_by_role("textbox", name="Message")

    @property
    def messages(self) -> Any:
        """The list."""
        return self.page.get_by_role("log", name="Messages")

    @property
    def channels(self) -> Any:
        """The sidebar."""
        return self.page.get_by_role("navigation", name="Channels")

    async def writes(self, text: str) -> None:
        """Write a message."""
        await self.writing.fill(text)
        await self.writing.press("Enter")

    async def reads(self, text: str) -> Any:
        """Wait for a message that is stored; its row."""
        row = self.messages.get_by_role("listitem").filter(has_text=text)
        stored = row.and_(self.page.locator(".msg:not(.pending, .failed)")).last
        await stored.wait_for()
        return stored

    async def opens_channel(self, name: str) -> None:
        """Go to a channel of the sidebar."""
        await self.channels.get_by_role("link", name=name).click()
        await self.page.get_by_role("heading", level=1, name=name).wait_for()

    async def does_to(self, row: Any, button: str) -> None:
        """Press one of a message's buttons."""
        await row.hover()
        await row.get_by_role("button", name=button).click()
