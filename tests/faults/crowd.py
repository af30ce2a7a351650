"""A crowd of clients in channels of their own, talking at a rate: the load of a fault run.

Owns: the users and channels (put into the database directly), the clients' tasks, and the end of a
run: nothing new is said, what is unknown is resolved, everybody reaches the heads. Runs in the
fleet's loop.
"""

import asyncio
import contextlib
import random
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import asyncpg
import httpx2
from asyncpg.exceptions import PostgresError

from rtchat.tasks import Tasks
from tests.faults.clients import TEXT_CHARS, Chatter, Where
from tests.faults.history import History
from tests.people import People
from tests.pods import SECRET_KEY

CONNECT_S = 20.0
ASK_S = 1.0
REACTION_SHARE = 0.1  # of what is written
FORMER_SHARE = 0.1  # of the sends of those who were removed somewhere: to be refused


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
        self,
        database_url: str,
        where: Where,
        texts: Sequence[str],
        load: Load,
        seed: int,
        secret_key: str = SECRET_KEY,
    ) -> None:
        self.history = History()
        self.chatters: list[Chatter] = []
        self.channels: list[int] = []
        self.loud = False  # long messages
        self.complaints: list[str] = []  # of a fault that did not strike as it should
        self.members: dict[int, list[int]] = {}  # of each channel, at the start
        self._url = database_url
        self._secret_key = secret_key  # with which the pods sign
        self._where = where
        self._texts = texts
        self._load = load
        self._rng = random.Random(seed)
        self._tasks = Tasks("crowd")
        self._talking: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Make users and channels, connect everybody, begin to talk."""
        async with People(self._url, self._secret_key) as people:
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
            of[persons[0].id] = self.channels  # who made them, and may remove people
            self.members = {
                c: [u for u, theirs in of.items() if c in theirs] for c in self.channels
            }
            await connection.executemany(
                "INSERT INTO members (channel_id, user_id, role) VALUES ($1, $2, $3)",
                [
                    (channel, user, "owner" if user == persons[0].id else "member")
                    for channel, users in self.members.items()
                    for user in users
                ],
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
            if (channel := self._channel_of(chatter)) is None:
                continue
            if self._rng.random() < REACTION_SHARE:
                await chatter.react(channel)
            else:
                text = self._rng.choice(self._texts)
                await chatter.say(channel, text * TEXT_CHARS if self.loud else text)

    def _channel_of(self, chatter: Chatter) -> int | None:
        """By lot: the hot one, another one, or one from which it was removed and may not speak."""
        if chatter.former and self._rng.random() < FORMER_SHARE:
            return self._rng.choice(chatter.former)
        if not chatter.cursors:
            return None
        hot, *others = chatter.cursors  # nobody is removed from the hot one
        is_hot = not others or self._rng.random() < self._load.hot_share
        return hot if is_hot else self._rng.choice(others)

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

    async def remove(self, count: int, url: Callable[[], str]) -> None:
        """Take so many people out of channels, by REST; whoever is out stays out."""
        owner = self.chatters[0].person
        async with httpx2.AsyncClient(headers=owner.headers, timeout=10) as http:
            for _ in range(count):
                chatter = self._rng.choice(self.chatters[1:])
                if len(chatter.cursors) > 1:
                    channel = self._rng.choice(list(chatter.cursors)[1:])
                    path = f"/channels/{channel}/members/{chatter.person.id}"
                    await self._delete(http, url, path)
                await asyncio.sleep(0.1)

    @staticmethod
    async def _delete(http: httpx2.AsyncClient, url: Callable[[], str], path: str) -> None:
        """Try until a pod has done it: 404 is the answer to a second try of what was done."""
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(httpx2.HTTPError):
                    answer = await http.delete(url() + path)
                    if answer.status_code in (204, 404):
                        return
                    assert answer.status_code == 503, answer.text
                await asyncio.sleep(0.2)

    async def terminate_backends(self) -> None:
        """Let PostgreSQL end every connection to the database but this one."""
        connection = await asyncpg.connect(self._url, timeout=CONNECT_S)
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
        while await self.behind() and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.1)
        for chatter in self.chatters:
            for channel in chatter.subscribed & chatter.cursors.keys():
                cursor = chatter.cursors[channel]
                assert cursor is not None
                self.history.end(chatter.number, chatter.session, channel, cursor)
        await self._tasks.close()

    async def behind(self) -> list[tuple[int, int]]:
        """Who is not at the head, or does not know what became of a message: client, channel.

        Without the database: everybody.
        """
        heads: dict[int, int] = {}
        with contextlib.suppress(OSError, TimeoutError, PostgresError):
            connection = await asyncpg.connect(self._url, timeout=ASK_S, command_timeout=ASK_S)
            try:
                rows = await connection.fetch(
                    "SELECT id, last_seq FROM channels WHERE id = ANY($1)", self.channels
                )
                heads = {row["id"]: row["last_seq"] for row in rows}
            finally:
                connection.terminate()
        return [
            (chatter.number, channel)
            for chatter in self.chatters
            for channel, cursor in chatter.cursors.items()
            if chatter.pending or channel not in chatter.subscribed or cursor != heads.get(channel)
        ]
