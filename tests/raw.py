"""A client without manners: bytes on a socket, read when a test says so, or never.

For what a well-behaved library would not do: half a request, frames without an end, not reading.
"""

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import AsyncIterator
from pathlib import Path

from tests.people import Person
from tests.pods import Pod

PATIENCE_S = 20.0  # what is expected comes much sooner, also on busy cores
TEXT, BINARY, CONT, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True) -> bytes:
    """A client's frame, its mask all zeros."""
    first = opcode | 0x80 * fin
    if len(payload) < 126:
        return struct.pack("!BB4x", first, 0x80 | len(payload)) + payload
    return struct.pack("!BBH4x", first, 0xFE, len(payload)) + payload


def handshake(person: Person | None = None, *extra: str, path: str = "/ws") -> bytes:
    """A WebSocket's request."""
    lines = [
        f"GET {path} HTTP/1.1", "Host: x", "Upgrade: websocket", "Connection: Upgrade",
        "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", *extra,
    ]  # fmt: skip
    if person is not None:
        lines.append(f"Authorization: Bearer {person.token}")
    return "\r\n".join([*lines, "", ""]).encode()


class Raw:
    """One connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sent = 0
        self.received = bytearray()
        self._loop = asyncio.get_running_loop()

    @property
    def port(self) -> int:
        """Its own end's."""
        port: int = self.sock.getsockname()[1]
        return port

    async def send(self, data: bytes) -> None:
        """Send all of it, however long that takes."""
        async with asyncio.timeout(PATIENCE_S):
            await self._loop.sock_sendall(self.sock, data)
        self.sent += len(data)

    async def flood(self, data: bytes, *, upto_bytes: int, for_s: float = 5.0) -> bool:
        """Send it again and again; tells whether the server put an end to that."""
        try:
            async with asyncio.timeout(for_s):
                while self.sent < upto_bytes:
                    await self._loop.sock_sendall(self.sock, data)
                    self.sent += len(data)
        except TimeoutError:
            return False
        except OSError:
            return True
        return False

    async def recv(self, count: int = 65_536) -> bytes:
        """What is there, at most `count` bytes; nothing at the end, whichever way it came."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                data = await self._loop.sock_recv(self.sock, count)
            except OSError:
                return b""
        self.received += data
        return data

    async def until(self, what: bytes) -> bytes:
        """Read until this has come; returns everything so far."""
        while what not in self.received:
            assert await self.recv(), f"ended before {what!r}: {bytes(self.received[-500:])!r}"
        return bytes(self.received)

    async def rest(self) -> bytes:
        """Read to the end; returns everything that ever came."""
        while await self.recv():
            pass
        return bytes(self.received)

    async def upgrade(self, person: Person | None = None) -> "Raw":
        """Become a WebSocket, and with a person past `hello`."""
        await self.send(handshake(person))
        await self.until(b'"hello"' if person is not None else b"\r\n\r\n")
        assert self.received.startswith(b"HTTP/1.1 101"), self.received
        self.received.clear()
        return self

    def close_code(self) -> int | None:
        """The code of a close frame at the end of what came."""
        at = self.received.rfind(b"\x88")
        return None if at < 0 else int.from_bytes(self.received[at + 2 : at + 4])


@contextlib.asynccontextmanager
async def raw(
    port: int, *, rcvbuf: int | None = None, address: str = "127.0.0.1"
) -> AsyncIterator[Raw]:
    """Connect, from `address`, with a receive buffer of about so many bytes."""
    with socket.socket() as sock:
        if rcvbuf is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        sock.bind((address, 0))
        sock.setblocking(False)
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        yield Raw(sock)


def rss_mb(pod: Pod) -> float:
    """What a pod has in memory; `peak_mb` counts from here on. Linux only."""
    Path(f"/proc/{pod.pid}/clear_refs").write_text("5")
    return memory_mb(pod)


def peak_mb(pod: Pod) -> float:
    """The most that a pod had in memory since `rss_mb` was asked. Linux only."""
    return memory_mb(pod, "VmHWM")


def memory_mb(pod: Pod, what: str = "VmRSS") -> float:
    """What a pod has in memory now. Linux only."""
    for line in Path(f"/proc/{pod.pid}/status").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) / 1024
    raise AssertionError(f"no {what}")


def open_files(pod: Pod) -> int:
    """How many descriptors a pod has. Linux only."""
    return len(list(Path(f"/proc/{pod.pid}/fd").iterdir()))


async def eventually(condition: object, within_s: float = PATIENCE_S) -> float:
    """Wait until `condition()` holds; returns how long that took."""
    assert callable(condition)
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < within_s, "not in time"
        await asyncio.sleep(0.05)
    return time.monotonic() - began
