"""A conversation that goes on whatever the server does, and the check of what became of it."""

import asyncio
from collections import defaultdict

from rtchat.client import Client, Entry, Message, Msg, Rest
from tests.people import Person

Said = dict[tuple[int, int], list[int]]  # by author and channel: the seqs of their acks


async def whole(rest: Rest, channel: int) -> list[Message]:
    """Every message of a channel, in order, over REST."""
    messages: list[Message] = []
    more = True
    while more:
        page = await rest.history(channel, after=messages[-1].seq if messages else 0, limit=200)
        messages += page.items
        more = page.has_more
    return messages


async def until(condition, within_s: float = 15.0) -> None:
    """Wait for something that comes about by itself."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.01)


class Reader:
    """Collects a client's entries, by channel."""

    def __init__(self) -> None:
        self.seen: dict[int, list[Entry]] = defaultdict(list)

    def __call__(self, event: object) -> None:
        """Note an event."""
        if isinstance(event, Entry):
            self.seen[event.ch].append(event)

    async def check(self, channel: int, log: list[Message]) -> None:
        """Assert that exactly the log came, dense and in order."""
        seen, last = self.seen[channel], log[-1].seq
        await until(lambda: seen and seen[-1].seq >= last)
        assert [e.seq for e in seen] == list(range(1, last + 1))
        messages = [(e.seq, e.user, e.content) for e in seen if isinstance(e, Msg)]
        assert messages == [(m.seq, m.user_id, m.content) for m in log]


class Talk:
    """One person who says numbers in one channel until told to stop, some at the same time."""

    def __init__(self, client: Client, person: Person, channel: int, window: int) -> None:
        self._client = client
        self._person = person
        self._channel = channel
        self._window = window
        self.acked: list[int] = []
        self.stop = False

    async def run(self) -> None:
        """Talk."""
        number = 0
        async with asyncio.TaskGroup() as group:
            while not self.stop:
                while number - len(self.acked) < 2 * self._window:
                    group.create_task(self._say(number))
                    number += 1
                await asyncio.sleep(0.005)

    async def _say(self, number: int) -> None:
        ack = await self._client.send(self._channel, f"{number}")
        self.acked.append(ack.seq)

    def check(self, log: list[Message]) -> None:
        """Assert that each was acknowledged and stored once, in the order of speaking."""
        said = [m for m in log if m.user_id == self._person.id]
        assert [m.content for m in said] == [f"{n}" for n in range(len(said))]
        assert sorted(self.acked) == [m.seq for m in said]
