"""The link over plain ASGI, for servers that know nothing of ready-made frames.

Owns: the frames that the server has not taken yet, bounded by the marks at which the hub stops and
goes on. One task a connection sends them, one event a frame. They are lost with the connection; the
client resumes by its cursor.
"""

import asyncio
from collections import deque

from rtchat import protocol
from rtchat.api.asgi import Send
from rtchat.connection import Listener
from rtchat.tasks import Tasks


class AsgiLink:
    """A `connection.Link` that sends through ASGI's `send`."""

    def __init__(self, send: Send, tasks: Tasks, *, high_bytes: int, low_bytes: int) -> None:
        self.listener: Listener | None = None
        self._send = send
        self._high, self._low = high_bytes, low_bytes
        self._queue: deque[bytes] = deque()
        self._size = 0
        self._taken = 0
        self._paused = False
        self._more = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._pump = tasks.start(self._run())
        self._pump.add_done_callback(self._ended)  # also of one that never began to run

    def write(self, frames: bytes) -> None:
        """Queue whole frames."""
        if self._pump.done():
            return
        self._queue.append(frames)
        self._size += len(frames)
        self._empty.clear()
        self._more.set()
        if self._size > self._high and not self._paused:
            self._paused = True
            if self.listener is not None:
                self.listener.paused()

    def taken(self) -> int:
        """What the server took; of one write nothing, until it has taken the last frame."""
        return self._taken

    def abort(self) -> None:
        """Send nothing more. ASGI has no way to drop the socket; returning from the app ends it."""
        self._pump.cancel()

    async def flush(self) -> None:
        """Return when the server has taken everything that was written."""
        await self._empty.wait()

    async def _run(self) -> None:
        try:
            while True:
                self._more.clear()
                while self._queue:
                    await self._send_frames(self._queue.popleft())
                self._empty.set()
                await self._more.wait()
        except OSError:
            pass  # the client has gone; the reader is told of it too

    def settle(self) -> None:
        """The handshake is the server's."""

    def release(self) -> None:
        """Nothing is to be sent any more."""
        self._pump.cancel()

    def _ended(self, _: asyncio.Task[None]) -> None:
        self._queue.clear()
        self._size = 0
        self._empty.set()
        if self._paused and self.listener is not None:
            self.listener.lost()

    async def _send_frames(self, frames: bytes) -> None:
        for text in protocol.payloads(frames):
            await self._send({"type": "websocket.send", "text": text})
        self._size -= len(frames)
        self._taken += len(frames)
        if self._paused and self._size <= self._low:
            self._paused = False
            if self.listener is not None:
                self.listener.resumed()
