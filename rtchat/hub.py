"""The hub: who follows which channel on this pod, and in which state.

Owns: subscribing and unsubscribing, the end of a membership, and what a stuck socket means for its
subscriptions. Rooms deliver (`rooms`, `room`), catching up is a file of its own (`catchup`). Must
never: let anybody in who may not, or let one who was removed hear more. A crash loses nothing that
a client's cursor does not bring back.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping

from msgspec import UNSET

from rtchat import protocol
from rtchat.bus import Bus
from rtchat.catchup import CatchUp
from rtchat.config import Config
from rtchat.connection import Connection
from rtchat.envelope import ControlKind
from rtchat.errors import ChatError, Code
from rtchat.events import Head, Reason
from rtchat.room import Room, State, Subscription, nobody
from rtchat.rooms import LOOK_MS, Rooms
from rtchat.rules import Act, missing_channel, problem
from rtchat.store.channels import ChannelStore, Standing
from rtchat.store.database import AnyConnection
from rtchat.store.epoch import current
from rtchat.store.messages import MessageStore

REASONS: dict[ControlKind, Reason] = {
    ControlKind.LEFT: "left",
    ControlKind.REMOVED: "removed",
    ControlKind.DELETED: "deleted",
}
ENDED_MAX = 1000  # ends of subscriptions that a connection remembers until the notice of them comes
Wanted = Mapping[int, int | None]  # channel to cursor; None: from the head on
Answer = Callable[[dict[str, Head]], None]


class Hub:
    """The subscriptions of one pod."""

    def __init__(
        self, config: Config, bus: Bus, channels: ChannelStore, messages: MessageStore
    ) -> None:
        self._config = config
        self._channels = channels
        self.rooms = Rooms(config, bus, messages, self._end, self._moved, self._reset)
        self.on_ended: Callable[[Subscription], None] = nobody  # told of each that has ended
        self._catch_up = CatchUp(
            config, messages, self._end, self.rooms.look_soon, self.rooms.measures
        )

    def tell_live(self, on_live: Callable[[Subscription], None]) -> None:
        """Let this be told of each subscription that goes live, at first or again."""
        self._catch_up.on_live = on_live

    @property
    def epoch(self) -> str:
        """The log's epoch, as far as is known here."""
        return self.rooms.epoch

    async def begin(self, connection: AnyConnection) -> None:
        """Learn the epoch, on the first connection to the database. Raises StartError."""
        self.rooms.epoch = await current(connection)

    def start(self) -> None:
        """Begin to look after the rooms."""
        self.rooms.start()

    async def close(self) -> None:
        """Stop."""
        await self._catch_up.close()
        await self.rooms.close()

    def _moved(self, room: Room) -> None:
        for sub in list(room.others):  # whoever waits for the room to come to its cursor
            waits = sub.state is State.CATCHING_UP and sub.cursor <= room.cursor
            if waits and not _connection(sub).paused:  # one that is paused goes on when it resumes
                self._catch_up.go_on(_connection(sub))

    # --- subscriptions

    async def subscribe(
        self, connection: Connection, wanted: Wanted, epoch: str | None, answer: Answer
    ) -> None:
        """Subscribe a connection; `answer` gets each channel's head or error before any entry.

        Raises ChatError, and then nothing has changed.
        """
        if self._config.subs_max and len(connection.subs.keys() | wanted) > self._config.subs_max:
            text = f"At most {self._config.subs_max} subscriptions."
            raise ChatError(Code.TOO_LONG, text, field="ch", limit="subs_max")
        joining = await self._join(connection, wanted)
        try:
            found = await self._channels.standing(connection.user_id, list(wanted))
            if connection.closed:
                _withdraw(joining)
                return
            self._require_epoch(found.epoch)
            standings = found.of
            heads = {c: self._decide(joining.get(c), standings.get(c)) for c in wanted}
            if found.read_only:
                self._require_cursors(wanted, heads)
        except BaseException:
            _withdraw(joining)
            raise
        answer({str(channel_id): head for channel_id, head in heads.items()})
        for channel_id, sub in joining.items():
            standing = standings.get(channel_id)
            if heads[channel_id].head is not UNSET and standing is not None:
                self._begin(connection, sub, wanted[channel_id], standing.head, epoch)
            else:
                sub.room.remove(sub)
        self._catch_up.go_on(connection)

    async def _join(self, connection: Connection, wanted: Wanted) -> dict[int, Subscription]:
        """Register a joining subscription in each room, opening rooms for those who may enter."""
        joining: dict[int, Subscription] = {}
        self._register(connection, wanted, joining)  # now: an open room might be closed meanwhile
        cold = [c for c in wanted if c not in joining]
        if not cold:
            return joining
        try:
            standings = (await self._channels.standing(connection.user_id, cold)).of
            await self.rooms.open([c for c in cold if _refusal(standings.get(c)) is None])
        except BaseException:
            _withdraw(joining)
            raise
        self._register(connection, cold, joining)
        return joining

    def _require_epoch(self, found: str | None) -> None:
        """Refuse what was read in another history than the one that is known here."""
        if found != self.epoch:
            self.rooms.look_soon()
            raise ChatError(Code.UNAVAILABLE, after_ms=LOOK_MS)

    def _require_cursors(self, wanted: Wanted, heads: Mapping[int, Head]) -> None:
        """Refuse heads below the cursors of clients, from a session that cannot write: it may lead
        to a primary of yesterday, which lacks what was delivered. Else they are believed."""
        for channel_id, cursor in wanted.items():
            head = heads[channel_id].head
            if cursor is not None and head is not UNSET and cursor > head:
                self.rooms.look_soon()  # new connections find the way to the present one
                raise ChatError(Code.UNAVAILABLE, after_ms=LOOK_MS)

    def _register(
        self, connection: Connection, channels: Iterable[int], joining: dict[int, Subscription]
    ) -> None:
        for channel_id in channels:
            room = self.rooms.get(channel_id)
            if room is not None:
                joining[channel_id] = room.register(connection)

    def _decide(self, sub: Subscription | None, standing: Standing | None) -> Head:
        """What the `ok` says of one channel: its head, or why not. Raises where it cannot be said:
        the user became a member, or the room was shut, since it was looked for."""
        error = _refusal(standing)
        if error is None and sub is None:
            raise ChatError(Code.UNAVAILABLE, after_ms=LOOK_MS)
        if standing is not None and sub is not None and sub.ended_at > standing.head:
            error = missing_channel()  # ceased to be one
        if error is not None or standing is None:
            return Head(error=(error or missing_channel()).code)
        return Head(head=standing.head)

    def _begin(
        self,
        connection: Connection,
        sub: Subscription,
        cursor: int | None,
        head: int,
        epoch: str | None,
    ) -> None:
        room = sub.room
        if sub.state is State.ENDED:  # its room was reset meanwhile, and so was `old`
            connection.write(protocol.reset(room.channel_id, head, self.epoch))
            return
        old = connection.subs.get(room.channel_id)
        if old is not None and cursor is None:
            room.remove(sub)  # subscribed already, and the cursor stays
            return
        if old is not None:
            self._remove(connection, old)
        self.rooms.note_head(room.channel_id, head)
        other_history = epoch is not None and epoch != self.epoch and cursor is not None
        if other_history or (cursor is not None and cursor > head):
            room.remove(sub)
            connection.write(protocol.reset(room.channel_id, head, self.epoch))
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
        self.on_ended(sub)

    def _end(self, sub: Subscription, kind: ControlKind, seq: int) -> None:
        """The user's membership has ended, by the entry `seq`."""
        connection = _connection(sub)
        self._remove(connection, sub)
        if len(connection.ended) >= ENDED_MAX:
            connection.ended.clear()
        connection.ended[sub.room.channel_id] = seq
        connection.write(protocol.removed(sub.room.channel_id, REASONS[kind]))

    def _reset(self, room: Room, head: int) -> None:
        """The cursors of a room are void: end all that is in it."""
        frame = protocol.reset(room.channel_id, head, self.epoch)
        for sub in [*room.live, *room.others]:
            if sub.state is State.JOINING:
                room.remove(sub)  # `subscribe` tells, behind its answer
            else:
                connection = _connection(sub)
                self._remove(connection, sub)
                connection.write(frame)

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


def _withdraw(joining: dict[int, Subscription]) -> None:
    for sub in joining.values():
        sub.room.remove(sub)


def _refusal(standing: Standing | None) -> ChatError | None:
    if standing is None:
        return missing_channel()
    return problem(Act.TAKE_PART, standing.type, standing.role)


def _connection(sub: Subscription) -> Connection:
    assert isinstance(sub.receiver, Connection)
    return sub.receiver
