"""A door before a server: shut, silent, or with somebody there who says "not yet"; then open."""

import asyncio
import contextlib
import struct
from enum import Enum
from typing import Self
from urllib.parse import urlsplit, urlunsplit

from rtchat.server.launch import free_port
from rtchat.tasks import Tasks

CHUNK = 65_536
SSL_REQUEST = 80_877_103  # "PostgreSQL: Message Formats": how a client asks for TLS
_FIELDS = (b"SFATAL", b"VFATAL", b"C57P03", b"Mthe database system is starting up", b"")
_TEXT = b"\0".join((*_FIELDS, b""))
STARTING_UP = b"E" + struct.pack("!I", len(_TEXT) + 4) + _TEXT


class State(Enum):
    """What a client meets."""

    SHUT = "connection refused"
    SILENT = "connected, and no answer"
    STARTING = "the database system is starting up"
    OPEN = "open"


class Gate:
    """`async with` it, and connect to `url`, which stays the same."""

    def __init__(self, url: str, state: State = State.SHUT) -> None:
        self._parts = urlsplit(url)
        self._port = free_port()
        self._state = state
        self.met = 0  # connections that were opened
        self._server: asyncio.Server | None = None
        self._tasks = Tasks("gate")
        user, at, _ = self._parts.netloc.rpartition("@")
        self.url = urlunsplit(self._parts._replace(netloc=f"{user}{at}127.0.0.1:{self._port}"))

    async def __aenter__(self) -> Self:
        await self.turn(self._state)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.turn(State.SHUT)

    async def turn(self, state: State) -> None:
        """Change what clients meet; whoever is inside is thrown out."""
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._tasks.close()
        self._state = state
        if state is not State.SHUT:
            self._server = await asyncio.start_server(self._meet, "127.0.0.1", self._port)

    def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.met += 1
        self._tasks.start(self._serve(reader, writer))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, ExceptionGroup):
                if self._state is State.SILENT:
                    await reader.read()
                elif self._state is State.STARTING:
                    await self._refuse(reader, writer)
                else:
                    await self._forward(reader, writer)
        finally:
            writer.transport.abort()

    async def _refuse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size, code = struct.unpack("!II", await reader.readexactly(8))
        if code == SSL_REQUEST:
            writer.write(b"N")
            size, code = struct.unpack("!II", await reader.readexactly(8))
        await reader.readexactly(size - 8)
        writer.write(STARTING_UP)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, to = await asyncio.open_connection(self._parts.hostname, self._parts.port)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_pump(reader, to))
                group.create_task(_pump(upstream, writer))
        finally:
            to.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()
    raise ConnectionResetError  # one side has gone: so goes the other
