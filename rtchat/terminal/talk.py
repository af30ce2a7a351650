"""One person's side of the conversation: between the client and what a terminal shows.

Owns: which channels are followed (all of one's own), what is asked over REST, and the writes on
their way. Whatever waits is a task of `group`, so that a failure that nobody expected ends the
program, and with a traceback. Must never: block the events, or lose a message that was typed: it is
on its way, stored, or shown as failed.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from rtchat.client import (
    Added,
    Channel,
    Client,
    ClientError,
    ClosedError,
    Entry,
    Hello,
    OutcomeUnknownError,
    Presence,
    Read,
    RefusedError,
    Removed,
    Reset,
    Rest,
    Typing,
)
from rtchat.client.events import AnyEvent
from rtchat.terminal.finding import WrongError, called, find_channel, find_person
from rtchat.terminal.state import Pending, Room, State

SEND_S = 120.0  # how long a message is tried before its author is asked
PAGE = 60  # messages of history at once
READ_S = 0.7  # how often it is told how far one has read, at most
TYPING_S = 3.0  # and that one is writing


class Talk:
    """Talks. `changed`, which may be set, is called when there is something to draw."""

    def __init__(self, client: Client, rest: Rest, state: State, group: asyncio.TaskGroup) -> None:
        self.client = client
        self.rest = rest
        self.state = state
        self._group = group
        self.changed: Callable[[], None] = _nothing
        self._loop = asyncio.get_running_loop()
        self._asked_for: set[int] = set()  # people whose names were asked for
        self._sending: dict[str, asyncio.Task[None]] = {}  # by nonce
        self._followed: set[int] = set()
        self._to_tell: dict[int, Room] = {}  # what was read in them
        self._typed_at = 0.0
        self._listing = asyncio.Lock()
        self.leaving = False  # was told that messages are on their way, and leaves all the same

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it beside; a refusal is shown."""
        task = self._group.create_task(self._shown(work))
        task.add_done_callback(lambda _: work.close())  # of one that was cancelled unbegun

    async def _shown(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except (ClientError, WrongError) as error:
            self.state.panel = [str(error)]
        self._draw()

    def _draw(self) -> None:
        if unknown := self.state.unknown() - self._asked_for:
            self._asked_for |= unknown
            self.start(self._learn(unknown))
        self.changed()

    async def _learn(self, people: set[int]) -> None:
        self.state.names |= {user.id: user.name for user in await self.rest.users(people)}

    # --- what the server tells

    async def run(self) -> None:
        """Take events until the client has ended. Raises ClosedError where that is for good."""
        async for event in self.client.events():
            self._on(event)
            self._draw()

    def _on(self, event: AnyEvent) -> None:
        """The rest are hints; an error among them is of `read` or `typing`, which people can do
        without."""
        if isinstance(event, Hello):
            self.state.presence.clear()  # what was told of it ended with the connection
            self.start(self.list_channels())
        elif isinstance(event, Typing | Read | Presence):
            self.state.on_ephemeral(event, self._loop.time())
        elif isinstance(event, Entry):
            self._on_entry(event)
        elif isinstance(event, Added):
            self.start(self.follow(event.channel))
        elif isinstance(event, Removed):
            self._forget(event.ch)
        elif isinstance(event, Reset):
            self.start(self._read_anew(event))

    def _on_entry(self, entry: Entry) -> None:
        if (room := self.state.rooms.get(entry.ch)) is None:
            return
        room.on(entry)
        if not (room is self.state.room and self.state.reading_back):
            room.shorten()
        if room is self.state.room and not self.state.reading_back:
            self.seen()

    async def list_channels(self) -> None:
        """Follow what is one's own, and forget what is not any more: hints can be lost."""
        async with self._listing:
            mine = [channel async for channel in self.rest.all_channels()]
            for gone in self.state.rooms.keys() - {channel.id for channel in mine}:
                self._forget(gone)
            for channel in mine:  # told while there was no link
                if (room := self.state.rooms.get(channel.id)) is None:
                    continue
                if room.read_seq > (channel.read_seq or 0):
                    self._to_tell[room.id] = room
                room.read_elsewhere(channel.read_seq or 0)
            self.tell_read()
            await self._follow(mine)

    async def follow(self, channel: Channel) -> None:
        """Have a channel that one became a member of."""
        async with self._listing:
            await self._follow([channel])

    async def _follow(self, channels: list[Channel]) -> None:
        """Follow those that are not followed yet, also where that failed before."""
        new = [channel for channel in channels if channel.id not in self._followed]
        for channel in new:
            if channel.id not in self.state.rooms:
                await self._add(channel)
        if new:
            wanted = {channel.id: self.state.rooms[channel.id].last_seq for channel in new}
            await self.client.subscribe(wanted)
            self._followed |= wanted.keys() & self.state.rooms.keys()

    async def _add(self, channel: Channel) -> None:
        room = Room(channel, self.state.me.id)
        if channel.type == "dm":
            members = [member.user async for member in self.rest.all_members(channel.id)]
            self.state.names |= {user.id: user.name for user in members}
            room.others = [user.id for user in members if user.id != self.state.me.id]
        self.state.rooms[channel.id] = room

    def _forget(self, channel: int) -> None:
        self._followed.discard(channel)
        room = self.state.rooms.pop(channel, None)
        if room is not None and self.state.current == channel:
            self.state.current = None
            self.state.panel = [f"you are not in {self.state.label(room)} any more"]

    async def _read_anew(self, reset: Reset) -> None:
        """The server's log is another one than it was."""
        if (room := self.state.rooms.get(reset.ch)) is None:
            return
        if reset.last_seq is None:
            self._forget(reset.ch)
            return
        room.forget()
        channel = await self.rest.channel(reset.ch)
        room.last_seq, room.read_seq = channel.last_seq, channel.read_seq or 0
        room.unread = channel.unread or 0
        if room is self.state.room:
            await self.open(room)

    # --- reading

    async def open(self, room: Room) -> None:
        """Show a channel, its newest messages first of all."""
        self.state.current, self.state.reading_back = room.id, False
        self.changed()
        if not room.loaded:
            page = await self.rest.history(room.id, limit=PAGE)
            room.page(page.items, more=page.has_more)
        self.seen()

    async def older(self) -> None:
        """Read on backwards in the channel that is shown."""
        room = self.state.room
        if room is None or not room.older or not room.order:
            return
        room.older = False  # until it is known: not asked twice at once
        try:
            page = await self.rest.history(room.id, before=room.order[0], limit=PAGE)
        except ClientError:
            room.older = True
            raise
        room.page(page.items, more=page.has_more)

    def seen(self) -> None:
        """The channel that is shown was read to its end; told to the server in a while."""
        room = self.state.room
        if room is not None and room.seen() and room.id not in self._to_tell:
            self._to_tell[room.id] = room
            self._loop.call_later(READ_S, self.tell_read)

    def tell_read(self) -> None:
        """Tell how far one has read, where that was not told yet."""
        for room in self._to_tell.values():
            self._tell(partial(self.client.read, room.id, room.read_seq))
        self._to_tell.clear()

    def typing(self) -> None:
        """Somebody types here."""
        room, now = self.state.room, self._loop.time()
        if room is not None and now - self._typed_at > TYPING_S:
            self._typed_at = now
            self._tell(partial(self.client.typing, room.id))

    def _tell(self, what: Callable[[], None]) -> None:
        with contextlib.suppress(ClosedError):  # `run` has it too
            what()

    # --- writing

    def say(self, content: str) -> None:
        """Send a message to the channel that is shown; what becomes of it is shown there."""
        if (room := self.state.room) is None:
            raise WrongError("no channel is open: /join, /dm or /create one")
        self._typed_at, self.leaving = 0.0, False
        self._send(room, room.begin(secrets.token_urlsafe(12), content))

    def _send(self, room: Room, pending: Pending) -> None:
        task = self._group.create_task(self._sent(room, pending))
        self._sending[pending.nonce] = task
        task.add_done_callback(lambda _: self._sending.pop(pending.nonce))

    async def settled(self, room: Room) -> None:
        """Wait until nothing is on its way to a channel: what came last is known then."""
        if sending := [self._sending[n] for n in room.pending if n in self._sending]:
            await asyncio.wait(sending)

    async def _sent(self, room: Room, pending: Pending) -> None:
        try:
            ack = await self.client.send(room.id, pending.content, pending.nonce, timeout_s=SEND_S)
        except RefusedError as error:
            room.failed(pending, f"not sent: {error.message or error.code}")
        except OutcomeUnknownError:
            room.failed(pending, "no answer: it may be stored; to send it again is harmless")
        except ClosedError as error:
            room.failed(pending, f"not sent: {error}")
        else:
            room.acked(pending, ack.seq, ack.ts)
        self._draw()

    def failed(self) -> list[Pending]:
        """The messages here that are not on their way any more."""
        room = self.state.room
        return [p for p in room.pending.values() if p.failed] if room is not None else []

    def retry(self) -> None:
        """Send again what failed here, in order and under the same nonces."""
        for pending in self.failed():
            assert self.state.room is not None
            pending.failed = None
            self._send(self.state.room, pending)

    def discard(self) -> None:
        """Forget what failed here."""
        for pending in self.failed():
            assert self.state.room is not None
            del self.state.room.pending[pending.nonce]

    @property
    def now(self) -> float:
        """The loop's seconds, in which it is kept how long somebody types."""
        return self._loop.time()

    @property
    def unsent(self) -> int:
        """Messages without an ack, in all channels."""
        return sum(len(room.pending) for room in self.state.rooms.values())

    # --- finding

    async def join(self, text: str) -> None:
        """Show a channel; one becomes a member of a public one."""
        found = called((room.channel for room in self.state.rooms.values()), text)
        if found is not None:
            await self.open(self.state.rooms[found.id])
            return
        found = await find_channel(self.rest, text, "public")
        await self.follow(await self.rest.join(found.id))
        await self.open(self.state.rooms[found.id])

    async def person(self, text: str) -> int:
        """Somebody of this name or address."""
        user = await find_person(self.rest, text)
        self.state.names[user.id] = user.name
        return user.id


def _nothing() -> None:
    pass
