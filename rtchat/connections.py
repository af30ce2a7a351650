"""Who is connected to this pod: sockets by user and by session, their deadlines, and notices.

Owns: the registry, how many sockets there may be, the sweep that ends what has expired or is
stuck, and what other pods say of users and sessions. Must never: be the only way in which a removal
or a logout takes effect; a notice can be lost (the log and the sessions table are asked as well).
"""

import asyncio
import logging
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rtchat import notice as notices, protocol
from rtchat.addresses import counted_as
from rtchat.bus import Bus
from rtchat.bus.seldom import Seldom
from rtchat.config import Config
from rtchat.connection import Connection
from rtchat.errors import ChatError, Close, Code
from rtchat.events import Reason
from rtchat.measures import Sockets
from rtchat.notice import IDS_MAX, Added, Ephemeral, Notice, Removed, SessionsEnded
from rtchat.reached import Reached
from rtchat.room import nobody
from rtchat.store.channels import ChannelStore
from rtchat.store.users import UserStore
from rtchat.tasks import Tasks

log = logging.getLogger(__name__)

SWEEP_S = 1.0
ANSWER_S = 2.0  # what was accepted before a token's end is answered first, within this
AHEAD_DEADLINES = 1  # how far a slow client may pay ahead; its last deadline comes after that
STEP_S = 2.0  # a wall clock that moves this much against the monotonic one was set anew
FULL_AFTER_MS = 5000  # when to try again where there is no room
OTHER_CLOSE = 0  # under which the codes of clients are counted that are nobody's but theirs
# Those of RFC 6455 §7.4.1, and the one of ours that the server sends by itself.
COUNTED_CLOSES = frozenset({*range(1000, 1016), Close.FLOOD})
NOTE_SEEN_S = 10.0  # how often `lastActive` is written, for all who came or went together


class Connections:
    """The sockets of this pod."""

    on_sessions_ended: Callable[[list[int]], object]  # told of what other pods say

    def __init__(
        self,
        config: Config,
        bus: Bus,
        channels: ChannelStore,
        users: UserStore,
        reached: Reached,
    ) -> None:
        self._config = config
        # Less where tokens live that short, or each new one would be warned of at once.
        self._warn_s = min(config.expiring_s, config.access_token_s / 2)
        self._bus = bus
        self._channels = channels
        self._users = users
        self._reached = reached
        self.measures = Sockets()
        self._seen: set[int] = set()  # who came or went since the last note of it
        self._tasks = Tasks("connections")
        self._seldom = Seldom(log)
        self._all: set[Connection] = set()
        # Tuples: mostly of one, and a set of one is four times as large.
        self._by_user: dict[int, tuple[Connection, ...]] = {}
        self._by_session: dict[int, tuple[Connection, ...]] = {}
        self._guests = 0  # sockets that have not said yet who they are
        # Without trusted proxies all may have the address of one, and nobody is counted.
        self._per_address = config.sockets_per_address if config.trusted_proxies else 0
        self._by_address: Counter[str | int] = Counter()
        self.pod = uuid.uuid4().hex  # this one's name in what it tells the others
        # Who tells what is ephemeral is told of a user's first socket and of the end of the last,
        # of who is a member no more, and of what other pods tell of it.
        self.on_first: Callable[[int], object] = nobody
        self.on_last: Callable[[int], object] = nobody
        self.on_removed: Callable[[Removed], object] = nobody
        self.on_ephemeral: Callable[[Ephemeral], object] = nobody
        bus.on_control = self.receive

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._all))

    @property
    def guests(self) -> int:
        """How many sockets have not said yet who they are."""
        return self._guests

    def start(self) -> None:
        """Begin to sweep."""
        self._tasks.start(self._sweep())

    async def close(self) -> None:
        """Stop sweeping."""
        await self._tasks.close()

    def add(self, connection: Connection) -> None:
        """Register an authenticated socket."""
        self._all.add(connection)
        self._seen.add(connection.user_id)
        if connection.user_id not in self._by_user:
            self.on_first(connection.user_id)
        for index, key in self._indexes(connection):
            index[key] = (*index.get(key, ()), connection)

    def discard(self, connection: Connection) -> None:
        """Forget a socket that has ended."""
        if connection not in self._all:
            return
        self._all.discard(connection)
        self._seen.add(connection.user_id)
        for index, key in self._indexes(connection):
            index[key] = tuple(other for other in index[key] if other is not connection)
            if not index[key]:
                del index[key]
        if connection.user_id not in self._by_user:
            self.on_last(connection.user_id)

    def of(self, user_id: int) -> tuple[Connection, ...]:
        """The sockets of a user here."""
        return self._by_user.get(user_id, ())

    def ended(self, code: int) -> None:
        """Count a socket that we close with this code."""
        self.measures.closes[code] += 1

    def left(self, code: int) -> None:
        """Count a socket that ended by itself; a code that a client made up has no series."""
        self.measures.closes[code if code in COUNTED_CLOSES else OTHER_CLOSE] += 1

    def _indexes(
        self, connection: Connection
    ) -> tuple[tuple[dict[int, tuple[Connection, ...]], int], ...]:
        return (
            (self._by_user, connection.user_id),
            (self._by_session, connection.session_id),
        )

    # --- how many

    def require_room(self, user_id: int | None = None) -> None:
        """Raise ChatError(overloaded) unless one more socket fits: a user's, or a guest's.

        Our own server has counted every connection before, and by what open files allow; the limit
        of all is looked at here for other servers' sake.
        """
        config = self._config
        if user_id is None:
            of_kind, limit = self._guests, config.guests_max
        else:
            of_kind, limit = len(self._by_user.get(user_id, ())), config.connections_per_user
        if limit and of_kind >= limit:
            if user_id is None:
                raise _full(f"There are {limit} sockets that are not signed in.", "guests_max")
            raise _full(f"There are {limit} sockets of this user.", "connections_per_user")
        if config.connections_max and len(self._all) + self._guests >= config.connections_max:
            raise _full("No more connections here.", "connections_max")

    def enter(self, address: str) -> None:
        """Count a socket of this address until `leave`. Raises ChatError(overloaded)."""
        if not self._per_address:
            return
        key = counted_as(address)
        if self._by_address[key] >= self._per_address:
            text = f"There are {self._per_address} sockets of this address."
            raise _full(text, "sockets_per_address")
        self._by_address[key] += 1

    def leave(self, address: str) -> None:
        """A socket that was counted has ended."""
        if not self._per_address:
            return
        key = counted_as(address)
        self._by_address[key] -= 1
        if not self._by_address[key]:
            del self._by_address[key]

    @contextmanager
    def guest(self) -> Iterator[None]:
        """Count a socket that has not said yet who it is."""
        self._guests += 1
        try:
            yield
        finally:
            self._guests -= 1

    # --- notices

    def announce_added(self, channel_id: int, user_ids: list[int]) -> None:
        """Tell these users' sockets, on every pod, of a channel they are members of now."""
        for part in _parts(user_ids):
            self._announce(Added(self.pod, channel_id, part))

    def announce_removed(
        self, channel_id: int, user_ids: list[int], seq: int, reason: Reason
    ) -> None:
        """Tell these users' sockets, on every pod, that they are members no more."""
        for part in _parts(user_ids):
            self._announce(Removed(self.pod, channel_id, part, seq, reason))

    def announce_ended(self, session_ids: list[int]) -> None:
        """Close these sessions' sockets on every pod."""
        for part in _parts(session_ids):
            self._announce(SessionsEnded(self.pod, part))

    def _announce(self, notice: Notice) -> None:
        self._act(notice)
        self._bus.publish_control(notices.encode(notice))

    def receive(self, data: bytes) -> None:
        """Take what came over the bus."""
        try:
            notice = notices.parse(data)
        except ValueError as error:
            self._seldom.warning("not a notice", why=str(error)[:200])
            return
        if notice.origin != self.pod:
            if isinstance(notice, SessionsEnded):
                self.on_sessions_ended(notice.session_ids)
            self._act(notice)

    def _act(self, notice: Notice) -> None:
        match notice:
            case Added():
                users = [u for u in notice.user_ids if u in self._by_user]
                if users:
                    self._tasks.start(self._tell_added(notice.channel_id, users))
            case Removed():
                self._tell_removed(notice)
                self.on_removed(notice)
            case SessionsEnded():
                self.end_sessions(notice.session_ids)
            case _:
                self.on_ephemeral(notice)

    def end_sessions(self, session_ids: Iterable[int]) -> None:
        """Close the sockets of sessions that have ended."""
        for session_id in session_ids:
            for connection in self._by_session.get(session_id, ()):
                connection.close(Close.SESSION_REVOKED, "session ended")

    async def _tell_added(self, channel_id: int, user_ids: list[int]) -> None:
        for user_id in user_ids:
            try:
                channel = await self._channels.view(user_id, channel_id)
            except ChatError:
                return  # a hint; after its next `hello` the client lists its channels anyway
            if channel is None or channel.role is None:
                continue
            frame = protocol.added(channel)
            for connection in self._by_user.get(user_id, ()):
                connection.ended.pop(channel_id, None)
                connection.write(frame)

    def _tell_removed(self, notice: Removed) -> None:
        frame = protocol.removed(notice.channel_id, notice.reason)
        for user_id in notice.user_ids:
            for connection in self._by_user.get(user_id, ()):
                if notice.channel_id in connection.subs:
                    continue  # its room ends that, in order
                if connection.ended.pop(notice.channel_id, 0) < notice.seq:
                    connection.write(frame)

    # --- deadlines

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        noted = loop.time()
        offset = time.time() - loop.time()
        while True:
            await asyncio.sleep(SWEEP_S)
            try:
                wall, monotonic = time.time(), loop.time()
                if abs(wall - monotonic - offset) > STEP_S:
                    self.clock_stepped(wall - monotonic - offset)
                offset = wall - monotonic
                self.sweep(wall, monotonic)
                if self._seen and loop.time() - noted >= NOTE_SEEN_S:
                    noted = loop.time()
                    seen, self._seen = self._seen, set()
                    await self._users.seen(list(seen))
            except ChatError:
                pass  # the database is away, and said so
            except Exception:  # or nothing would ever expire again
                log.exception("sweeping failed")

    def clock_stepped(self, by_s: float) -> None:
        """Let every socket have the time that it had left before.

        But not more than a new token gives: where the clock was slow, or the machine suspended,
        that time was not left.
        """
        log.warning("the clock was set", extra={"by_s": round(by_s, 1)})
        config = self._config
        latest = int(time.time()) + config.access_token_s + config.token_leeway_s
        for connection in self._all:
            connection.expires = min(connection.expires + round(by_s), latest)

    def sweep(self, wall_s: float, monotonic_s: float) -> None:
        """End what has expired or is stuck; warn what expires soon."""
        soon = wall_s + self._warn_s
        for connection in list(self._all):
            if connection.expires > soon and connection.paused_at is None:
                connection.taken = None
                continue  # mostly: of 10,000 each second
            try:
                self._look_at(connection, wall_s, monotonic_s)
            except Exception:  # one socket's trouble must not save those behind it
                log.exception("sweeping a socket failed", extra={"connection": connection.id})

    def _look_at(self, connection: Connection, wall_s: float, monotonic_s: float) -> None:
        left = connection.expires - wall_s
        if left <= 0:
            if not connection.unanswered or left <= -ANSWER_S:
                self._reached.count("access_token_s")
                connection.close(Close.TOKEN_EXPIRED, "token expired")
        elif left <= self._warn_s and not connection.warned:
            connection.warned = True
            connection.write(protocol.expiring(int(left)))
        slow_s = self._config.slow_deadline_ms / 1000
        if connection.paused_at is None:
            connection.taken = None
        elif monotonic_s - self._paid_until(connection, monotonic_s) > slow_s:
            log.info("client too slow", extra={"connection": connection.id})
            self._reached.count("slow_deadline_ms")
            connection.close(Close.TOO_SLOW, "too slow")

    def _paid_until(self, connection: Connection, now: float) -> float:
        """Up to when a paused client has taken what its slot costs.

        That is a quarter of the low mark in every deadline, by default 1.1 KB a second: a slow line
        lives, one that takes a byte a minute does not. Who takes more has paid ahead, since all
        that one sees of a slow reader are its kernel's acknowledgements, and those come in steps of
        a whole window: 64 KB every 13 s from one that reads 5 KB a second, and nothing in between.
        What it took before it fell behind counts for nothing: who stops is gone at the deadline.
        """
        assert connection.paused_at is not None
        slow_s = self._config.slow_deadline_ms / 1000
        per_second = max(1, self._config.write_low_bytes // 4) / slow_s
        taken = connection.link.taken()
        newly = 0 if connection.taken is None else max(0, taken - connection.taken)
        connection.taken = taken
        ahead = now + AHEAD_DEADLINES * slow_s
        connection.paused_at = min(connection.paused_at + newly / per_second, ahead)
        return connection.paused_at


def _full(detail: str, limit: str) -> ChatError:
    return ChatError(Code.OVERLOADED, detail, after_ms=FULL_AFTER_MS, limit=limit)


def _parts(ids: list[int]) -> Iterable[list[int]]:
    return (ids[i : i + IDS_MAX] for i in range(0, len(ids), IDS_MAX))
