"""Catching up: how a connection's subscriptions reach the heads of their rooms.

Owns: at most one task a connection, which reads forward for each of its subscriptions in turn, from
the room's tail or from the log in pages, no faster than the socket drains. A page that ends where
the tail begins is read once for all who want it, and becomes the tail's begin: a pod's death brings
hundreds at once to rooms that were just opened. Must never: read past a room's own cursor (the room
delivers that), or hold more than one page for a connection.
"""

import asyncio
import logging
import random
from collections.abc import Callable

from rtchat import protocol
from rtchat.config import Config
from rtchat.connection import Connection
from rtchat.envelope import ControlKind, Envelope
from rtchat.errors import ChatError, Code
from rtchat.measures import Delivering
from rtchat.room import PURGED_SEQ, OnEnded, Room, State, Subscription, nobody
from rtchat.store.messages import MessageStore
from rtchat.tasks import Tasks

log = logging.getLogger(__name__)

SHORT_S = 0.1  # between looks at a log that ends too early
KEPT_PAGES = 5  # how far a tail grows backwards, for those who come back


class CatchUp:
    """Brings connections up to date.

    `on_ended` is told of a channel whose log is gone, `on_short` that a log ends too early.
    """

    def __init__(
        self,
        config: Config,
        messages: MessageStore,
        on_ended: OnEnded,
        on_short: Callable[[], None],
        measures: Delivering,
    ) -> None:
        self.on_live: Callable[[Subscription], None] = nobody  # told of each that goes live
        self._measures = measures
        self._config = config
        self._messages = messages
        self._on_ended = on_ended
        self._on_short = on_short
        self._tasks = Tasks("catch up")
        # Pages under way that will join onto a tail; the result: whether it could be read.
        self._joining: dict[Room, asyncio.Future[bool]] = {}

    async def close(self) -> None:
        """Stop, wherever each connection is."""
        await self._tasks.close()

    def go_on(self, connection: Connection) -> None:
        """Catch up as far as the tails reach, now; what needs the log goes on in a task."""
        if connection.moved is not None:
            connection.moved()
            return
        for sub in list(connection.catching_up):
            self._from_tail(connection, sub)
        if connection.catching_up and not connection.closed:
            moved = asyncio.Event()
            connection.moved = moved.set  # now: the task begins in a later turn, and must be alone
            self._tasks.start(self._run(connection, moved))

    def _from_tail(self, connection: Connection, sub: Subscription) -> None:
        room = sub.room
        # It may have ended while another one's page was read.
        while connection.paused_at is None and sub.state is State.CATCHING_UP:
            if sub.cursor == room.cursor:
                connection.catching_up.discard(sub)
                room.go_live(sub)
                self.on_live(sub)
                return
            found = room.tail_after(sub.cursor, self._config.write_low_bytes)
            if found is None:  # the log has it; or the room itself is on its way to this cursor
                return
            frames, last = found
            self._write(connection, sub, frames, last)

    async def _run(self, connection: Connection, moved: asyncio.Event) -> None:
        try:
            while connection.catching_up and not connection.closed:
                moved.clear()
                if not await self._round(connection) and connection.catching_up:
                    await moved.wait()
        finally:
            connection.moved = None

    async def _round(self, connection: Connection) -> bool:
        """Let each subscription read a page; tells whether any did."""
        read = False
        for sub in list(connection.catching_up):
            if connection.paused_at is not None:
                return False
            self._from_tail(connection, sub)
            if sub.state is State.CATCHING_UP and sub.cursor < sub.room.cursor:
                read = True
                await self._from_log(connection, sub)
        return read

    async def _from_log(self, connection: Connection, sub: Subscription) -> None:
        room = sub.room
        try:
            if not await self._needs_page(connection, sub):
                return
            cursor = sub.cursor
            page = await self._page(room, cursor)
        except ChatError:  # the database is away or busy; so is everybody else, so spread out
            await asyncio.sleep(random.uniform(0.2, 1.0))
            return
        if sub.state is not State.CATCHING_UP or sub.cursor != cursor:
            return
        if page is None:
            self._on_ended(sub, ControlKind.DELETED, PURGED_SEQ)  # the purge was faster
            return
        if not page:  # purged with its channel, or gone back to an earlier state: heads tell
            self._on_short()
            await asyncio.sleep(SHORT_S)
            return
        for envelope in page:
            if connection.paused:
                return
            self._write(connection, sub, envelope.payload, envelope.last)

    def _write(self, connection: Connection, sub: Subscription, frames: bytes, last: int) -> None:
        self._measures.caught_up += last - sub.cursor
        self._measures.written_bytes += len(frames)
        sub.cursor = last
        connection.write(frames)

    async def _needs_page(self, connection: Connection, sub: Subscription) -> bool:
        """Let others read first what joins onto the tail; tells whether there is more to be read.

        Each wait but the last makes the tail longer, so this comes to an end.
        """
        room = sub.room
        while (reading := self._joining.get(room)) is not None and self._joins(room, sub.cursor):
            begin = room.kept_from
            if not await asyncio.shield(reading):
                raise ChatError(Code.UNAVAILABLE)
            self._from_tail(connection, sub)
            waits = sub.state is State.CATCHING_UP and not connection.paused
            if not waits or sub.cursor >= room.cursor:
                return False
            if room.kept_from >= begin:
                break  # it was not kept: there is no room for it
        return True

    def _joins(self, room: Room, cursor: int) -> bool:
        """Whether one page leads from here to the tail, and the tail shall have it."""
        rows = self._config.catch_up_rows
        return room.kept_from - 1 - cursor <= rows and room.cursor - cursor <= KEPT_PAGES * rows

    async def _page(self, room: Room, cursor: int) -> list[Envelope] | None:
        """What follows `cursor` in the log, up to the tail; None where some of it is missing."""
        if room in self._joining or not self._joins(room, cursor):
            return await self._read(room, cursor)
        done = self._joining[room] = asyncio.get_running_loop().create_future()
        read = False
        try:
            page = await self._read(room, cursor)
            room.prepend(page or ())
            read = True
        finally:
            del self._joining[room]
            done.set_result(read)
        return page

    async def _read(self, room: Room, cursor: int) -> list[Envelope] | None:
        entries = await self._messages.entries(
            room.channel_id, cursor, room.kept_from - 1, self._config.catch_up_rows
        )
        if entries and entries[-1].seq - cursor != len(entries):
            return None
        return list(protocol.pack(entries, self._config.write_low_bytes))
