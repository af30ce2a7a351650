"""The link over plain ASGI, for servers that know nothing of ready-made frames.

Owns: the frames that the server has not taken yet, bounded by the marks at which the hub stops and
goes on; and the socket's end, which whoever waits in `receive` is told of. One task a connection
sends the frames, one event a frame. They are lost with the connection; the client resumes by its
cursor. Must never: leave the application waiting for a client that was given up.
"""

import asyncio
from collections import deque

from rtchat import protocol
from rtchat.api.asgi import Event, Receive, Send
from rtchat.connection import Listener
from rtchat.tasks import Tasks


class AsgiLink:
    """A `connection.Link` that sends through ASGI's `send`.

    Once the socket was closed by its `send`, or dropped, its `receiver` says so: ASGI has no way to
    drop a socket but to return from the application, and need not tell it of closes of its own.
    """

    def __init__(self, send: Send, tasks: Tasks, *, high_bytes: int, low_bytes: int) -> None:
        self.listener: Listener | None = None
        self._send = send
        self._over = False
        self._waiting: asyncio.Timeout | None = None  # there while the receiver waits
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

    def waiting(self) -> int:
        """What the server has not taken."""
        return self._size

    def abort(self) -> None:
        """Send nothing more, and let the application return."""
        self._pump.cancel()
        self._end()

    def receiver(self, receive: Receive) -> Receive:
        """`receive`, which tells of the end also where it is ours."""

        async def next_event() -> Event:
            if self._over:
                return _gone()
            waiting = self._waiting = asyncio.timeout(None)
            try:
                async with waiting:
                    return await receive()
            except TimeoutError:
                if not waiting.expired():  # the server's own
                    raise
                return _gone()
            finally:
                self._waiting = None

        return next_event

    async def send(self, event: Event) -> None:
        """Send an event, behind the frames that were flushed."""
        await self._send(event)
        if event["type"] == "websocket.close":
            self._end()

    def _end(self) -> None:
        if not self._over:
            self._over = True
            if self._waiting is not None:
                self._waiting.reschedule(0)

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


def _gone() -> Event:
    return {"type": "websocket.disconnect", "code": 1006}
