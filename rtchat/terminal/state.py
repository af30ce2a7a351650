"""What one person's terminal knows: channels, what was said in them, and who is there. Pure.

Owns: the fold of log entries into messages, the writes that are on their way, unread counts. Must
never: show an entry twice (what is said again has its seq), hide a write whose outcome is open, or
grow without end: `ITEMS_MAX` messages a channel, the older ones come from the server again. Nothing
here outlives the process.
"""

import bisect
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from rtchat.client import (
    Chan,
    Channel,
    Del,
    Edit,
    Entry,
    Join,
    Leave,
    Message as Stored,
    Msg,
    Presence,
    React,
    Read,
    Typing,
    User,
)

ITEMS_MAX = 2000  # of one channel
ITEMS_KEPT = 1000  # when that is reached
TYPING_S = 6.0  # after the last word of somebody's typing; clients tell it every 3 s or so
MARKS = {"public": "#", "private": "&", "dm": "@"}


@dataclass(slots=True)
class Said:
    """A message as it is now. `reactions`: who set which emoji, and how many more are not named."""

    seq: int
    user: int
    content: str
    ts: int
    edited: bool = False
    deleted: bool = False
    reactions: dict[str, set[int]] = field(default_factory=dict)
    unnamed: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Event:
    """Something that happened in a channel and is no message: `{0}` and `{1}` are people."""

    seq: int
    ts: int
    words: str
    people: tuple[int, ...]


@dataclass(slots=True)
class Pending:
    """A message on its way. `failed` says why it is not any more; `seq`: it was seen in the log."""

    nonce: str
    content: str
    failed: str | None = None
    seq: int | None = None


class Room:
    """One channel."""

    def __init__(self, channel: Channel, me: int) -> None:
        self.id = channel.id
        self.me = me
        self.channel = channel
        self.others: list[int] = []  # of a dm
        self.last_seq = channel.last_seq
        self.read_seq = channel.read_seq or 0
        self.unread = channel.unread or 0
        self.items: dict[int, Said | Event] = {}
        self.order: list[int] = []  # the seqs of `items`
        self.spoken: set[int] = set()  # who is in them
        self.loaded = False  # the newest page was read
        self.older = True  # there is more before what is here
        self.pending: dict[str, Pending] = {}
        self.typing: dict[int, float] = {}  # user to when that is over

    # --- what the server tells

    def page(self, messages: Iterable[Stored], *, more: bool) -> None:
        """Take a page of history that ends where what is here begins, or the newest one."""
        for message in messages:
            self._put(_said(message))
        self.loaded, self.older = True, more

    def forget(self) -> None:
        """The log has another history: what was read of it is void."""
        self.items.clear()
        self.order.clear()
        self.loaded, self.older = False, True

    def on(self, entry: Entry) -> None:
        """Fold the next entry in; one that came before changes nothing."""
        self.last_seq = max(self.last_seq, entry.seq)
        if isinstance(entry, Msg):
            self._on_message(entry)
        elif isinstance(entry, Edit | Del | React):
            said = self.items.get(entry.of)
            if isinstance(said, Said) and not said.deleted:
                _change(said, entry)
        elif (event := _event(entry)) is not None:
            self._put(event)
        if isinstance(entry, Chan):
            self.channel.name = entry.name

    def _on_message(self, msg: Msg) -> None:
        if msg.seq not in self.items:
            self._put(Said(msg.seq, msg.user, msg.content, msg.ts, deleted=msg.deleted))
            if msg.user == self.me:
                self._recognize(msg)
            elif msg.seq > self.read_seq:
                self.unread += 1
        self.typing.pop(msg.user, None)

    def _put(self, item: Said | Event) -> None:
        if item.seq not in self.items:
            bisect.insort(self.order, item.seq)
            self.spoken.update((item.user,) if isinstance(item, Said) else item.people)
        self.items[item.seq] = item
        self.last_seq = max(self.last_seq, item.seq)

    def shorten(self) -> None:
        """Drop the oldest where there are too many; not while somebody reads there."""
        if len(self.order) > ITEMS_MAX:
            gone, self.order = self.order[:-ITEMS_KEPT], self.order[-ITEMS_KEPT:]
            self.older = True
            for seq in gone:
                del self.items[seq]

    # --- one's own

    def begin(self, nonce: str, content: str) -> Pending:
        """A message sets out."""
        self.pending[nonce] = pending = Pending(nonce, content)
        return pending

    def acked(self, pending: Pending, seq: int, ts: int) -> None:
        """It is stored: shown where it is in the log, from now on."""
        self.pending.pop(pending.nonce, None)
        if seq not in self.items:
            self._put(Said(seq, self.me, pending.content, ts))

    def failed(self, pending: Pending, why: str) -> None:
        """It is not on its way any more."""
        pending.failed, pending.seq = why, None

    def _recognize(self, msg: Msg) -> None:
        """After a lost ack an entry comes before the next one: it must not be there twice."""
        for pending in self.pending.values():
            if pending.seq is None and pending.failed is None and pending.content == msg.content:
                pending.seq = msg.seq
                return

    def shown_pending(self) -> list[Pending]:
        """Those that are not in the log yet, in the order of sending."""
        return [pending for pending in self.pending.values() if pending.seq is None]

    def seen(self) -> bool:
        """All of it was read. Tells whether that is news to the server."""
        news = self.last_seq > self.read_seq
        self.read_seq, self.unread = max(self.read_seq, self.last_seq), 0
        return news

    def read_elsewhere(self, seq: int) -> None:
        """Read up to there on another device. Where not all since then is here, the count stays."""
        if seq <= self.read_seq:
            return
        self.read_seq = seq
        if seq >= self.last_seq:
            self.unread = 0
        elif self.order and self.order[0] <= seq + 1:
            later = (self.items[s] for s in self.order[bisect.bisect_right(self.order, seq) :])
            self.unread = sum(isinstance(i, Said) and i.user != self.me for i in later)

    def last(self, *, mine: bool) -> Said | None:
        """The newest message that stands, or one's own newest."""
        for seq in reversed(self.order):
            item = self.items[seq]
            if isinstance(item, Said) and not item.deleted and (not mine or item.user == self.me):
                return item
        return None


class State:
    """All that is known."""

    def __init__(self, me: User) -> None:
        self.me = me
        self.rooms: dict[int, Room] = {}
        self.current: int | None = None
        self.names: dict[int, str] = {me.id: me.name}
        self.presence: dict[int, str] = {}
        self.panel: list[str] = []  # what a command answered
        self.numbers = False  # whether seqs are shown in the place of times
        self.reading_back = False  # what is shown is not the newest

    @property
    def room(self) -> Room | None:
        """The channel that is shown."""
        return self.rooms.get(self.current) if self.current is not None else None

    def listed(self) -> list[Room]:
        """The channels as they are listed: by name, people after places."""
        return sorted(
            self.rooms.values(), key=lambda r: (r.channel.type == "dm", self.label(r).lower())
        )

    def name(self, user: int) -> str:
        """Of somebody, as far as it is known."""
        return self.names.get(user) or f"user {user}"

    def label(self, room: Room) -> str:
        """What a channel is called."""
        mark = MARKS.get(room.channel.type, "#")
        if room.channel.type != "dm":
            return f"{mark}{room.channel.name or room.id}"
        return mark + (", ".join(map(self.name, room.others)) or "yourself")

    def unknown(self) -> set[int]:
        """People who are spoken of and whose names are not known."""
        people = {user for room in self.rooms.values() for user in room.others}
        if self.room is not None:
            people |= self.room.spoken
        return people - self.names.keys()

    def on_ephemeral(self, event: Typing | Read | Presence, now: float) -> None:
        """Take what is told besides the log; `now` in the seconds that `typists` is asked with."""
        if isinstance(event, Presence):
            self.presence[event.user] = event.status
        elif (room := self.rooms.get(event.ch)) is None:
            return
        elif isinstance(event, Typing):
            if event.user != self.me.id:
                room.typing[event.user] = now + TYPING_S
        elif event.user == self.me.id:
            room.read_elsewhere(event.seq)

    def typists(self, now: float) -> list[str]:
        """Who is writing in the channel that is shown."""
        if self.room is None:
            return []
        typing = self.room.typing
        for user in [user for user, until in typing.items() if until < now]:
            del typing[user]
        return [self.name(user) for user in typing]

    def is_online(self, user: int) -> bool:
        """Whether somebody was last told to be there."""
        return self.presence.get(user, "offline") != "offline"


def _said(message: Stored) -> Said:
    said = Said(
        message.seq, message.user_id, message.content, millis(message.timestamp),
        edited=message.edited_at is not None, deleted=message.deleted_at is not None,
    )  # fmt: skip
    for reaction in message.reactions:
        said.reactions[reaction.emoji] = set(reaction.users)
        said.unnamed[reaction.emoji] = max(0, reaction.count - len(reaction.users))
    return said


def _change(said: Said, entry: Edit | Del | React) -> None:
    if isinstance(entry, Edit):
        said.content, said.edited = entry.content, True
    elif isinstance(entry, Del):
        said.content, said.deleted = "", True
        said.reactions.clear()
    elif entry.on:
        said.reactions.setdefault(entry.emoji, set()).add(entry.user)
    else:
        users = said.reactions.get(entry.emoji, set())
        users.discard(entry.user)
        if not users and not said.unnamed.get(entry.emoji):
            said.reactions.pop(entry.emoji, None)


def _event(entry: Entry) -> Event | None:
    if isinstance(entry, Join | Leave):
        joined = isinstance(entry, Join)
        if entry.user == entry.by:
            words = "{0} joined" if joined else "{0} left"
            return Event(entry.seq, entry.ts, words, (entry.user,))
        words = "{1} added {0}" if joined else "{1} removed {0}"
        return Event(entry.seq, entry.ts, words, (entry.user, entry.by))
    if isinstance(entry, Chan):
        name = entry.name.replace("{", "{{").replace("}", "}}")
        return Event(entry.seq, entry.ts, f"{{0}} named it {name}", (entry.user,))
    return None


def millis(timestamp: str) -> int:
    """RFC 3339 as milliseconds since 1970."""
    return round(datetime.fromisoformat(timestamp).timestamp() * 1000)
