"""How much a process and a connection may take: connections, open files, frames a second.

Owns: the count of connections, in all and by address, and what of `connections_max` fits into the
limit of open files. Must never: stand in the way of health probes, which have a reserve beyond the
limit. Everything is in memory and gone with the process, like the connections themselves.

A connection is a TCP connection, whatever is spoken on it. Behind a proxy all come from the proxy's
address, which is why `connections_per_address` is off by default.
"""

import logging
import resource
import socket
from collections import Counter
from collections.abc import Callable
from enum import Enum

from rtchat.addresses import counted_as
from rtchat.config import Config

log = logging.getLogger(__name__)

# Beyond the limit so many more are accepted, for probes to be answered and others to be told why.
SURPLUS_MAX = 64
SURPLUS_PER_ADDRESS = 8
LINGERING_MAX = 64  # who was told why, and reads it: they hold no place of those
FILES_RESERVE = 64  # for what is neither a client nor a database: logs, modules, the loop's own
FILES_PER_NODE = 4  # the bus' two connections to a Redis, twice while they are made anew
CLUSTER_NODES = 32  # of a Redis Cluster, at least; its seeds do not tell how many there are


class Room(Enum):
    """What there is for a new connection."""

    FREE = 1
    SURPLUS = 2  # probes are answered; everything else is told `overloaded`
    NONE = 3  # to be dropped at once


class Capacity:
    """Counts a process's connections. 0: no limit."""

    def __init__(self, connections_max: int, per_address: int) -> None:
        self.max = connections_max
        self._per_address = per_address
        self._addresses: Counter[str | int] = Counter()
        self.count = 0
        self.lingering = 0

    def enter(self, address: str) -> Room:
        """Count a connection, whatever the answer is; `leave` when it has ended."""
        self.count += 1
        rooms = [_room(self.count, self.max, SURPLUS_MAX)]
        if self._per_address:
            key = counted_as(address)
            self._addresses[key] += 1
            mine = self._addresses[key]
            rooms.append(_room(mine, self._per_address, SURPLUS_PER_ADDRESS))
        return max(rooms, key=lambda room: room.value)

    def reached(self) -> str:
        """The setting for which the connection that has just entered found no room."""
        full = self.max and self.count > self.max
        return "connections_max" if full else "connections_per_address"

    def leave(self, address: str) -> None:
        """A connection has ended."""
        self.count -= 1
        if self._per_address:
            key = counted_as(address)
            self._addresses[key] -= 1
            if not self._addresses[key]:
                del self._addresses[key]

    def linger(self, address: str) -> bool:
        """Give up a connection's place before it has ended; `lingered` when it has.

        False: there are too many already, and it keeps its place.
        """
        if self.lingering >= LINGERING_MAX:
            return False
        self.lingering += 1
        self.leave(address)
        return True

    def lingered(self) -> None:
        """A connection that had given up its place has ended."""
        self.lingering -= 1


def _room(count: int, limit: int, surplus: int) -> Room:
    if not limit or count <= limit:
        return Room.FREE
    return Room.SURPLUS if count <= limit + surplus else Room.NONE


class Budget:
    """`per_second` on average and `burst` at once, for hot paths: mostly a decrement.

    The clock is asked only when the burst is spent, so up to twice as many may come at once.
    """

    __slots__ = ("_burst", "_left", "_rate", "_then")

    def __init__(self, per_second: float, burst: float, now: float) -> None:
        """0 per second: no limit."""
        self._rate = per_second
        self._burst = burst
        self._left = burst if per_second else float("inf")
        self._then = now

    def spend(self, clock: Callable[[], float]) -> bool:
        """Take one. False: there is none left."""
        if self._left < 1:
            now = clock()
            self._left = min(self._burst, self._left + (now - self._then) * self._rate)
            self._then = now
            if self._left < 1:
                return False
        self._left -= 1
        return True


def raise_files_limit() -> int:
    """Raise the soft limit of open files to the hard one; returns what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (ValueError, OSError) as error:  # macOS has a lower limit of its own
            log.info("limit of open files stays", extra={"limit": soft, "reason": str(error)})
            return soft
    return hard


def fitting(config: Config, files: int) -> int:
    """`connections_max`, or what of it fits into so many open files; then a warning says so."""
    if files == resource.RLIM_INFINITY:
        return config.connections_max
    nodes = len(config.redis_nodes)
    if config.redis_cluster:
        nodes = max(nodes, CLUSTER_NODES)
    databases = config.pool_max + config.lanes + (FILES_PER_NODE + config.cache_connections) * nodes
    fits = max(1, files - databases - SURPLUS_MAX - LINGERING_MAX - FILES_RESERVE)
    wanted = config.connections_max
    if wanted and wanted <= fits:
        return wanted
    log.warning(
        "the limit of open files bounds connections",
        extra={"open_files": files, "connections_max": wanted, "bound": fits},
    )
    return fits


def set_peer_timeout(listener: socket.socket, after_ms: int) -> None:
    """End connections whose peer has gone, or takes nothing; accepted sockets inherit it.

    TCP_USER_TIMEOUT is Linux's. It counts where something is unacknowledged, or the peer's window
    is closed; a silent peer is asked by SO_KEEPALIVE, and on a WebSocket by pings long before. A
    WebSocket does without it: see `FrameProtocol.connection_made`.
    """
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if after_ms and hasattr(socket, "TCP_USER_TIMEOUT"):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, after_ms)
