"""What is told of rooms besides who is online: who is typing, and how far who has read. Pure.

Owns: what waits for the next tick, for the sockets of this pod and for the other pods, and its
bounds: a room with many subscribers is told nothing, of a room as many people as may follow it are
told at a time, and what else does not fit is dropped. Must never: keep anything of who is a member
no more, or that somebody is typing what he has sent.
"""

from collections.abc import Callable

from rtchat.config import Config
from rtchat.measures import Telling
from rtchat.room import Room


class Talk:
    """What is to be told of a room."""

    __slots__ = ("read", "typing")

    def __init__(self) -> None:
        self.typing: dict[int, None] = {}
        self.read: dict[int, int] = {}


Talks = dict[int, Talk]  # by channel


class Talking:
    """Notes what is to be told, until it is taken."""

    def __init__(
        self, config: Config, measures: Telling, room_of: Callable[[int], Room | None]
    ) -> None:
        self._config = config
        self._measures = measures
        self._room_of = room_of
        self._here: Talks = {}  # for this pod's sockets
        self._others: Talks = {}  # for the other pods

    def __bool__(self) -> bool:
        return bool(self._here or self._others)

    def note(self, channel_id: int, user: int, seq: int | None = None) -> None:
        """A user of this pod is typing there, or has read up to `seq`."""
        self.heard(channel_id, user, seq)
        room = self._room_of(channel_id)
        if room is None or self._takes_part(room):
            self._note(self._others, channel_id, user, seq)

    def heard(self, channel_id: int, user: int, seq: int | None = None) -> None:
        """The same, of a user of another pod."""
        room = self._room_of(channel_id)
        if room is not None and self._takes_part(room):
            self._note(self._here, channel_id, user, seq)

    def _takes_part(self, room: Room) -> bool:
        return room.subscribers <= self._config.typing_room_max

    def _note(self, where: Talks, channel_id: int, user: int, seq: int | None) -> None:
        talk = where.get(channel_id)
        if talk is None:
            if len(where) >= self._config.ephemeral_writes_max:
                self._measures.dropped += 1
                return
            talk = where[channel_id] = Talk()
        told = talk.typing if seq is None else talk.read
        if user not in told and len(told) >= self._config.typing_room_max:
            self._measures.dropped += 1  # of many pods' people together, perhaps
        elif seq is None:
            talk.typing[user] = None
        else:
            talk.read[user] = max(seq, talk.read.get(user, 0))

    def wrote(self, channel_id: int, user: int) -> None:
        """He has sent what he was typing: that he is must not be told behind it."""
        for where in (self._here, self._others):
            if (talk := where.get(channel_id)) is not None:
                talk.typing.pop(user, None)

    def ended(self, channel_id: int, user: int) -> None:
        """He is a member no more."""
        self.wrote(channel_id, user)
        for where in (self._here, self._others):
            if (talk := where.get(channel_id)) is not None:
                talk.read.pop(user, None)

    def dropped(self, channel_id: int) -> None:
        """The channel is deleted."""
        self._here.pop(channel_id, None)
        self._others.pop(channel_id, None)

    def take_here(self) -> Talks:
        """What this pod's sockets are to be told."""
        talks, self._here = self._here, {}
        return talks

    def take_others(self) -> Talks:
        """What the other pods are to be told."""
        talks, self._others = self._others, {}
        return talks
