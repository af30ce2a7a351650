"""A TCP proxy whose connections can be made to hang, break and talk nonsense."""

import asyncio
import contextlib
import ssl
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

from tests.bus.bus_pod import until


class Pipe:
    """One connection through the proxy."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.client = client
        self.server = server
        self.begins_with = b""  # what the client sent first: its greeting, which has its name
        self.hangs = False
        self.is_deaf = False

    async def forward_requests(self, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(65536):
            self.begins_with = self.begins_with or data
            if not self.hangs and not self.is_deaf:
                self.server.write(data)
                await self.server.drain()

    async def forward_replies(self, reader: asyncio.StreamReader, pace: "Pace") -> None:
        while data := await reader.read(pace.read_bytes):
            await asyncio.sleep(pace.pause_s)
            if not self.hangs:
                self.client.write(data)
                await self.client.drain()

    def abort(self) -> None:
        self.client.transport.abort()
        self.server.transport.abort()


@dataclass
class Pace:
    """How replies go through: so many bytes at once, after such a pause."""

    read_bytes: int = 65536
    pause_s: float = 0


class Proxy:
    """Stands before the server at `url`; `async with` it, and connect to `self.url`."""

    def __init__(self, url: str, tls: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(url)
        self._target = parts.hostname, parts.port
        self._tls = tls
        self._server: asyncio.Server | None = None
        self.pipes: list[Pipe] = []
        self.refuses = False  # new connections
        self.pace = Pace()
        self.answers = b""  # to a new connection, in place of the server, before it is closed
        self.url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"{'rediss' if self._tls else 'redis'}://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await until(self._is_empty)

    def _is_empty(self) -> bool:
        self.cut()  # again and again: who just came was not there the first time
        return not self.pipes

    def of(self, name: bytes) -> list[Pipe]:
        """The connections whose client gave itself a name that ends so."""
        return [pipe for pipe in self.pipes if name + b"\r\n" in pipe.begins_with]

    def hang(self, name: bytes) -> None:
        """Let these connections stay open and carry nothing more; new ones work."""
        for pipe in self.of(name):
            pipe.hangs = True

    def turn_deaf(self, name: bytes) -> None:
        """Let these connections carry replies and no more requests; new ones work."""
        for pipe in self.of(name):
            pipe.is_deaf = True

    def inject(self, name: bytes, data: bytes) -> None:
        """Say `data` to these clients, in between whatever the server says."""
        for pipe in self.of(name):
            pipe.client.write(data)

    def cut(self, name: bytes = b"") -> None:
        """Break these connections, or all."""
        for pipe in self.of(name) if name else self.pipes:
            pipe.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self.answers:
                await reader.read(65536)
                writer.write(self.answers)
                writer.close()
                return
            if self.refuses:
                raise ConnectionRefusedError
            server_reader, server_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        pipe = Pipe(writer, server_writer)
        self.pipes.append(pipe)
        try:
            with contextlib.suppress(OSError, ExceptionGroup):
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._until_end(pipe, pipe.forward_requests(reader)))
                    group.create_task(
                        self._until_end(pipe, pipe.forward_replies(server_reader, self.pace))
                    )
        finally:
            pipe.abort()
            self.pipes.remove(pipe)

    async def _until_end(self, pipe: Pipe, forward: Coroutine[Any, Any, None]) -> None:
        with contextlib.suppress(OSError):
            await forward
        pipe.client.close()
        pipe.server.close()
