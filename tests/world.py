"""A pod's parts inside the test's own process, on a real database, and people to fill it.

For tests that look at what no socket shows: batches, rooms, links. Whoever wants a server has
`tests.pods`.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import orjson

from rtchat import protocol
from rtchat.api.call import Services
from rtchat.app import App
from rtchat.bus import WatchedBus
from rtchat.config import Config
from rtchat.connection import Connection, Listener
from rtchat.events import Head
from rtchat.model import ChannelType

SECRET = "in-process-tests-0123456789-abcdefgh"


class World:
    """One pod's parts."""

    def __init__(self, app: App, services: Services) -> None:
        self.app = app
        self.services = services
        self.writer = app.writer
        self._count = 0

    async def person(self, name: str = "person") -> int:
        """A user, straight into the database."""
        self._count += 1
        row = await self.services.database.fetchrow(
            "INSERT INTO users (email, name) VALUES ($1 || gen_random_uuid()::text, $1)"
            " RETURNING id",
            name,
        )
        assert row is not None
        return int(row["id"])

    async def channel(self, owner: int, *members: int, kind: str = "public") -> int:
        """A channel with these people in it."""
        return await self.services.channels.create(owner, "test", ChannelType(kind), members)

    async def send(self, user: int, channel: int, *contents: str) -> list[int]:
        """Store messages, in this order; returns their seqs."""
        return [
            (await self.services.chat.send(user, channel, content, None))[0].seq
            for content in contents
        ]

    async def log(self, channel: int) -> list[tuple[int, str | None]]:
        """What the database holds of a channel: seq and content."""
        rows = await self.services.database.fetch(
            "SELECT seq, content FROM messages WHERE channel_id = $1 ORDER BY seq", channel
        )
        return [(row["seq"], row["content"]) for row in rows]

    def connect(self, user: int, **marks: Any) -> "Socket":
        """A socket of this user that keeps what it is sent."""
        return Socket(self.services, user, **marks)


class Socket:
    """A connection whose link keeps the frames: the wire's end, without a wire.

    With `high`, it counts as stuck once more than that is unread, until `read` empties it.
    """

    def __init__(self, services: Services, user: int, *, high: int | None = None) -> None:
        self.listener: Listener | None = None  # what it would be told is done here
        self.unread: list[dict[str, Any]] = []
        self.writes: list[int] = []  # how many frames came in each
        self.closed_with: int | None = None
        self._size, self._taken, self._high, self._paused = 0, 0, high, False
        self._services = services
        self.connection = Connection(0, user, 1, 2**40, self, self._close)
        services.connections.add(self.connection)

    def write(self, frames: bytes) -> None:
        texts = protocol.payloads(frames)
        self.writes.append(len(texts))
        self.unread += map(orjson.loads, texts)
        self._size += len(frames)
        if self._high is not None and self._size > self._high and not self._paused:
            self._paused = True
            self._services.hub.paused(self.connection)

    def taken(self) -> int:
        return self._taken

    def waiting(self) -> int:
        return self._size

    def abort(self) -> None:
        self._close(0, "aborted")

    async def flush(self) -> None:
        """Everything has left."""

    def settle(self) -> None:
        """There was no handshake."""

    def release(self) -> None:
        """There is nothing to let go of."""

    def _close(self, code: int, _: str) -> None:
        self.closed_with = code
        self.leave()

    def leave(self) -> None:
        """The client goes away."""
        self.connection.closed = True
        self._services.connections.discard(self.connection)
        self._services.hub.leave(self.connection)

    async def sub(self, cursors: dict[int, int | None], epoch: str | None = None) -> Any:
        """Subscribe; returns what `ok` says."""
        answers: list[dict[str, Head]] = []
        await self._services.hub.subscribe(self.connection, cursors, epoch, answers.append)
        return msgspec.to_builtins(answers[0])

    def read(self) -> list[dict[str, Any]]:
        """Take what has arrived."""
        arrived, self.unread = self.unread, []
        self._taken += self._size
        self._size = 0
        if self._paused:
            self._paused = False
            self._services.hub.resumed(self.connection)
        return arrived

    def take(self, count: int) -> None:
        """So many bytes leave for a client that does not show what it reads."""
        self._size -= count
        self._taken += count

    async def until(self, done: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
        """Read until `done` says that it is enough; the test's own timeout bounds it."""
        arrived: list[dict[str, Any]] = []
        while not done(arrived):
            await asyncio.sleep(0.002)
            arrived += self.read()
        return arrived

    async def seqs(self, upto: int) -> list[int]:
        """The seqs of the entries that arrive, until one is `upto`."""
        arrived = await self.until(lambda events: any(e.get("seq") == upto for e in events))
        return [e["seq"] for e in arrived if "seq" in e]


@contextlib.asynccontextmanager
async def world(
    database_url: str, bus: WatchedBus | None = None, **settings: Any
) -> AsyncIterator[World]:
    """Run a pod's parts for a while."""
    few: dict[str, Any] = {"bcrypt_cost": 10, "lanes": 2, "pool_max": 4, "presence": 0}
    config = msgspec.structs.replace(
        Config(), database_url=database_url, secret_key=SECRET, **{**few, **settings}
    )
    app = App(config, bus)
    async with app.running() as services:
        yield World(app, services)
