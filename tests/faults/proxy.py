"""A TCP proxy that breaks what passes through it, at a chosen moment or for a time.

Owns: the connections through it, and at most one armed fault that strikes once. Knows of the
protocols only what a fault needs: a marker among the bytes of a request, and RESP's commands.
Must never: change what it passes on, unless told to. Its methods are called in its loop.
"""

import asyncio
import re
from collections.abc import Callable, Iterator
from typing import Self, cast
from urllib.parse import urlsplit, urlunsplit

import hiredis

from rtchat.tasks import Tasks

HIGH_BYTES = 1 << 20  # of one direction; then its sender is not read
_PARTIAL = object()
_CHANNEL_TOPIC = re.compile(rb".*\{\d+\}:\d+")  # a channel's; not the probe, not control

# What a fault makes of a request: the bytes to pass on, or None, and then the connection is cut.
Strike = Callable[["Pipe", bytes], bytes | None]


class End(asyncio.Protocol):
    """One of a connection's two sockets."""

    def __init__(self, pipe: "Pipe", *, of_client: bool) -> None:
        self.pipe = pipe
        self.of_client = of_client
        self.transport: asyncio.Transport | None = None
        self.peer: End = self
        self.due = 0.0  # when the last bytes for it leave, where they are delayed

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=HIGH_BYTES)
        if self.of_client:
            self.pipe.proxy.pipes.add(self.pipe)
            self.pipe.proxy.tasks.start(self.pipe.connect())

    def data_received(self, data: bytes) -> None:
        if self.of_client:
            self.pipe.request(data)
        else:
            self.pipe.reply(data)

    def write(self, data: bytes) -> None:
        if self.transport is not None:
            self.transport.write(data)

    def pause_writing(self) -> None:
        if self.peer.transport is not None:
            self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.peer.transport is not None and not self.peer.transport.is_closing():
            self.peer.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self.pipe.cut()


class Pipe:
    """One connection through the proxy."""

    def __init__(self, proxy: "FaultProxy") -> None:
        self.proxy = proxy
        self.client = End(self, of_client=True)
        self.server = End(self, of_client=False)
        self.client.peer, self.server.peer = self.server, self.client
        self.cut_at_reply = False
        self.copying = False
        self._early: list[bytes] = []  # what the client sent before the server was reached

    async def connect(self) -> None:
        host, port = self.proxy.target
        try:
            if self.proxy.refuses:
                raise ConnectionRefusedError
            loop = asyncio.get_running_loop()
            await loop.create_connection(lambda: self.server, host, port)
        except OSError:
            self.cut()
            return
        early, self._early = self._early, []
        for data in early:
            self._pass(self.server, data)

    def request(self, data: bytes) -> None:
        strike = self.proxy.strike
        if strike is not None:
            passed = strike(self, data)
            if passed is None:
                self.cut()
                return
            data = passed
        if self.server.transport is None:
            self._early.append(data)
        else:
            self._pass(self.server, data)

    def reply(self, data: bytes) -> None:
        if self.cut_at_reply:  # the server has answered, so it is done; nobody hears of it
            self.proxy.struck += 1
            self.cut()
        else:
            self._pass(self.client, data)

    def _pass(self, to: End, data: bytes) -> None:
        if self.proxy.swallows:
            return
        now = asyncio.get_running_loop().time()
        to.due = max(now + self.proxy.delay_s, to.due)  # never before what was sent earlier
        if to.due > now:
            asyncio.get_running_loop().call_at(to.due, to.write, data)
        else:
            to.write(data)

    def cut(self) -> None:
        """Reset both ends."""
        self.proxy.pipes.discard(self)
        for end in (self.client, self.server):
            if end.transport is not None:
                end.transport.abort()


class FaultProxy:
    """Stands before the server at `url`; `start` it, or `async with`, and connect to `self.url`."""

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        assert self._parts.hostname is not None
        assert self._parts.port is not None
        self.target = self._parts.hostname, self._parts.port
        self.url = ""
        self.pipes: set[Pipe] = set()
        self.tasks = Tasks("proxy")
        self.refuses = False  # new connections
        self.swallows = False  # a black hole: connections stand, and nothing arrives
        self.delay_s = 0.0
        self.strike: Strike | None = None
        self.struck = 0  # how often an armed fault has struck
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def start(self) -> None:
        """Listen on a free port of loopback."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Pipe(self).client, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        user, at, _ = self._parts.netloc.rpartition("@")
        self.url = urlunsplit(self._parts._replace(netloc=f"{user}{at}127.0.0.1:{port}"))

    async def close(self) -> None:
        """Cut everything."""
        if self._server is not None:
            self._server.close()
        await self.tasks.close()
        self.cut()

    def cut(self) -> None:
        """Reset every connection."""
        for pipe in list(self.pipes):
            pipe.cut()

    # --- faults that strike once

    def drop_reply_to(self, marker: bytes) -> None:
        """Pass the next request with `marker` in it on, and cut before its answer comes back."""

        def strike(pipe: Pipe, data: bytes) -> bytes:
            if marker in data:
                pipe.cut_at_reply = True
                self.strike = None
            return data

        self.strike = strike

    def drop_request(self, marker: bytes) -> None:
        """Cut instead of passing the next request with `marker` in it on."""

        def strike(_: Pipe, data: bytes) -> bytes | None:
            if marker not in data:
                return data
            self.strike = None
            self.struck += 1
            return None

        self.strike = strike

    def reset_in_copy(self) -> None:
        """Pass half of the next COPY's data on, then cut."""

        def strike(pipe: Pipe, data: bytes) -> bytes | None:
            if pipe.copying:
                self.strike = None
                self.struck += 1
                pipe.server.write(data[: len(data) // 2])
                # Not at once: the half must be on its way before the reset overtakes it.
                asyncio.get_running_loop().call_later(0.005, pipe.cut)
                return b""
            pipe.copying = b"FROM STDIN" in data
            return data

        self.strike = strike

    def drop_publishes(self, count: int) -> None:
        """Swallow the next `count` envelopes that are published, and nothing else."""
        left = count

        def strike(_: Pipe, data: bytes) -> bytes:
            nonlocal left
            kept = []
            for raw, command in _commands(data):
                if left and _is_envelope(command):
                    left -= 1
                    self.struck += 1
                else:
                    kept.append(raw)
            if not left:
                self.strike = None
            return b"".join(kept)

        self.strike = strike


def _is_envelope(command: list[bytes]) -> bool:
    return (
        len(command) == 3
        and command[0] in (b"PUBLISH", b"SPUBLISH")
        and _CHANNEL_TOPIC.fullmatch(command[1]) is not None
    )


def _commands(data: bytes) -> Iterator[tuple[bytes, list[bytes]]]:
    """Cut what a client wrote in one piece into its commands. A last part of one stays as it is."""
    reader = hiredis.Reader(notEnoughData=_PARTIAL)
    while data:
        length = _length(data)
        raw, data = data[:length], data[length:]
        reader.feed(raw)
        command = reader.gets()
        yield raw, command if isinstance(command, list) else []
        if command is _PARTIAL:
            return


def _length(data: bytes) -> int:
    """The length of the first command in `data`, or of all of it if it is no whole one."""
    head, found, _ = data.partition(b"\r\n")
    if not found or head[:1] != b"*":
        return len(data)
    at = len(head) + 2
    for _ in range(int(head[1:])):
        end = data.find(b"\r\n", at)
        if end < 0:
            return len(data)
        at = end + 2 + int(data[at + 1 : end]) + 2
    return min(at, len(data))
