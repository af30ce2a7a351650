"""A crowd of clients in channels of their own, talking at a rate: the load of a fault run.

Owns: the users and channels (put into the database directly), the clients' tasks, and the end of a
run: nothing new is said, what is unknown is resolved, everybody reaches the heads. Runs in the
fleet's loop.
"""

import asyncio
import random
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from rtchat.tasks import Tasks
from tests.faults.clients import Chatter, Where
from tests.faults.history import History
from tests.people import People

CONNECT_S = 20.0


@dataclass(frozen=True, slots=True)
class Load:
    """How many, how much."""

    clients: int = 24
    channels: int = 6  # one of them, the hot one, with everybody
    per_client: int = 3  # channels of each, the hot one among them
    sends_per_second: float = 120.0
    hot_share: float = 0.4


class Crowd:
    """`await begin()`, faults, `await finish()`."""

    def __init__(
        self, database_url: str, where: Where, texts: Sequence[str], load: Load, seed: int
    ) -> None:
        self.history = History()
        self.chatters: list[Chatter] = []
        self.channels: list[int] = []
        self._url = database_url
        self._where = where
        self._texts = texts
        self._load = load
        self._rng = random.Random(seed)
        self._tasks = Tasks("crowd")
        self._talking: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Make users and channels, connect everybody, begin to talk."""
        async with People(self._url) as people:
            persons = await people.several(self._load.clients, "c")
        connection = await asyncpg.connect(self._url)
        try:
            names = [secrets.token_hex(4) for _ in range(self._load.channels)]
            self.channels = [
                await connection.fetchval(
                    "INSERT INTO channels (name, type, created_by) VALUES ($1, 'public', $2)"
                    " RETURNING id",
                    name,
                    persons[0].id,
                )
                for name in names
            ]
            hot, *others = self.channels
            of = {
                p.id: [hot, *self._rng.sample(others, self._load.per_client - 1)] for p in persons
            }
            await connection.executemany(
                "INSERT INTO members (channel_id, user_id, role) VALUES ($1, $2, 'member')",
                [(channel, user) for user, channels in of.items() for channel in channels],
            )
        finally:
            await connection.close()
        for number, person in enumerate(persons):
            rng = random.Random(self._rng.random())
            chatter = Chatter(number, person, of[person.id], self._where, self.history, rng)
            self.chatters.append(chatter)
            self._tasks.start(chatter.run())
        async with asyncio.timeout(CONNECT_S):
            while not all(self._settled(c) for c in self.chatters):
                await asyncio.sleep(0.02)
        self.talk()

    @staticmethod
    def _settled(chatter: Chatter) -> bool:
        return all(cursor is not None for cursor in chatter.cursors.values())

    async def _talk(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due += self._rng.expovariate(self._load.sends_per_second)
            if (wait_s := due - loop.time()) > 0:
                await asyncio.sleep(wait_s)
            chatter = self._rng.choice(self.chatters)
            hot, *others = list(chatter.cursors) or self.channels
            channel = hot if self._rng.random() < self._load.hot_share else self._rng.choice(others)
            await chatter.say(channel, self._rng.choice(self._texts))

    def talk(self) -> None:
        """Say things at the rate of the load."""
        if self._talking is None:
            self._talking = self._tasks.start(self._talk())

    def hush(self) -> None:
        """Say nothing new from now on."""
        if self._talking is not None:
            self._talking.cancel()
            self._talking = None

    def reset_some(self, share: float) -> None:
        """Cut the sockets of some clients, without a word."""
        for chatter in self._rng.sample(self.chatters, round(share * len(self.chatters))):
            chatter.cut()

    async def terminate_backends(self) -> None:
        """Let PostgreSQL end every connection to the database but this one."""
        connection = await asyncpg.connect(self._url)
        try:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        finally:
            await connection.close()

    async def finish(self, within_s: float) -> None:
        """Stop talking; wait until all is known and everybody at the head; note the ends."""
        self.hush()
        for chatter in self.chatters:
            chatter.reads.set()
        deadline = asyncio.get_running_loop().time() + within_s
        while not await self._quiet() and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.1)
        for chatter in self.chatters:
            for channel in chatter.subscribed & chatter.cursors.keys():
                cursor = chatter.cursors[channel]
                assert cursor is not None
                self.history.end(chatter.number, chatter.session, channel, cursor)
        await self._tasks.close()

    async def _quiet(self) -> bool:
        if any(c.pending for c in self.chatters):
            return False
        connection = await asyncpg.connect(self._url)
        try:
            rows = await connection.fetch(
                "SELECT id, last_seq FROM channels WHERE id = ANY($1)", self.channels
            )
        finally:
            await connection.close()
        heads = {row["id"]: row["last_seq"] for row in rows}
        return all(
            chatter.session and channel in chatter.subscribed and cursor == heads[channel]
            for chatter in self.chatters
            for channel, cursor in chatter.cursors.items()
        )

    @property
    def subscriptions(self) -> list[tuple[int, int]]:
        """Who is to be there at the end: client and channel."""
        return [
            (chatter.number, channel) for chatter in self.chatters for channel in chatter.cursors
        ]
