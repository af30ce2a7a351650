"""A TCP proxy before PostgreSQL that cuts a connection at a chosen moment."""

import asyncio
import contextlib
from typing import Self
from urllib.parse import urlsplit, urlunsplit

CHUNK = 65_536


class Cuttable:
    """`async with` it and connect to `url`. One fault at a time, armed by a method."""

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._server: asyncio.Server | None = None
        self._marker: bytes | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.url = ""
        self.dropped = 0  # how often the armed fault has struck

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        user, _, _ = self._parts.netloc.rpartition("@")
        self.url = urlunsplit(self._parts._replace(netloc=f"{user}@127.0.0.1:{port}"))
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        while self._writers:
            await asyncio.sleep(0.001)

    def drop_reply_to(self, marker: bytes) -> None:
        """Forward the next request with `marker` in it, and cut before its answer comes back."""
        self._marker = marker

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, to_server = await asyncio.open_connection(self._parts.hostname, self._parts.port)
        self._writers |= {writer, to_server}
        cut = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._requests(reader, to_server, cut))
                group.create_task(self._replies(upstream, writer, cut))
        except* (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            for end in (writer, to_server):
                end.transport.abort()
                with contextlib.suppress(ConnectionError):
                    await end.wait_closed()
            self._writers -= {writer, to_server}

    async def _requests(
        self, reader: asyncio.StreamReader, to: asyncio.StreamWriter, cut: asyncio.Event
    ) -> None:
        while data := await reader.read(CHUNK):
            if self._marker is not None and self._marker in data:
                self._marker = None
                cut.set()
            to.write(data)
            await to.drain()
        raise ConnectionResetError  # one side has gone: so goes the other

    async def _replies(
        self, reader: asyncio.StreamReader, to: asyncio.StreamWriter, cut: asyncio.Event
    ) -> None:
        while data := await reader.read(CHUNK):
            if cut.is_set():  # the server has answered, so it is done; nobody hears of it
                self.dropped += 1
                raise ConnectionResetError
            to.write(data)
            await to.drain()
        raise ConnectionResetError
