"""Somebody at the chat page: what people do there, and what they see, in their own words.

Owns: by which roles and labels the page's parts are found; a test knows none of them. Each thing
that somebody sees is waited for.
"""

import importlib
import json
import re
from typing import Any

from tests.browser.row import ROWS, Row
from tests.chromium import PATIENCE_MS
from tests.people import Person as Account
from tests.watched import Watched

PASSWORD = "correct horse battery"
FAR_MS = 4e12  # no token of a test is renewed before


def signed_in(account: Account, root: str) -> dict[str, Any]:
    """What a browser holds of somebody who signed in at `root` before."""
    user = {"id": account.id, "name": account.name, "email": account.email, "status": ""}
    held = {
        "user": user,
        "accessToken": account.token,
        "refreshToken": account.refresh_token,
        "renewAt": FAR_MS,
    }
    origin = "/".join(root.split("/")[:3])
    kept = {"name": f"rtchat {root}/", "value": json.dumps(held)}
    return {"cookies": [], "origins": [{"origin": origin, "localStorage": [kept]}]}


class Person(Watched):
    """A tab with the chat, and who sits before it."""

    def __init__(self, page: Any, root: str, name: str, account: Account | None = None) -> None:
        """`root`: where the chat is, without a slash at its end."""
        super().__init__(page, "/".join(root.split("/")[:3]))
        page.set_default_timeout(PATIENCE_MS)
        self.expect: Any = importlib.import_module("playwright.async_api").expect
        self.root = root
        self.name = name
        self._account = account

    @property
    def account(self) -> Account:
        """Who this is to the server; of those only who came signed in."""
        assert self._account is not None, f"{self.name} made an account in the page"
        return self._account

    # --- coming and going

    async def comes(self, *, at: str = "/") -> None:
        """Open the page."""
        await self.page.goto(self.root + at)

    async def signs_up(self, email: str) -> None:
        """Make an account."""
        await self.presses("Make an account")
        await self.fills("Name", self.name)
        await self.fills("E-mail", email)
        await self.fills("Password", PASSWORD)
        await self.presses("Make an account")

    async def signs_in(self, email: str, password: str = PASSWORD) -> None:
        """With an account from before."""
        await self.fills("E-mail", email)
        await self.fills("Password", password)
        await self.presses("Sign in")

    async def opens_account(self) -> None:
        """What one is called, and the way out."""
        await self.page.get_by_title("Your account").click()

    async def signs_out(self) -> None:
        await self.opens_account()
        await self.presses("Sign out")
        await self.sees("Sign in", role="heading")

    async def is_connected(self) -> None:
        """Wait until the page says so."""
        await self.told("Connected")

    # --- what there is on every page

    def button(self, name: str | re.Pattern[str]) -> Any:
        """By its whole name, or a pattern."""
        return self.page.get_by_role("button", name=name, exact=True)

    async def presses(self, name: str | re.Pattern[str]) -> None:
        await self.button(name).click()

    async def follows(self, name: str) -> None:
        """A link."""
        await self.page.get_by_role("link", name=name, exact=True).click()

    async def fills(self, label: str, text: str) -> None:
        await self.page.get_by_label(label, exact=True).fill(text)

    async def sees(self, text: str | re.Pattern[str], *, role: str = "") -> None:
        """Wait for a text, or for what has this name."""
        found = (
            self.page.get_by_role(role, name=text, exact=True)
            if role
            else self.page.get_by_text(text)
        )
        await found.first.wait_for()

    async def has_title(self, pattern: re.Pattern[str]) -> None:
        """Wait until the window's title is so."""
        await self.expect(self.page).to_have_title(pattern, timeout=PATIENCE_MS)

    async def told(self, text: str | re.Pattern[str]) -> None:
        """Wait until the state of the connection is this."""
        await self.page.get_by_role("status").get_by_text(text).first.wait_for()

    async def tries_now(self) -> None:
        """Press the button that is there until the page comes back, which it may do by itself."""
        buttons = self.page.get_by_role("button", name="Try now", exact=True)
        await buttons.evaluate_all("(found) => found.forEach((button) => button.click())")

    @property
    def dialog(self) -> Any:
        """The one on top."""
        return self.page.get_by_role("dialog").last

    # --- channels

    @property
    def sidebar(self) -> Any:
        return self.page.get_by_role("navigation", name="Channels")

    def channel(self, title: str) -> Any:
        """Its place in the sidebar."""
        return self.sidebar.get_by_role("link", name=re.compile(rf"^{re.escape(title)}(,|$)"))

    async def opens(self, title: str) -> None:
        """Go to one of one's channels."""
        await self.channel(title).click()
        await self.is_in(title)

    async def is_in(self, title: str) -> None:
        """Wait until this channel is open, and its newest messages are there."""
        await self.page.get_by_role("heading", level=1, name=title, exact=True).wait_for()
        await self.composer.wait_for()
        await self.log.get_by_role("listitem").first.wait_for()

    async def makes(self, name: str, *, private: bool = False) -> None:
        """A channel."""
        await self.presses("New channel")
        await self.fills("Name", name)
        if private:
            await self.dialog.get_by_role("radio", name=re.compile("^Private")).check()
        await self.presses("Make the channel")
        await self.is_in(name)

    async def finds_and_joins(self, name: str) -> None:
        """A public channel, by the list of them."""
        await self.presses("Find channels to join")
        await self.dialog.get_by_role("button", name=f"Join {name}", exact=True).click()
        await self.is_in(name)

    async def looks_at_members(self) -> None:
        """The channel's people and settings."""
        await self.presses("Members and settings")
        await self.dialog.get_by_role("listitem").first.wait_for()

    async def searches(self, label: str, verb: str, name: str) -> None:
        """Find somebody by the beginning of the name, and choose them."""
        await self.dialog.get_by_label(label, exact=True).fill(name)
        await self.dialog.get_by_role("button", name=f"{verb} {name}", exact=True).click()

    async def closes(self) -> None:
        """Close what is on top."""
        await self.dialog.get_by_role("button", name="Close", exact=True).click()
        await self.page.get_by_role("dialog").wait_for(state="detached")

    # --- writing

    @property
    def composer(self) -> Any:
        return self.page.get_by_role("textbox", name=re.compile("^Message "))

    async def types(self, text: str) -> None:
        """Write, and send nothing."""
        await self.composer.press_sequentially(text)

    async def says(self, text: str) -> None:
        """Write a message and send it."""
        await self.composer.fill(text)
        await self.composer.press("Enter")

    # --- reading

    @property
    def log(self) -> Any:
        return self.page.get_by_role("log", name="Messages")

    def message(self, text: str) -> Any:
        """The row with this text."""
        return self.log.get_by_role("listitem").filter(has_text=text)

    async def reads(self, text: str) -> None:
        """Wait for a message, or a quiet line, with this text."""
        await self.message(text).first.wait_for()

    async def rows(self) -> list[Row]:
        """The messages in the page, from above."""
        return [Row(**row) for row in await self.log.evaluate(ROWS)]

    async def texts(self) -> list[str]:
        """What they say."""
        return [row.text for row in await self.rows()]

    async def has_sent(self, text: str) -> None:
        """Wait until a message of one's own is acknowledged."""
        await self.message(text).and_(self.page.locator(":not(.pending):not(.failed)")).wait_for()

    async def is_to_send(self, text: str) -> None:
        """Wait until a message of one's own is shown as on its way."""
        await self.message(text).and_(self.page.locator(".pending")).wait_for()

    async def reaches_for(self, text: str, tool: str) -> None:
        """One of the buttons of a message, which show under the pointer."""
        await self.message(text).hover()
        await self.message(text).get_by_role("button", name=tool, exact=True).click()
