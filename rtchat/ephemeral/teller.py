"""The teller: takes `read` and `typing`, and has this pod's sockets and the other pods told.

Owns: the tick, so that a burst costs each socket one write; and the words and beats that go to the
other pods. A room is told by its live subscriptions (`outlet`); nobody is told of himself by it. Of
a user's marks all his other sockets hear, whatever they follow.

Under pressure: a room with many subscribers is told nothing; beyond so many writes a tick typing
and marks are dropped, and presence waits, of which the last state counts.

Must never: delay an entry, or tell anybody of a channel that his socket does not follow, but for
his own marks. Lost in a crash: all that it has; see `presence` and `marks`.
"""

import asyncio
import logging
import random
from collections.abc import Iterable

from rtchat import notice as notices, protocol
from rtchat.bus import Bus
from rtchat.bus.seldom import Seldom
from rtchat.config import Config
from rtchat.connection import Connection
from rtchat.connections import Connections
from rtchat.envelope import Control, ControlKind
from rtchat.ephemeral import word as words
from rtchat.ephemeral.crowd import Draft
from rtchat.ephemeral.marks import Mark, Marks
from rtchat.ephemeral.outlet import Outlet
from rtchat.ephemeral.presence import Presence
from rtchat.ephemeral.talk import Talk, Talking
from rtchat.ephemeral.word import PEOPLE_MAX, Word
from rtchat.errors import ChatError
from rtchat.hub import Hub
from rtchat.limits import Buckets, Rate
from rtchat.measures import Telling
from rtchat.notice import IDS_MAX, Beat, Ephemeral, HaveRead, Removed, Seek
from rtchat.room import Subscription
from rtchat.rooms import Rooms
from rtchat.rules import Act, missing_channel, require
from rtchat.store.channels import ChannelStore
from rtchat.tasks import Tasks

log = logging.getLogger(__name__)

WORDS_MAX = 500  # of presence, in a tick
REFRESH_BEATS = 30  # in so many each room's list is told whole
CHECKED_MAX = 50  # users whose membership of rooms that are not open here is read at a time
SEEKS_MAX = 20  # searches of other pods that are answered at a time


class Teller:
    """Tells of this pod's typing, marks and presence."""

    def __init__(
        self,
        config: Config,
        bus: Bus,
        rooms: Rooms,
        connections: Connections,
        channels: ChannelStore,
    ) -> None:
        """`introduce` comes next."""
        self._config = config
        self._bus = bus
        self._rooms = rooms
        self._connections = connections
        self._channels = channels
        self._pod = connections.pod
        self.measures = Telling()
        self.marks = Marks(config, channels, self._stored)
        self._typed = Buckets(config.cache_entries_max)
        every_s = config.typing_every_ms / 1000
        self._typing_rate = (Rate(1 / every_s if every_s else 0, 1),)
        self._talking = Talking(config, self.measures, rooms.get)
        self._presence = Presence(
            self._pod,
            room_max=config.presence_room_max,
            grace_s=config.presence_grace_s,
            beat_s=config.presence_beat_s,
        )
        self._outlet = Outlet(config, self._presence, self.measures, rooms.get)
        self._tasks = Tasks("teller")
        self._seldom = Seldom(log)
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._checked = 0  # the last user whose left rooms were looked at

    def __repr__(self) -> str:
        return f"<Teller {self._presence!r}, {len(self._outlet.fresh)} fresh>"

    def introduce(self, hub: Hub) -> None:
        """Be told of what happens to rooms, subscriptions and connections."""
        self._rooms.on_word = self.heard
        self._connections.on_ephemeral = self._noticed
        if self._config.presence:
            hub.tell_live(self._live)
            hub.on_ended = self._subscription_ended
            self._connections.on_first = self._presence.back
            self._connections.on_last = self._left
            self._connections.on_removed = self._removed
            self._rooms.on_shut = self._presence.closed
            self._rooms.on_restored = self._presence.ask_again
        self._rooms.on_control = self._control

    def start(self) -> None:
        """Begin to beat."""
        if self._config.presence:
            self._tasks.start(self._beat())

    async def close(self) -> None:
        """Say that this pod stops, and have the last marks stored."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        await self._tasks.close()
        if self._config.presence and not self._bus.alone:
            self._bus.publish_control(notices.encode(Beat(self._pod, parting=True)))
        await self.marks.close()

    # --- what clients say

    async def read(self, connection: Connection, channel_id: int, seq: int) -> None:
        """The user has read up to `seq`. Raises ChatError."""
        await self._require(connection, channel_id)
        self.marks.note(Mark(connection.user_id, channel_id, seq, connection.id))

    async def typing(self, connection: Connection, channel_id: int) -> None:
        """The user is typing. Raises ChatError; too often, or too soon again, is no error."""
        await self._require(connection, channel_id)
        user = connection.user_id
        if not self._typed.spend((channel_id, user), self._typing_rate, self._loop.time()):
            self._talking.note(channel_id, user)
            self._arm()

    def wrote(self, connection: Connection, channel_id: int) -> None:
        """The user has sent what he was typing."""
        self._talking.wrote(channel_id, connection.user_id)

    async def _require(self, connection: Connection, channel_id: int) -> None:
        if channel_id in connection.subs:
            return  # a membership that ends takes it away
        standings = await self._channels.standing(connection.user_id, [channel_id])
        standing = standings.of.get(channel_id)
        if standing is None:
            raise missing_channel()
        require(Act.TAKE_PART, standing.type, standing.role)

    def _stored(self, marks: list[Mark]) -> None:
        """These marks moved: tell the user's other sockets here, the other pods, and the rooms."""
        self._tell_own(marks)
        for mark in marks:
            self._talking.note(mark.channel, mark.user, mark.seq)
        self._arm()
        if not self._bus.alone:
            for at in range(0, len(marks), IDS_MAX):
                told = [mark[:3] for mark in marks[at : at + IDS_MAX]]
                self._bus.publish_control(notices.encode(HaveRead(self._pod, told)))

    def _tell_own(self, marks: Iterable[Mark]) -> None:
        frames: dict[Connection, list[bytes]] = {}
        for user, channel, seq, origin in marks:
            others = [c for c in self._connections.of(user) if c.id != origin]
            if others:
                frame = protocol.has_read(channel, user, seq)
                for connection in others:
                    frames.setdefault(connection, []).append(frame)
        for connection, parts in frames.items():
            self._outlet.write(connection, parts)

    # --- what happens here

    def _live(self, sub: Subscription) -> None:
        room = sub.room
        if room.subscribers <= self._config.presence_room_max and self._presence.came(
            room.channel_id, sub.receiver.user_id, room.subscribers
        ):
            self._outlet.refresh(sub)
            self._arm()

    def _subscription_ended(self, sub: Subscription) -> None:
        self._outlet.forget(sub)
        self._presence.unsubscribed(sub.room.channel_id, sub.receiver.user_id)

    def _left(self, user: int) -> None:
        self._presence.left(user, self._loop.time())
        self._arm()

    def _control(self, channel_id: int, control: Control) -> None:
        for part in (self._talking, self._presence):
            if control.kind is ControlKind.DELETED:
                part.dropped(channel_id)
            else:
                part.ended(channel_id, control.user_id)

    def _removed(self, notice: Removed) -> None:
        if self._rooms.get(notice.channel_id) is None:  # else its log tells, in order
            for user in notice.user_ids:
                self._presence.ended(notice.channel_id, user)

    # --- what other pods say

    def heard(self, data: bytes) -> None:
        """Take a word from a channel's topic."""
        try:
            channel_id, word = words.parse(data)
        except ValueError as error:
            self._seldom.warning("not a word", why=str(error)[:200])
            return
        if word.origin == self._pod:
            return
        self.measures.heard += 1
        for user in word.typing:
            self._talking.heard(channel_id, user)
        for user, seq in word.read:
            self._talking.heard(channel_id, user, seq)
        if self._config.presence:
            self._presence.heard(channel_id, word, self._loop.time())
        self._arm()

    def _noticed(self, notice: Ephemeral) -> None:
        match notice:
            case HaveRead():
                self._tell_own(Mark(*mark, None) for mark in notice.marks)
            case Beat() if self._config.presence:
                if notice.parting:
                    self._presence.parted(notice.origin, self._loop.time())
                else:
                    self._presence.beat(notice.origin, self._loop.time())
                self._arm()
            case Seek() if self._config.presence and len(self._tasks) < SEEKS_MAX:
                wanted = [(u, rooms) for u, rooms in notice.users if self._connections.of(u)]
                if wanted:
                    self._tasks.start(self._take_over(wanted))

    async def _take_over(self, wanted: list[tuple[int, list[int]]]) -> None:
        for user, channels in wanted:
            members = await self._memberships(user, channels)
            if members and self._connections.of(user):  # still: else nobody would say that he went
                self._presence.take_over(user, members)
        self._arm()

    async def _memberships(self, user: int, channels: list[int]) -> list[int] | None:
        """Of which of these channels the user is a member; None where that cannot be asked."""
        try:
            found = (await self._channels.standing(user, channels)).of
        except ChatError:
            return None
        return [channel for channel, standing in found.items() if standing.role is not None]

    # --- the clock

    def _arm(self) -> None:
        if self._timer is None and not self._closed:
            self._timer = self._loop.call_later(self._config.ephemeral_tick_ms / 1000, self._tick)

    def _tick(self) -> None:
        self._timer = None
        try:
            self._presence.tick(self._loop.time())
            self._say()
            self._outlet.tick()
            self._tell_talk()
            self._outlet.tell_presence()
        except Exception:  # or nothing ephemeral would ever be told again
            log.exception("telling failed")
        if self._talking or self._outlet.fresh or self._presence.waits:
            self._arm()

    async def _beat(self) -> None:
        beats = 0
        while True:
            try:
                if not self._bus.alone:
                    self._bus.publish_control(notices.encode(Beat(self._pod)))
                self._refresh(beats % REFRESH_BEATS)
                if beats % REFRESH_BEATS == 0:
                    await self._check_left_rooms()
            except Exception:  # the others would take this pod for dead
                log.exception("a beat failed")
            self._arm()  # pods may have fallen silent
            beats += 1
            await asyncio.sleep(self._config.presence_beat_s * random.uniform(0.9, 1.1))

    def _refresh(self, part: int) -> None:
        now = self._loop.time()
        for room in self._rooms:
            if room.channel_id % REFRESH_BEATS == part and room.is_open and room.live:
                size = room.subscribers
                if size <= self._config.presence_room_max:
                    users = {sub.receiver.user_id for sub in room.live}
                    self._presence.refresh(room.channel_id, users, size, now)

    async def _check_left_rooms(self) -> None:
        """Forget who is no member any more of a room that is not open here; some users in turn."""
        left = self._presence.left_rooms()
        users = sorted(left, key=lambda user: (user <= self._checked, user))
        for user in users[:CHECKED_MAX]:
            members = await self._memberships(user, left[user])
            if members is None:
                return
            self._checked = user
            for channel_id in set(left[user]).difference(members):
                if self._rooms.get(channel_id) is None:
                    self._presence.ended(channel_id, user)

    # --- telling

    def _say(self) -> None:
        """Tell the other pods."""
        drafts = self._presence.take_drafts(WORDS_MAX)
        talks = self._talking.take_others()
        seeking = self._presence.take_seeking()
        if self._bus.alone:
            return
        known = bool(self._presence.pods)
        for channel_id in drafts.keys() | talks.keys():
            draft, talk = drafts.get(channel_id, Draft()), talks.get(channel_id, Talk())
            if known or draft.asks or talk.typing or talk.read:
                room = self._rooms.get(channel_id)
                word = Word(
                    self._pod,
                    list(talk.typing),
                    list(talk.read.items()),
                    list(draft.online)[:PEOPLE_MAX],
                    list(draft.gone)[:PEOPLE_MAX],
                    draft.whole,
                    draft.asks,
                    0 if room is None else room.subscribers,
                )
                self._bus.publish(channel_id, words.encode(channel_id, word))
                self.measures.said += 1
        sought = [(user, sorted(rooms)[:IDS_MAX]) for user, rooms in seeking.items()]
        for at in range(0, len(sought) if known else 0, IDS_MAX):
            seek = Seek(self._pod, sought[at : at + IDS_MAX])
            self._bus.publish_control(notices.encode(seek))

    def _tell_talk(self) -> None:
        for channel_id, talk in self._talking.take_here().items():
            room = self._rooms.get(channel_id)
            if room is not None:
                parts = [(user, protocol.typing(channel_id, user)) for user in talk.typing]
                for user, seq in talk.read.items():
                    parts.append((user, protocol.has_read(channel_id, user, seq)))
                self._outlet.tell_room(room, parts)
