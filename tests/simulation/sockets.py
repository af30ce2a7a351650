"""A client's socket on a model pod, which holds everything that it is sent against the log."""

import asyncio
import itertools
from dataclasses import dataclass

import orjson
from msgspec import UNSET

from rtchat import protocol
from rtchat.connection import Connection, Listener
from rtchat.errors import ChatError
from rtchat.events import Head
from rtchat.model import Kind
from rtchat.room import Receiver, Room, State, Subscription
from tests.simulation.channels import EPOCH, ChannelLog
from tests.simulation.pods import CONFIG, Pod
from tests.simulation.turns import PromiseError


class Numbered(Subscription):
    """A subscription with a hash of its own: sets of them have the same order in each run."""

    __slots__ = ("_number",)
    numbers = itertools.count()

    def __init__(self, room: Room, receiver: Receiver) -> None:
        super().__init__(room, receiver)
        self._number = next(self.numbers)

    def __hash__(self) -> int:
        return self._number


@dataclass
class View:
    """A subscription as its client sees it: `last` grows by one with each entry."""

    since: int  # the head that `ok` named
    last: int
    live: bool = False  # at the end of the last step, and its socket not stuck since


class Socket:
    """The link of one connection. While `stuck` it takes nothing: what is written is kept."""

    def __init__(self, pod: Pod, user_id: int) -> None:
        self.pod = pod
        self.listener: Listener | None = None
        self.connection = Connection(0, user_id, 1, 2**40, self, lambda *_: None)
        self.views: dict[int, View] = {}
        self.unread: list[tuple[int, int]] = []  # channel and cursor, as they will reach the client
        self.stuck = False
        self.command: asyncio.Task[None] | None = None  # the `sub` that is being worked on
        self.silent = False  # paused, and everybody knows: no entry may come
        self._unsent = 0
        self._members_before: dict[int, tuple[bool, int]] = {}  # since the subscribing began
        self._resets: set[int] = set()

    def __repr__(self) -> str:
        return f"<Socket of {self.connection.user_id} on {self.pod.number}: {self.views}>"

    def log(self, channel_id: int) -> ChannelLog:
        """The truth."""
        return self.pod.logs[channel_id]

    # --- the link

    def write(self, frames: bytes) -> None:
        """Take whole frames."""
        if self.connection.closed:
            return
        for text in protocol.payloads(frames):
            event = orjson.loads(text)
            if "seq" in event:
                self._entry(event["ch"], event["seq"], text)
            elif event["t"] == "removed":
                self._removed(event["ch"], event["reason"])
            elif event["t"] == "reset":
                self._reset(event["ch"], event["head"])
        self._unsent += len(frames)
        if self.stuck and self._unsent > CONFIG.write_high_bytes and not self.connection.paused:
            self.pod.hub.paused(self.connection)

    def taken(self) -> int:
        """Less what the client has not taken."""
        return -self._unsent

    def waiting(self) -> int:
        """What the client has not taken."""
        return self._unsent

    def abort(self) -> None:
        """The model's clients go by themselves."""
        raise NotImplementedError

    async def flush(self) -> None:
        """Everything has left."""

    def settle(self) -> None:
        """There was no handshake."""

    def release(self) -> None:
        """There is nothing to let go of."""

    def stick(self) -> None:
        """The client stops reading."""
        self.stuck = True
        for view in self.views.values():
            view.live = False

    def drain(self) -> list[tuple[int, int]]:
        """The client reads again; returns what it reads: channels and cursors."""
        read, self.unread = self.unread, []
        self.stuck = self.silent = False
        self._unsent = 0
        if self.connection.paused:
            self.pod.hub.resumed(self.connection)
        return read

    def leave(self) -> None:
        """The socket ends (api/ws)."""
        self.connection.closed = True
        self.pod.hub.leave(self.connection)

    # --- subscribing

    @property
    def busy(self) -> bool:
        """Whether a command is worked on: the next one waits (api/conversation)."""
        return self.command is not None and not self.command.done()

    def subscribe(self, wanted: dict[int, int | None], epoch: str | None) -> None:
        """Begin a `sub` command."""
        self.command = self.pod.loop.create_task(self._subscribe(wanted, epoch))
        self.pod.commands.append(self.command)

    async def _subscribe(self, wanted: dict[int, int | None], epoch: str | None) -> None:
        user = self.connection.user_id
        for c in wanted:
            self._members_before[c] = user in self.log(c).members, self.log(c).head
        try:
            await self.pod.hub.subscribe(
                self.connection, wanted, epoch, lambda heads: self._ok(wanted, epoch, heads)
            )
        except ChatError:
            pass  # the client is told, and tries again; its views are as before
        except Exception as error:  # noqa: BLE001
            self.pod.loop.broken(error)

    def _ok(self, wanted: dict[int, int | None], epoch: str | None, heads: dict[str, Head]) -> None:
        for channel_id, cursor in wanted.items():
            answer, log = heads[str(channel_id)], self.log(channel_id)
            if answer.error is not UNSET:
                self._refused(channel_id, answer.error)
                continue
            head = answer.head
            assert isinstance(head, int)
            if head > log.head or not log.was_member(self.connection.user_id, head):
                raise PromiseError(f"{self!r} was let into {channel_id} at {head}")
            if cursor is None and channel_id in self.views:
                continue
            self.views.pop(channel_id, None)
            other = epoch not in (None, EPOCH) and cursor is not None
            if other or (cursor is not None and cursor > head):
                self._resets.add(channel_id)
            else:
                start = head if cursor is None else cursor
                self.views[channel_id] = View(head, start)
                self.unread.append((channel_id, start))

    def _refused(self, channel_id: int, error: object) -> None:
        member, head = self._members_before[channel_id]
        if error == "unavailable":
            return
        if member and self.log(channel_id).end_of(self.connection.user_id, head) is None:
            raise PromiseError(f"{self!r} is a member of {channel_id}, and was told {error}")

    def unsubscribe(self, channels: list[int]) -> None:
        """One `unsub` command."""
        self.pod.hub.unsubscribe(self.connection, channels)
        for c in channels:
            self.views.pop(c, None)

    # --- what the promises say of each frame

    def _entry(self, channel_id: int, seq: int, text: str) -> None:
        view, log = self.views.get(channel_id), self.log(channel_id)
        if view is None:
            raise PromiseError(f"{self!r} got {channel_id}:{seq} without a subscription")
        if seq != view.last + 1:
            raise PromiseError(f"{self!r} got {channel_id}:{seq} behind {view.last}")
        if seq > log.head or text != log.texts[seq - 1]:
            raise PromiseError(f"{self!r} got {channel_id}:{seq}, which is not stored so: {text}")
        end = log.end_of(self.connection.user_id, view.since)
        if end is not None and seq > end:
            raise PromiseError(f"{self!r} got {channel_id}:{seq} behind its end, {end}")
        if not self.pod.may_show(channel_id, seq):
            raise PromiseError(f"{self!r} got {channel_id}:{seq} before its ack")
        if self.silent:
            raise PromiseError(f"{self!r} got {channel_id}:{seq}, though it takes nothing")
        view.last = seq
        self.unread.append((channel_id, seq))

    def _removed(self, channel_id: int, reason: str) -> None:
        view, log = self.views.pop(channel_id, None), self.log(channel_id)
        if view is None:
            raise PromiseError(f"{self!r} was removed twice from {channel_id}")
        end = log.end_of(self.connection.user_id, view.since)
        if end is None:
            raise PromiseError(f"{self!r} was removed from {channel_id}, and is a member")
        e = log.entries[end - 1]
        true = "deleted" if e.kind is Kind.DROP else "left" if e.target == e.user_id else "removed"
        if reason != true and not (reason == "deleted" and log.dropped):
            raise PromiseError(f"{self!r} was {true} from {channel_id}, and told {reason}")
        if view.live and not log.purged and view.last != end - (e.kind is Kind.DROP):
            raise PromiseError(f"{self!r} was live, and removed from {channel_id} before {end}")

    def _reset(self, channel_id: int, head: int) -> None:
        if channel_id not in self._resets:
            raise PromiseError(f"{self!r} was reset in {channel_id} at {head}")
        self._resets.discard(channel_id)

    # --- what holds between steps

    def check(self) -> None:
        """While the loop rests: what the client sees is what the hub means."""
        connection = self.connection
        if self._resets:
            raise PromiseError(f"{self!r} was not told to reset {self._resets}")
        if connection.subs.keys() != self.views.keys():
            raise PromiseError(f"{self!r} is subscribed to {connection.subs.keys()}")
        for channel_id, view in self.views.items():
            sub, log = connection.subs[channel_id], self.log(channel_id)
            live = sub.state is State.LIVE
            cursor = sub.room.cursor if live else sub.cursor
            tombstone = 0 < cursor <= log.head and log.entries[cursor - 1].kind is Kind.DROP
            if view.last != cursor - tombstone:
                raise PromiseError(
                    f"{self!r} has {view.last} of {channel_id}, the hub says {cursor}"
                )
            if live is not (sub in sub.room.live) or live is (sub in sub.room.others):
                raise PromiseError(f"{self!r} is not where it should be in {sub.room!r}")
            if live is (sub in connection.catching_up):
                raise PromiseError(f"{self!r} in {channel_id} is {sub.state}")
            if live and connection.paused:
                raise PromiseError(f"{self!r} is stuck, and live in {channel_id}")
            view.live = live and not self.stuck
        self.silent = connection.paused
