"""What a pooler in transaction mode does to a session: it forgets everything between transactions.

A proxy before PostgreSQL that runs DISCARD ALL before each transaction, on a session that is
otherwise its client's: settings, prepared statements, advisory locks and temporary tables of the
one before are gone. (Which of several sessions one gets, as from a pooler, matters no more then.)
"""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Self
from urllib.parse import urlsplit

CHUNK = 65_536
READY = ord("Z")
IDLE = b"I"  # ReadyForQuery's status outside of a transaction
_DISCARD = b"DISCARD ALL\0"
FORGET = b"Q" + (4 + len(_DISCARD)).to_bytes(4) + _DISCARD


class Pooler:
    """`async with` it and connect to `url`."""

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.url = ""
        self.forgotten = 0  # how often a session was reset

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        user = self._parts.netloc.rpartition("@")[0]
        netloc = f"{user}@127.0.0.1:{port}"
        self.url = self._parts._replace(netloc=netloc, query="sslmode=disable").geturl()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        while self._writers:
            await asyncio.sleep(0.001)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, to_server = await asyncio.open_connection(self._parts.hostname, self._parts.port)
        self._writers |= {writer, to_server}
        session = _Session(self, writer, to_server)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(session.requests(reader))
                group.create_task(session.replies(upstream))
        except* (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            for end in (writer, to_server):
                end.transport.abort()
                with contextlib.suppress(ConnectionError):
                    await end.wait_closed()
            self._writers -= {writer, to_server}


class _Session:
    """One client's session."""

    def __init__(
        self, pooler: Pooler, client: asyncio.StreamWriter, server: asyncio.StreamWriter
    ) -> None:
        self._pooler = pooler
        self._client = client
        self._server = server
        self._idle = False  # outside of a transaction, with nothing under way
        self._forgetting: asyncio.Future[None] | None = None
        self._buffer = b""

    async def requests(self, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(CHUNK):
            if self._idle:
                self._idle = False
                self._pooler.forgotten += 1
                self._forgetting = asyncio.get_running_loop().create_future()
                self._server.write(FORGET)
                await self._forgetting
                self._forgetting = None
            self._server.write(data)
            await self._server.drain()
        raise ConnectionResetError  # one side has gone: so goes the other

    async def replies(self, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(CHUNK):
            self._buffer += data
            passed = b"".join(self._messages())
            if passed:
                self._client.write(passed)
                await self._client.drain()
        raise ConnectionResetError

    def _messages(self) -> Iterator[bytes]:
        """The whole messages that have come, less the answer to what the client did not ask."""
        while len(self._buffer) >= 5:
            length = 1 + int.from_bytes(self._buffer[1:5])
            if len(self._buffer) < length:
                return
            message, self._buffer = self._buffer[:length], self._buffer[length:]
            ready = message[0] == READY
            if self._forgetting is not None and not self._forgetting.done():
                if ready:
                    self._forgetting.set_result(None)
                continue
            if ready:
                self._idle = message[5:6] == IDLE
            yield message
