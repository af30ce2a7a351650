"""The hub: this pod's rooms, and their way to the log and to the other pods.

Owns: which rooms are open, and the tasks that open them, fill their holes and check their heads.
The order of entries is the room's business (`room`), plain code; all waiting happens here.

The bus is a hint, the log the truth: an envelope that does not continue a room waits `reorder_ms`
for the missing one, then the hole is read from the log; the head check finds a lost last message,
which no hole reveals. Must never: deliver what is not committed, go past a hole, or let a
connection's own message reach it before its ack. A crash loses nothing: clients resume on any pod.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from rtchat import protocol
from rtchat.bus import Bus
from rtchat.catchup import CatchUp
from rtchat.config import Config
from rtchat.connection import Connection
from rtchat.envelope import BadEnvelopeError, ControlKind, Envelope
from rtchat.errors import ChatError, Code
from rtchat.room import Room, State, Subscription, Tails
from rtchat.rules import Act, missing_channel, problem
from rtchat.store.channels import ChannelStore, Standing
from rtchat.store.messages import MessageStore
from rtchat.tasks import Tasks

log = logging.getLogger(__name__)

REASONS = {
    ControlKind.LEFT: "left",
    ControlKind.REMOVED: "removed",
    ControlKind.DELETED: "deleted",
}
Wanted = Mapping[int, int | None]  # channel to cursor; None: from the head on
Answer = Callable[[dict[str, dict[str, Any]]], None]


class Hub:
    """The rooms of one pod. `settled` is the writer's, set by whoever builds both."""

    settled: Callable[[int, float], Awaitable[None]]

    def __init__(
        self, config: Config, bus: Bus, channels: ChannelStore, messages: MessageStore
    ) -> None:
        self._config = config
        self._bus = bus
        self._channels = channels
        self._messages = messages
        self._rooms: dict[int, Room] = {}
        self._opening: dict[int, asyncio.Task[None]] = {}
        self._filling: set[int] = set()
        self._empty_since: dict[int, float] = {}
        self._tails = Tails(config.tail_max_bytes)
        self._tasks = Tasks("hub")
        self._check_now = asyncio.Event()
        self._catch_up = CatchUp(config, messages, self._end)
        self.epoch = ""
        bus.on_envelope = self.receive
        bus.on_restored = self._check_now.set

    def __repr__(self) -> str:
        return f"<Hub {len(self._rooms)} rooms, {len(self._filling)} filling>"

    async def start(self) -> None:
        """Read the epoch and begin to check heads."""
        self.epoch = await self._messages.epoch()
        self._tasks.start(self._watch())

    async def close(self) -> None:
        """Stop; the rooms are gone with it."""
        await self._catch_up.close()
        await self._tasks.close()

    # --- entries come in

    def deliver(self, envelope: Envelope) -> None:
        """Take what this pod has committed, or what the bus brought."""
        room = self._rooms.get(envelope.channel_id)
        if room is None:
            return
        if room.offer(envelope):
            self._moved(room)
        if room.behind and room.cursor >= 0:
            self._fill_soon(room)

    def receive(self, data: bytes) -> None:
        """Take an envelope from the bus."""
        try:
            envelope = Envelope.parse(data)
        except BadEnvelopeError as error:
            log.warning("not an envelope", extra={"error": str(error)})
            return
        self.deliver(envelope)

    def note_head(self, channel_id: int, head: int) -> None:
        """Learn that a channel's log goes up to `head`, its entries perhaps having been lost."""
        room = self._rooms.get(channel_id)
        if room is not None and room.cursor >= 0:
            room.note_head(head)
            if room.behind:
                self._fill_soon(room)

    def _moved(self, room: Room) -> None:
        for sub in list(room.others):  # whoever waits for the room to come to its cursor
            if sub.state is State.CATCHING_UP and sub.cursor <= room.cursor:
                self._catch_up.go_on(_connection(sub))

    def _fill_soon(self, room: Room) -> None:
        if room.channel_id not in self._filling:
            self._filling.add(room.channel_id)
            self._tasks.start(self._fill(room))

    async def _fill(self, room: Room) -> None:
        """Wait a little for what may be on its way, then read the hole from the log."""
        try:
            await asyncio.sleep(self._config.reorder_ms / 1000)
            while room.behind and self._rooms.get(room.channel_id) is room:
                if not await self._fill_page(room):
                    return
        except ChatError:
            pass  # the database is away; the next head check comes back to it
        finally:
            self._filling.discard(room.channel_id)

    async def _fill_page(self, room: Room) -> bool:
        cursor, head = room.cursor, room.head
        rows = self._config.catch_up_rows
        entries = await self._messages.entries(room.channel_id, cursor, None, rows)
        # Of these, what this pod wrote must be answered first: an ack comes before its `msg`.
        await self.settled(room.channel_id, self._config.write_timeout_ms / 1000)
        if not entries:
            if room.cursor == cursor and room.head == head:
                log.warning("the log ends before what was announced", extra={"room": repr(room)})
                room.forget_beyond(cursor)
            return True
        if entries[-1].seq - cursor != len(entries):
            self._drop(room)  # the channel was deleted and its log purged
            return False
        moved = False
        for envelope in protocol.pack(entries, self._config.write_low_bytes):
            moved |= room.offer(envelope)
        if moved:
            self._moved(room)
        return True

    async def _watch(self) -> None:
        """Check heads again and again, and at once when the bus may have lost something."""
        while True:
            try:
                async with asyncio.timeout(self._config.head_check_ms / 1000):
                    await self._check_now.wait()
            except TimeoutError:
                pass
            self._check_now.clear()
            self._close_empty_rooms()
            try:
                await self._check_heads()
            except ChatError:
                continue  # said by the database already; the rooms wait

    async def _check_heads(self) -> None:
        rooms = {c: r for c, r in self._rooms.items() if r.cursor >= 0}
        if not rooms:
            return
        heads = await self._messages.heads(list(rooms))
        for channel_id, room in rooms.items():
            if self._rooms.get(channel_id) is not room:
                continue
            if channel_id not in heads:
                self._drop(room)
            else:
                self.note_head(channel_id, heads[channel_id])

    # --- subscriptions

    async def subscribe(
        self, connection: Connection, wanted: Wanted, epoch: str | None, answer: Answer
    ) -> None:
        """Subscribe a connection; `answer` gets each channel's head or error before any entry.

        Raises ChatError, and then nothing has changed.
        """
        if self._config.subs_max and len(connection.subs.keys() | wanted) > self._config.subs_max:
            raise ChatError(
                Code.TOO_LONG, f"At most {self._config.subs_max} subscriptions.", field="ch"
            )
        joining = await self._join(connection, wanted)
        try:
            standings = await self._channels.standing(connection.user_id, list(wanted))
        except BaseException:
            for sub in joining.values():
                sub.room.remove(sub)
            raise
        if connection.closed:
            for sub in joining.values():
                sub.room.remove(sub)
            return
        heads = {
            channel_id: self._decide(joining.get(channel_id), standings.get(channel_id))
            for channel_id in wanted
        }
        answer({str(channel_id): head for channel_id, head in heads.items()})
        for channel_id, sub in joining.items():
            standing = standings.get(channel_id)
            if "head" in heads[channel_id] and standing is not None:
                self._begin(connection, sub, wanted[channel_id], standing.head, epoch)
            else:
                sub.room.remove(sub)
        self._catch_up.go_on(connection)

    async def _join(self, connection: Connection, wanted: Wanted) -> dict[int, Subscription]:
        """Register a joining subscription in each room, opening rooms for those who may enter."""
        cold = [c for c in wanted if c not in self._rooms or c in self._opening]
        if cold:
            standings = await self._channels.standing(connection.user_id, cold)
            await self._open([c for c in cold if _refusal(standings.get(c)) is None])
        joining = {}
        for channel_id in wanted:
            room = self._rooms.get(channel_id)
            if room is not None and room.cursor >= 0:
                joining[channel_id] = room.register(connection)
                self._empty_since.pop(channel_id, None)
        return joining

    def _decide(self, sub: Subscription | None, standing: Standing | None) -> dict[str, Any]:
        """What the `ok` says of one channel: its head, or why not."""
        error = _refusal(standing)
        if error is None and (sub is None or standing is None or sub.ended_at > standing.head):
            error = missing_channel()  # became a member, or ceased to be one, in these milliseconds
        if error is not None or standing is None:
            return {"error": (error or missing_channel()).code.value}
        return {"head": standing.head}

    def _begin(
        self,
        connection: Connection,
        sub: Subscription,
        cursor: int | None,
        head: int,
        epoch: str | None,
    ) -> None:
        room = sub.room
        old = connection.subs.get(room.channel_id)
        if old is not None and cursor is None:
            room.remove(sub)  # subscribed already, and the cursor stays
            return
        if old is not None:
            self._remove(connection, old)
        room.note_head(head)
        if room.behind:
            self._fill_soon(room)
        other_history = epoch is not None and epoch != self.epoch and cursor is not None
        if other_history or (cursor is not None and cursor > head):
            room.remove(sub)
            connection.write(protocol.reset(room.channel_id, head))
            return
        sub.since = head
        connection.subs[room.channel_id] = sub
        connection.catching_up.add(sub)
        room.catch_up(sub, head if cursor is None else cursor)

    def unsubscribe(self, connection: Connection, channels: Iterable[int]) -> None:
        """End these subscriptions; those that are none are passed over."""
        for channel_id in channels:
            sub = connection.subs.get(channel_id)
            if sub is not None:
                self._remove(connection, sub)

    def leave(self, connection: Connection) -> None:
        """A connection has ended: take it out of every room."""
        self.unsubscribe(connection, list(connection.subs))
        if connection.moved is not None:
            connection.moved()

    def _remove(self, connection: Connection, sub: Subscription) -> None:
        sub.room.remove(sub)
        connection.catching_up.discard(sub)
        if connection.subs.get(sub.room.channel_id) is sub:
            del connection.subs[sub.room.channel_id]

    def _end(self, sub: Subscription, kind: ControlKind, seq: int) -> None:
        """The user's membership has ended, by the entry `seq`."""
        connection = _connection(sub)
        self._remove(connection, sub)
        if len(connection.ended) >= 1000:
            connection.ended.clear()
        connection.ended[sub.room.channel_id] = seq
        connection.write(protocol.removed(sub.room.channel_id, REASONS[kind]))

    # --- flow

    def paused(self, connection: Connection) -> None:
        """The socket takes nothing any more: out of the fan-out with it, when this turn is over."""
        loop = asyncio.get_running_loop()
        connection.paused_at = loop.time()
        loop.call_soon(self._leave_live, connection)  # not now: a room may be looping over it

    def resumed(self, connection: Connection) -> None:
        """The socket has drained: catch up."""
        connection.paused_at = None
        self._catch_up.go_on(connection)

    def _leave_live(self, connection: Connection) -> None:
        for sub in connection.subs.values():
            if sub.state is State.LIVE:
                sub.room.fall_behind(sub)
                connection.catching_up.add(sub)
        if connection.paused_at is None:  # drained in the meantime
            self._catch_up.go_on(connection)

    # --- rooms

    async def _open(self, channels: Iterable[int]) -> None:
        """Open these rooms, or wait until whoever opens them now has done so."""
        fresh = [c for c in channels if c not in self._rooms]
        if fresh:
            # A task of the hub's: it must not end with the connection that happened to come first.
            task = self._tasks.start(self._open_fresh(fresh))
            for channel_id in fresh:
                self._rooms[channel_id] = Room(
                    channel_id, self._end, self._tails, self._config.reorder_max_bytes
                )
                self._opening[channel_id] = task
        for task in {self._opening[c] for c in channels if c in self._opening}:
            await asyncio.shield(task)

    async def _open_fresh(self, channels: list[int]) -> None:
        """In this order: hear the bus, then read the head, then open. Nothing falls in between."""
        heads: dict[int, int] = {}
        try:
            await self._bus.subscribe(channels)
            heads = await self._messages.heads(channels)
        except ChatError:
            pass  # the rooms are given up below; whoever asked gets the same error by itself
        finally:
            for channel_id in channels:
                del self._opening[channel_id]
                if channel_id in heads:
                    self._rooms[channel_id].open(heads[channel_id])
                    self._empty_since[channel_id] = asyncio.get_running_loop().time()
                else:
                    del self._rooms[channel_id]
            self._bus.unsubscribe([c for c in channels if c not in heads])

    def _drop(self, room: Room) -> None:
        """The channel is gone."""
        for sub in [*room.live, *room.others]:
            if sub.state is State.JOINING:
                sub.ended_at = room.cursor + 1
            else:
                self._end(sub, ControlKind.DELETED, room.cursor + 1)

    def _close_empty_rooms(self) -> None:
        now = asyncio.get_running_loop().time()
        closing = []
        for channel_id, room in self._rooms.items():
            if room.cursor < 0 or not room.empty:
                self._empty_since.pop(channel_id, None)
            elif now - self._empty_since.setdefault(channel_id, now) >= (
                self._config.room_linger_ms / 1000
            ):
                closing.append(channel_id)
        for channel_id in closing:
            self._rooms.pop(channel_id).close()
            del self._empty_since[channel_id]
        if closing:
            self._bus.unsubscribe(closing)


def _refusal(standing: Standing | None) -> ChatError | None:
    if standing is None:
        return missing_channel()
    return problem(Act.TAKE_PART, standing.type, standing.role)


def _connection(sub: Subscription) -> Connection:
    assert isinstance(sub.receiver, Connection)
    return sub.receiver
