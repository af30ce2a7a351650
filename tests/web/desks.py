"""Who sits at the tabs: a browser profile, a person with a channel, and tabs as they are opened."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx2

from tests.people import Person
from tests.web.seats import POLICY, Network, Seat


async def channel_of(http: httpx2.AsyncClient, owner: Person, *others: Person) -> int:
    """Make a channel with these members."""
    members = [person.id for person in others]
    body = {"type": "private", "name": "seats", "members": members}
    answer = await http.post("/channels", json=body, headers=owner.headers)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


@contextlib.asynccontextmanager
async def browser_of(chromium: Any, worker: str = "worker-src 'self'; ") -> AsyncIterator[Any]:
    """A browser profile in which any origin has the page `/seat`."""
    context = await chromium.new_context()
    policy = {"content-security-policy": POLICY.format(worker=worker)}

    async def seat(route: Any) -> None:
        page = "<!doctype html><title>seat</title>"
        await route.fulfill(body=page, content_type="text/html", headers=policy)

    await context.route("**/seat", seat)
    yield context
    await context.close()


class Desk:
    """A person with a channel, and tabs."""

    def __init__(self, browser: Any, network: Network, person: Person, channel: int) -> None:
        self.browser, self.network = browser, network
        self.person, self.channel = person, channel
        self.tabs = 0

    async def tab(self, cursor: int | None = 0, **how: Any) -> Seat:
        """Open another tab."""
        page = await self.browser.new_page()
        seat = Seat(page, self.network.url, self.person)
        if not self.tabs:
            await seat.signs_in(how.pop("token", None))
        self.tabs += 1
        await seat.begins(self.channel, cursor, **how)
        return seat
