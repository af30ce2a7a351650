"""Where people and channels come from: each person a browser of one's own, at one chat."""

import itertools
from typing import Any

import httpx2

from tests.browser.person import Person, signed_in
from tests.chromium import PATIENCE_MS
from tests.people import People

JSON = dict[str, Any]


class Town:
    """A chat and those who come to it; `close` says whether each of their pages is clean."""

    def __init__(self, chromium: Any, root: str, people: People, http: httpx2.AsyncClient) -> None:
        self.root = root
        self._chromium = chromium
        self._people = people
        self._http = http
        self._visitors: list[Person] = []
        self._numbers = itertools.count(1)

    # --- people

    async def stranger(self, name: str, *, root: str = "", **looks: Any) -> Person:
        """Somebody without an account; `looks`: the window, the colours."""
        return await self._new(name, root or self.root, None, looks)

    async def citizen(self, name: str, *, root: str = "", **looks: Any) -> Person:
        """Somebody with an account, signed in, whose page is not open yet."""
        return await self._new(name, root or self.root, await self._people.new(name), looks)

    async def device(self, person: Person, **looks: Any) -> Person:
        """Another browser of somebody, signed in there too."""
        return await self._new(
            person.name, person.root, await self._people.again(person.account), looks
        )

    async def _new(self, name: str, root: str, account: Any, looks: JSON) -> Person:
        if account is not None:
            looks = {**looks, "storage_state": signed_in(account, root)}
        context = await self._chromium.new_context(**looks)
        context.set_default_timeout(PATIENCE_MS)
        person = Person(await context.new_page(), root, name, account)
        await person.watch()
        self._visitors.append(person)
        return person

    async def second_tab(self, person: Person) -> Person:
        """Another tab of the same browser."""
        tab = Person(await person.page.context.new_page(), person.root, person.name, person.account)
        await tab.watch()
        self._visitors.append(tab)
        return tab

    async def close(self) -> None:
        """All go home, with clean pages."""
        for person in self._visitors:
            await person.page.context.close()
        for person in self._visitors:
            person.assert_clean()
        self._visitors.clear()

    # --- what is there before them

    def name(self, word: str) -> str:
        """A channel's name that no other test has."""
        return f"{word}-{next(self._numbers)}"

    async def channel(
        self, name: str, owner: Person, *others: Person, type_: str = "public"
    ) -> int:
        """A channel with these people in it."""
        members = [other.account.id for other in others]
        given: JSON = {"type": type_, "members": members}
        if type_ != "dm":
            given["name"] = name
        return int((await self._ask("POST", "/channels", owner, given))["id"])

    async def write(self, channel: int, author: Person, *texts: str) -> list[int]:
        """Messages, by REST; their seqs."""
        path = f"/channels/{channel}/messages"
        return [(await self._ask("POST", path, author, {"content": text}))["seq"] for text in texts]

    async def history(self, channel: int, reader: Person) -> list[tuple[int, str]]:
        """What the server has: seq and content of the newest 200 messages."""
        page = await self._ask("GET", f"/channels/{channel}/messages?limit=200", reader)
        return [(item["seq"], item["content"]) for item in page["items"]]

    async def _ask(self, method: str, path: str, person: Person, body: Any = None) -> JSON:
        headers = person.account.headers
        answer = await self._http.request(method, path, headers=headers, json=body)
        assert answer.is_success, answer.text
        found: JSON = answer.json()
        return found
