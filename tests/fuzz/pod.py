"""Targets that need a pod's parts: a conversation of frames, and what the bus says meanwhile.

Owns: a pod inside this process on a real database, with a loop of its own that runs while an input
is fed. The parts catch what fails in them and log it, so a line of the log at ERROR fails a target.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Any

from rtchat import protocol
from rtchat.api.conversation import Conversation
from rtchat.commands import Read, Typing
from rtchat.connection import Connection, Listener
from rtchat.errors import ChatError
from rtchat.events import Head
from tests.fuzz import corpus
from tests.fuzz.__main__ import DATABASE_VARIABLE
from tests.fuzz.targets import TARGETS, Fuzzed, text_of
from tests.wire import events
from tests.world import World, world

FRAMES_MAX = 40  # below the number of errors that closes a socket
WITHIN_S = 20.0
ANSWERS = {"ok", "ack", "error", "pong"}
NEVER_MS = 600_000


class _Errors(logging.Handler):
    """Remembers what was logged as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


class _Link:
    """Where a conversation's answers go."""

    def __init__(self) -> None:
        self.listener: Listener | None = None
        self.written = b""

    def write(self, frames: bytes) -> None:
        self.written += frames

    def taken(self) -> int:
        return len(self.written)

    def waiting(self) -> int:
        return 0

    def abort(self) -> None:
        raise AssertionError("nothing here is slow")

    async def flush(self) -> None:
        """It is all there."""

    def settle(self) -> None:
        """There was no handshake."""

    def release(self) -> None:
        """Nothing is held."""


def _may_be_silent(text: str) -> bool:
    try:
        return isinstance(protocol.decode(text), Read | Typing)
    except ChatError:
        return False


class FuzzedPod:
    """A pod in this process. `run` an input's coroutine on its loop."""

    def __init__(self, database_url: str) -> None:
        self._runner = asyncio.Runner()
        self._stack = contextlib.AsyncExitStack()
        self.errors = _Errors()
        logging.getLogger().addHandler(self.errors)
        self.world: World = self._runner.run(self._open(database_url))

    async def _open(self, database_url: str) -> World:
        it = world(
            database_url,
            presence=1,
            head_check_ms=NEVER_MS,
            sends_per_second=0,
            errors_per_second=0,
        )
        opened = await self._stack.enter_async_context(it)
        self.user = await opened.person()
        self.channel = await opened.channel(self.user)
        assert self.channel == 1, "a fresh database"
        return opened

    def close(self) -> None:
        """End it."""
        logging.getLogger().removeHandler(self.errors)
        self._runner.run(self._stack.aclose())
        self._runner.close()

    def target(self, work: Callable[[bytes], Awaitable[None]]) -> Callable[[bytes], None]:
        """A target of a coroutine, after which the log has no error."""

        async def bounded(data: bytes) -> None:
            async with asyncio.timeout(WITHIN_S):
                await work(data)

        def run(data: bytes) -> None:
            self._runner.run(bounded(data))
            said, self.errors.lines = self.errors.lines, []
            assert not said, said

        return run

    def connect(self) -> tuple[Connection, _Link]:
        """A socket's place among the parts."""
        link = _Link()
        return Connection(1, self.user, 1, 2**40, link), link

    async def conversation(self, data: bytes) -> None:
        """Each frame has one answer, but what is ephemeral has none if it goes well; and the socket
        stays."""
        frames = [text for part in corpus.unpacked(data) if (text := text_of(part)) is not None]
        frames = frames[:FRAMES_MAX]
        connection, link = self.connect()
        self.world.services.connections.add(connection)
        ended = asyncio.Event()

        async def receive() -> dict[str, Any]:
            if frames:
                return {"type": "websocket.receive", "text": frames.pop(0)}
            ended.set()
            while connection.unanswered:
                await asyncio.sleep(0)
            return {"type": "websocket.disconnect"}

        count, silent = len(frames), sum(map(_may_be_silent, frames))
        await Conversation(self.world.services, connection).run(receive)
        self.leave(connection)
        answers = [event for event in events(link.written) if event["t"] in ANSWERS]
        assert count - silent <= len(answers) <= count, answers
        assert all(a.get("code") not in ("internal", "unavailable") for a in answers), answers

    async def bus(self, data: bytes) -> None:
        """Whatever the bus brings, also as if it continued the log: who comes then gets what is
        committed, each entry once and in order."""
        services, rooms = self.world.services, self.world.services.hub.rooms
        channel = await self.world.channel(self.user)
        connection, _ = await self.subscribed(channel, None)
        for part in corpus.unpacked(data):
            services.connections.receive(part)
            rooms.receive(_of_channel(part, channel))
        await asyncio.sleep(0)
        self.leave(connection)
        rooms._shut([*rooms._rooms])  # what was forged ends with its room
        connection, link = await self.subscribed(channel, 0)
        for _ in range(2):
            await services.chat.send(self.user, channel, "x", None)
        while link.written.count(b'"msg"') < 2:
            await asyncio.sleep(0)
        assert [e["seq"] for e in events(link.written) if e["t"] == "msg"] == [1, 2]
        self.leave(connection)

    async def subscribed(self, channel: int, cursor: int | None) -> tuple[Connection, _Link]:
        """A socket that follows a channel."""
        connection, link = self.connect()
        services = self.world.services
        heads: list[dict[str, Head]] = []
        services.connections.add(connection)
        await services.hub.subscribe(connection, {channel: cursor}, None, heads.append)
        assert heads == [{str(channel): Head(head=0)}]
        return connection, link

    def leave(self, connection: Connection) -> None:
        """The socket ends, and nothing of it is left."""
        connection.closed = True
        self.world.services.connections.discard(connection)
        self.world.services.hub.leave(connection)
        assert not connection.subs


def _of_channel(part: bytes, channel: int) -> bytes:
    """An envelope of the corpus' channel as one of this; anything else as it is."""
    if part[10:18] != corpus.CHANNEL.to_bytes(8):
        return part
    return part[:10] + channel.to_bytes(8) + part[18:]


def opened(name: str, database_url: str = "") -> Fuzzed:
    """A target by its name, with a pod where it needs one; that one ends with the process."""
    if name in TARGETS:
        return TARGETS[name]
    pod = FuzzedPod(database_url or os.environ[DATABASE_VARIABLE])
    return of_pod(pod)[name]


def of_pod(pod: FuzzedPod) -> dict[str, Fuzzed]:
    """The targets that a pod has."""
    frames = [f.replace(b"17", b"1").replace(b"18", b"2") for f in corpus.frames()]
    return {
        "conversation": Fuzzed(pod.target(pod.conversation), frames, several=True),
        "bus": Fuzzed(pod.target(pod.bus), corpus.of_the_bus(), several=True),
    }
