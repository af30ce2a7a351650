"""The outlet: ephemeral events on their way to the sockets of this pod, and what is dropped there.

Owns: how many sockets are told in a tick, which of them may be, and who is still to be told who is
online. A subscription is told while it is live, and while its socket has (next to) nothing unsent.
Who comes, was catching up, or missed something of presence is *fresh*: told anew who is online in
its rooms and who went last, once for all of them. Must never: wait for a socket, tell a room's
people of themselves, or forget somebody who missed presence.
"""

from collections.abc import Callable, Collection, Sequence

from rtchat import protocol
from rtchat.config import Config
from rtchat.connection import Connection
from rtchat.ephemeral.presence import Presence
from rtchat.measures import Telling
from rtchat.room import Room, State, Subscription

# Of a tick's writes, what presence has: it can wait, and when thousands come back at once it shall.
# Told to all of them in each tick, it took up to a tenth of the CPU of a connect; so, a fortieth.
PRESENCE_SHARE = 4
LISTED_MAX = 1000  # users that a socket is told of in a tick, but for those of its last room
Part = tuple[int, bytes]  # whom it is about, and the frame
Statuses = dict[int, bool]  # user, online?
Listing = tuple[Statuses, Collection[int]]  # who is online in a room, and who went last


class Outlet:
    """Tells sockets; `tick` first, which sets how many."""

    def __init__(
        self,
        config: Config,
        presence: Presence,
        measures: Telling,
        room_of: Callable[[int], Room | None],
    ) -> None:
        self._writes_max = config.ephemeral_writes_max
        self._unsent_max = config.write_low_bytes // 4
        self._presence = presence
        self._measures = measures
        self._room_of = room_of
        self._left = 0  # sockets that may still be told in this tick
        self._listings: dict[int, Listing] = {}  # by channel, as of this tick
        # By socket: a look at it must not cost what it follows.
        self.fresh: dict[Connection, dict[Subscription, None]] = {}

    def tick(self) -> None:
        """Another tick begins."""
        self._left = self._writes_max
        self._listings.clear()

    def refresh(self, sub: Subscription) -> None:
        """Tell it anew who is online, as soon as may be."""
        self.fresh.setdefault(_connection(sub), {})[sub] = None

    def forget(self, sub: Subscription) -> None:
        """It has ended."""
        connection = _connection(sub)
        if (fresh := self.fresh.get(connection)) is not None:
            fresh.pop(sub, None)
            if not fresh:
                del self.fresh[connection]

    def tell_room(self, room: Room, parts: Sequence[Part]) -> None:
        """Tell those who are live there what is not about themselves; where the tick has no more
        writes, nobody."""
        if self._left <= 0:
            self._measures.dropped += len(parts)
            return
        about = {user for user, _ in parts}
        every = [part for _, part in parts]
        for sub in room.live:
            me, told = sub.receiver.user_id, every
            if me in about:
                told = [part for user, part in parts if user != me]
            if told:
                self._left -= 1
                self.write(_connection(sub), told)

    def tell_presence(self) -> None:
        """Tell what has changed, room by room, and who is fresh: each socket once, whatever it
        shares with whom. What does not fit waits."""
        told: dict[Connection, Statuses] = {}
        self._left = min(self._left, self._writes_max // PRESENCE_SHARE)
        self._add_changes(told)
        self._add_fresh(told)
        frames: dict[tuple[int, bool], bytes] = {}
        for connection, statuses in told.items():
            statuses.pop(connection.user_id, None)
            for user, online in statuses.items():
                if (user, online) not in frames:
                    frames[user, online] = protocol.presence(user, online=online)
            self.write(connection, [frames[status] for status in statuses.items()])

    def _add_changes(self, told: dict[Connection, Statuses]) -> None:
        changes = self._presence.changes
        while changes and self._left > 0:
            channel_id = next(iter(changes))
            statuses = changes.pop(channel_id)
            room = self._room_of(channel_id)
            for sub in room.live if room is not None else ():
                connection = _connection(sub)
                if sub in self.fresh.get(connection, ()):
                    continue  # it will hear of all
                if not self._may(connection):
                    self.refresh(sub)
                elif (known := told.get(connection)) is not None:
                    known.update(statuses)
                else:
                    told[connection] = dict(statuses)
                    self._left -= 1

    def _add_fresh(self, told: dict[Connection, Statuses]) -> None:
        for connection in list(self.fresh):
            if connection.paused:
                del self.fresh[connection]  # it falls behind, and is told when it is live again
                continue
            if connection not in told:
                if self._left <= 0 or not self._may(connection):
                    continue
                self._left -= 1
                told[connection] = {}
            self._list(connection, told[connection])

    def _list(self, connection: Connection, statuses: Statuses) -> None:
        """Add whom its rooms know. Who went from one may be online in another that it follows."""
        fresh = self.fresh.pop(connection)
        gone: set[int] = set()
        for sub in list(fresh):
            if len(statuses) > LISTED_MAX:
                self.fresh[connection] = fresh  # behind the others
                break
            del fresh[sub]
            if sub.state is State.LIVE:
                online, went = self._listing(sub.room.channel_id)
                statuses.update(online)
                gone.update(went)
        gone.difference_update(statuses)
        for channel_id in connection.subs if gone else ():
            gone -= self._presence.known(channel_id, gone)
        statuses.update(dict.fromkeys(gone, False))

    def _listing(self, channel_id: int) -> Listing:
        """The same for all who are told in this tick."""
        found = self._listings.get(channel_id)
        if found is None:
            online, gone = self._presence.listing(channel_id)
            found = self._listings[channel_id] = dict.fromkeys(online, True), gone
        return found

    def write(self, connection: Connection, parts: list[bytes]) -> bool:
        """Write these frames at once; False: dropped."""
        if not self._may(connection):
            self._measures.dropped += len(parts)
            return False
        if parts:
            connection.write(b"".join(parts))
            self._measures.told += len(parts)
        return True

    def _may(self, connection: Connection) -> bool:
        waits = connection.paused or connection.link.waiting() > self._unsent_max
        return not (waits or connection.closed)


def _connection(sub: Subscription) -> Connection:
    assert isinstance(sub.receiver, Connection)
    return sub.receiver
