"""Marks of reading, on their way into the database: one a user and channel, many a statement.

Owns: the marks that wait, in a map with a bound: of one user's marks in a channel the furthest
counts, so who reads on and on costs a row now and then. While PostgreSQL is away they stay, and
beyond the bound the answer is `overloaded`. A mark is told of when it is stored, so whoever hears
of one finds it over REST as well. Must never: lock a channel's row, or wait for one of a member.

Lost in a crash: what came in the last `read_flush_ms`, or since PostgreSQL is away. A client has
read what it shows: the next mark that it sends says all that the lost one said.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from typing import NamedTuple

from rtchat.config import Config
from rtchat.errors import ChatError, Code
from rtchat.store.channels import ChannelStore
from rtchat.tasks import Tasks

log = logging.getLogger(__name__)

BATCH = 1000  # in a statement
TRIES = 20  # for a row that is locked, or that is not there: by then its writer has ended
AGAIN_S = 1.0  # after PostgreSQL was away
CLOSE_S = 0.5  # for the last ones, when the pod stops


class Mark(NamedTuple):
    """A user has read a channel up to a seq, and said so on a connection; None: on none here, or
    it said another seq and is to hear where the mark is."""

    user: int
    channel: int
    seq: int
    connection: int | None


class _Waiting:
    __slots__ = ("connection", "seq", "tries")

    def __init__(self, seq: int, connection: int | None) -> None:
        self.seq = seq
        self.connection = connection
        self.tries = 0


class Marks:
    """Has marks stored; `on_stored` is told of those that moved."""

    def __init__(
        self, config: Config, channels: ChannelStore, on_stored: Callable[[list[Mark]], None]
    ) -> None:
        self._config = config
        self._channels = channels
        self._on_stored = on_stored
        self._waiting: dict[tuple[int, int], _Waiting] = {}  # by channel and user
        self._tasks = Tasks("marks")
        self._running = False

    def __len__(self) -> int:
        return len(self._waiting)

    def note(self, mark: Mark) -> None:
        """Take a mark. Raises ChatError(overloaded)."""
        key = mark.channel, mark.user
        waiting = self._waiting.get(key)
        if waiting is None:
            if len(self._waiting) >= self._config.read_marks_max:
                raise ChatError(
                    Code.OVERLOADED, after_ms=int(AGAIN_S * 1000), limit="read_marks_max"
                )
            self._waiting[key] = _Waiting(mark.seq, mark.connection)
        elif mark.seq > waiting.seq:
            waiting.seq, waiting.connection = mark.seq, mark.connection
        if not self._running:
            self._running = True
            self._tasks.start(self._run())

    async def close(self) -> None:
        """Store what waits, if that can be soon."""
        await self._tasks.close()
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._flush()
                while self._waiting:  # locked, mostly for some milliseconds
                    await asyncio.sleep(CLOSE_S / 10)
                    await self._flush()
        except (ChatError, TimeoutError):
            log.warning("marks of reading are lost", extra={"marks": len(self._waiting)})

    async def _run(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(self._config.read_flush_ms / 1000)
                try:
                    await self._flush()
                except ChatError:  # the database is away, and said so
                    await asyncio.sleep(AGAIN_S * random.uniform(0.5, 1.5))
        finally:
            self._running = False

    async def _flush(self) -> None:
        """Try each that waits, once: with a row that is locked it would not help to hurry."""
        for _ in range(0, len(self._waiting), BATCH):
            await self._store(sorted(list(self._waiting)[:BATCH]))

    async def _store(self, keys: list[tuple[int, int]]) -> None:
        batch = [Mark(u, c, (w := self._waiting[c, u]).seq, w.connection) for c, u in keys]
        found = await self._channels.mark_read([mark[:3] for mark in batch])
        moved: list[Mark] = []
        for mark, stored in zip(batch, found, strict=True):
            waiting = self._waiting[mark.channel, mark.user]
            if stored.read_seq is not None:
                ours = mark.connection if stored.read_seq == mark.seq else None
                moved.append(mark._replace(seq=stored.read_seq, connection=ours))
            waiting.tries += not stored.seen
            if (stored.seen and waiting.seq == mark.seq) or waiting.tries >= TRIES:
                del self._waiting[mark.channel, mark.user]
            else:  # behind the others
                del self._waiting[mark.channel, mark.user]
                self._waiting[mark.channel, mark.user] = waiting
        if moved:
            self._on_stored(moved)
