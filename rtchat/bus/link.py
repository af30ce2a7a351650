"""One connection to a Redis node, which comes back by itself.

Owns: the socket, the RESP reader on it, and the supervision: connect, greet, stand, end, wait with
full jitter, connect again, for ever. Lost in a crash: what was written and not read.
Must never: block a writer, retry what was written, or end for any reason but being closed.

Why not redis-py's pubsub object: it takes 6.5 µs a message where this takes about one, sends a
`PUBLISH` again whose reply is late (a duplicate was seen), and its reader ends after a longer
outage. RESP2 is spoken, not RESP3: each link has one kind of traffic, so push types tell nothing.
"""

import asyncio
import logging
import random
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import hiredis

from rtchat.bus.address import Address
from rtchat.bus.seldom import Seldom
from rtchat.measures import WAIT_S, Histogram

log = logging.getLogger(__name__)

_PARTIAL = object()

# Errors of a cluster's node that mean: not here, or not now.
_ELSEWHERE = ("MOVED ", "ASK ", "CLUSTERDOWN ", "TRYAGAIN ")

# One command as the bytes to send. The stub of hiredis 3.5 asks for a tuple of one element.
pack: Callable[[tuple[bytes, ...]], bytes] = hiredis.pack_command  # type: ignore[assignment]


class LinkError(ConnectionError):
    """The other side cannot be used: it refused us, or said what was not to be expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a bus on Redis may take; the defaults are in the signature of `RedisBus`."""

    connect_timeout_s: float  # for the name, TCP, TLS and the greeting together
    subscribe_timeout_s: float  # after it a subscriber goes on without a confirmation
    close_timeout_s: float  # for what is still in the write buffers
    backoff_base_ms: float
    backoff_cap_ms: float
    probe_interval_s: float
    probe_silence_s: float  # of one's own heartbeat, after which both links are dropped
    publish_buffer_bytes: int  # a node's; beyond it, what is published is dropped
    reply_bytes_max: int  # the largest unfinished reply; beyond it, the link is dropped
    subscribe_batch_topics: int  # in one command
    subscribe_window_topics: int  # not yet confirmed
    map_interval_s: float  # a cluster's map is read at least this often

    def __post_init__(self) -> None:
        assert 0 < self.backoff_base_ms <= self.backoff_cap_ms
        assert 0 < 2 * self.probe_interval_s <= self.probe_silence_s, "one late beat is no silence"
        assert 0 < self.subscribe_batch_topics <= self.subscribe_window_topics
        assert min(self.connect_timeout_s, self.subscribe_timeout_s, self.close_timeout_s) > 0
        assert min(self.publish_buffer_bytes, self.reply_bytes_max, self.map_interval_s) > 0

    def backoff_s(self, failures: int) -> float:
        """Full jitter: pods that lost the same node do not come back in the same instant."""
        most_ms = min(self.backoff_cap_ms, self.backoff_base_ms * 2 ** min(failures, 16))
        return random.uniform(0, most_ms) / 1000


@dataclass(slots=True)
class Counts:
    """What happened on all nodes of a bus, those included that have left."""

    published: int = 0  # handed to the socket
    dropped: int = 0  # not published: the link was down or its buffer full
    refused: int = 0  # published, and answered with an error
    received: int = 0
    reconnects: int = 0  # a link came back
    receiver_errors: int = 0
    # Seconds from one's own heartbeat to hearing it: there, through Redis, and back.
    lag: Histogram = field(default_factory=lambda: Histogram(WAIT_S))


class Wire(asyncio.Protocol):
    """One TCP connection from its greeting to its end, never used again after."""

    def __init__(self, reply_bytes_max: int, on_end: Callable[["Wire"], None]) -> None:
        loop = asyncio.get_running_loop()
        self.alive = True
        self.ended: asyncio.Future[str] = loop.create_future()  # why; at once
        self.gone: asyncio.Future[None] = loop.create_future()  # the socket is closed
        self.on_reply: Callable[[Any], None] = self._unasked
        self._on_end = on_end
        self._reply_bytes_max = reply_bytes_max
        self._reader = hiredis.Reader(notEnoughData=_PARTIAL)
        self._transport: asyncio.Transport | None = None
        self._joined: list[bytes] = []  # written in this turn of the loop, not yet sent
        self._joined_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.gone.set_result(None)
        self.end(str(exc) if exc else "closed by the other side")

    def data_received(self, data: bytes) -> None:
        # Measured with 100-byte messages on a local server: see `Node` for the number.
        reader = self._reader
        try:
            reader.feed(data)
            while self.alive and (reply := reader.gets()) is not _PARTIAL:
                self.on_reply(reply)
        except Exception as error:  # noqa: BLE001 whatever came: a new connection starts clean
            self.end(f"not understood: {error!r:.200}")
        if reader.len() > self._reply_bytes_max:
            self.end("a reply larger than the limit")

    async def greet(self, commands: list[tuple[bytes, ...]]) -> None:
        """Send `commands` and check the answers; raises LinkError."""
        for command, reply in zip(commands, await self.ask(commands), strict=True):
            if isinstance(reply, hiredis.ReplyError) and not _spares(command, reply):
                raise LinkError(f"{command[0].decode()}: {reply}")

    async def ask(self, commands: list[tuple[bytes, ...]]) -> list[Any]:
        """Send `commands`; the answers, errors among them. Raises LinkError if they do not come."""
        replies: list[Any] = []
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def answer(reply: Any) -> None:
            replies.append(reply)
            if len(replies) == len(commands):
                answered.set_result(None)

        self.on_reply = answer
        self.write(b"".join(pack(command) for command in commands))
        await asyncio.wait((answered, self.ended), return_when=asyncio.FIRST_COMPLETED)
        if not self.alive:
            raise LinkError(self.ended.result())
        self.on_reply = self._unasked
        return replies

    def write(self, data: bytes) -> bool:
        """Send at the end of this turn of the loop, joined with what else is; False: too late.

        One system call a turn: a commit that publishes on 100 channels pays 1.7 µs each, not 8.
        """
        transport = self._transport
        if not self.alive or transport is None or transport.is_closing():
            return False
        if not self._joined:
            asyncio.get_running_loop().call_soon(self._send)
        self._joined.append(data)
        self._joined_bytes += len(data)
        return True

    def buffered_bytes(self) -> int:
        """What the kernel has not taken yet."""
        transport = self._transport
        return self._joined_bytes + (0 if transport is None else transport.get_write_buffer_size())

    def end(self, why: str) -> None:
        """Close now; what is not sent or not read is lost. The owner is told before it returns."""
        if not self.alive:
            return
        self.alive = False
        if not self.ended.done():  # cancelled with the supervisor that waited for it
            self.ended.set_result(why)
        self._on_end(self)
        if self._transport is not None:
            self._transport.abort()

    def _send(self) -> None:
        joined, self._joined, self._joined_bytes = self._joined, [], 0
        if joined and self.alive and self._transport is not None:
            self._transport.writelines(joined)

    def _unasked(self, reply: Any) -> None:
        raise LinkError(f"a reply to nothing: {reply!r:.100}")


def leads_elsewhere(reply: Any) -> bool:
    """Whether a reply says that a topic's slot is not served here."""
    return isinstance(reply, hiredis.ReplyError) and str(reply).startswith(_ELSEWHERE)


def _spares(command: tuple[bytes, ...], reply: hiredis.ReplyError) -> bool:
    # A user without the right to name its connection, or a server without names, is fine. The rest
    # (NOAUTH, LOADING …) says that nothing else would work either.
    return command[0] == b"CLIENT" and str(reply).startswith(("NOPERM", "ERR"))


async def connect(
    address: Address, client_name: str, limits: Limits, on_end: Callable[[Wire], None]
) -> Wire:
    """Open and greet one connection. Bounded in time by the caller; raises OSError."""
    wire = Wire(limits.reply_bytes_max, on_end)
    try:
        await address.open(lambda: wire)
        await wire.greet(address.greeting(client_name))
    except BaseException:
        wire.end("not greeted")
        raise
    return wire


class Link:
    """A connection that stands whenever it can. Its owner hears of every change at once.

    `on_up` is called when the greeting is over, `on_down` after a connection and after an attempt
    that failed, `on_reply` for each reply between the two.
    """

    def __init__(
        self,
        address: Address,
        client_name: str,
        limits: Limits,
        *,
        counts: Counts,
        on_up: Callable[[], None],
        on_down: Callable[[], None],
        on_reply: Callable[[Any], None],
    ) -> None:
        self.wire: Wire | None = None  # set while it stands
        self._address = address
        self._client_name = client_name
        self._limits = limits
        self._counts = counts
        self._on_up = on_up
        self._on_down = on_down
        self._on_reply = on_reply
        self._stood = False
        self._failures = 0
        self._seldom = Seldom(log)

    async def run(self) -> None:
        """Keep the link standing until cancelled, which leaves the last connection as it is."""
        while True:
            try:
                async with asyncio.timeout(self._limits.connect_timeout_s):
                    wire = await connect(self._address, self._client_name, self._limits, self._fell)
                self._stand(wire)
                why = await wire.ended
            except Exception as error:  # noqa: BLE001 a link that stops trying leaves the pod deaf
                why = str(error) or type(error).__name__
                self.drop(why)
                self._on_down()
            self._seldom.warning(
                "bus link down", node=self._address.name, link=self._client_name, why=why
            )
            await asyncio.sleep(self._limits.backoff_s(self._failures))
            self._failures += 1

    def write(self, data: bytes) -> bool:
        """Send if the link stands."""
        return self.wire is not None and self.wire.write(data)

    def proven(self) -> None:
        """The link did what it is for: the next outage starts with a short wait again."""
        self._failures = 0

    def drop(self, why: str) -> None:
        """End this connection; another one is made."""
        if self.wire is not None:
            self.wire.end(why)

    def _stand(self, wire: Wire) -> None:
        if not wire.alive:
            raise LinkError(wire.ended.result())
        wire.on_reply = self._on_reply
        self.wire = wire
        self._counts.reconnects += self._stood
        self._stood = True
        log.info("bus link up", extra={"node": self._address.name, "link": self._client_name})
        self._on_up()

    def _fell(self, wire: Wire) -> None:
        if wire is self.wire:
            self.wire = None
            self._on_down()
