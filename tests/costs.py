"""What work costs, counted and not timed: function calls, blocks of memory, writes, round trips.

The counts are the same on a busy machine and on an idle one, so a bound on them holds everywhere.
"""

import asyncio
import contextlib
import gc
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from types import FrameType
from typing import Any, cast
from urllib.parse import urlsplit

from rtchat.measures import Delivering
from rtchat.room import Room, Subscription, Tails, Write
from rtchat.server.upgrade import ServerLink, UpgradedProtocol


class Calls:
    """The calls made while this is entered: Python functions, and built-in ones by their names."""

    def __init__(self) -> None:
        self.python = 0
        self.built_in: Counter[str] = Counter()

    def __enter__(self) -> "Calls":
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _note(self, _: FrameType, event: str, about: Any) -> None:
        if event == "call":
            self.python += 1
        elif event == "c_call":
            self.built_in[about.__name__] += 1


def marginal(cost: Callable[[int], float], few: int, many: int) -> float:
    """What one more costs, whatever the work costs in itself."""
    return (cost(many) - cost(few)) / (many - few)


def blocks_kept(work: Callable[[], object]) -> int:
    """How many blocks of memory are in use after it that were not before."""
    gc.collect()
    before = sys.getallocatedblocks()
    work()
    return sys.getallocatedblocks() - before


class Wire:
    """A transport that keeps what is written to it; its methods are built-in, as uvloop's are."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.write = self.written.append
        self.is_closing = b"".__len__  # 0: no


class Member:
    """Somebody in a room, behind the server's own link."""

    user_id = 1

    def __init__(self) -> None:
        self.transport: Any = Wire()
        self.close_sent = self.disconnected = False
        self.write: Write = ServerLink(cast(UpgradedProtocol, self)).write

    @property
    def written(self) -> list[bytes]:
        """What it was sent."""
        wire: Wire = self.transport
        return wire.written


def room_of(members: int, kind: type[Room] = Room) -> tuple[Room, list[Member]]:
    """An open room with so many live members."""
    room = kind(17, _nobody_ends, Tails(1 << 30), 1 << 20, Delivering())
    room.open(0)
    people = [Member() for _ in range(members)]
    for person in people:
        sub = room.register(person)
        room.catch_up(sub, 0)
        room.go_live(sub)
    return room, people


def _nobody_ends(sub: Subscription, *_: object) -> None:
    raise AssertionError(sub)


class Turns:
    """A TCP proxy that counts how often a client speaks after the server did: round trips."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = parts.hostname, parts.port
        self._parts = parts
        self._port = 0
        self._counts: list[int] = []  # by connection

    @property
    def url(self) -> str:
        """The way through it."""
        login = self._parts.netloc.rpartition("@")[0]
        return self._parts._replace(netloc=f"{login}@127.0.0.1:{self._port}").geturl()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator["Turns"]:
        """Let connections through."""
        server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        self._port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    @contextlib.contextmanager
    def counted(self) -> Iterator[Callable[[], int]]:
        """How many there were since, on the connection that had most: a lane's."""
        before = list(self._counts)
        yield lambda: max(a - b for a, b in zip(self._counts, before, strict=False))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(self._counts)
        self._counts.append(0)
        there, back = await asyncio.open_connection(*self._target)
        answered = True

        async def copy(come: asyncio.StreamReader, go: asyncio.StreamWriter, asks: bool) -> None:
            nonlocal answered
            while data := await come.read(1 << 16):
                self._counts[number] += asks and answered
                answered = not asks
                go.write(data)
            go.close()

        with contextlib.suppress(OSError, ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(copy(reader, back, asks=True))
                group.create_task(copy(there, writer, asks=False))
