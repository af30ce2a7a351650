"""Two people who have the chat open, and meet in one channel after the other."""

import asyncio

from tests.browser.person import Person
from tests.browser.town import Town


class Pair:
    """Ann, who owns the channel that both are in, and Bob."""

    def __init__(self, town: Town, ann: Person, bob: Person) -> None:
        self.town = town
        self.ann = ann
        self.bob = bob
        self.room = ""
        self.channel = 0

    @classmethod
    async def meet(cls, town: Town) -> "Pair":
        """Let both come, signed in, into a first channel."""
        ann, bob = await town.citizen("Ann"), await town.citizen("Bob")
        pair = cls(town, ann, bob)
        await pair._make()
        async with asyncio.TaskGroup() as group:
            for person in (ann, bob):
                group.create_task(person.comes())
        return pair

    async def enter(self) -> None:
        """Go to a channel that is new, and hear of what comes."""
        await self._make()
        for person in (self.ann, self.bob):
            await person.opens(self.room)
            await person.is_connected()

    async def _make(self) -> None:
        self.room = self.town.name("room")
        self.channel = await self.town.channel(self.room, self.ann, self.bob)

    async def elsewhere(self, person: Person) -> str:
        """Let one of them go to another channel that both are in; its name."""
        name = self.town.name("other")
        await self.town.channel(name, self.ann, self.bob)
        await person.opens(name)
        return name
