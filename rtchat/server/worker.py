"""A worker: one of the processes of `rtchat serve --workers N`, behind the fork.

Owns: the worker's end of the link to its supervisor, and what differs from a server alone: its
listener is given, it tells when it serves, the pre-stop call drains all workers and not only the
one that took it, and when the supervisor is gone it drains and ends. Must never: act on the
terminal's signals, which are for the supervisor. Lost in a crash: this worker's sockets.

The link carries single bytes both ways, a handful in a worker's life, so neither side ever waits.
"""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from rtchat.config import Config
from rtchat.server import run
from rtchat.tasks import Tasks

# A worker says that it serves; that all are to drain (it was asked to); that its sockets are gone.
# The supervisor says: drain; the sockets of all are gone.
SERVES, DRAIN, GONE = b"s", b"d", b"g"
ORPHANED = signal.SIGHUP  # the kernel's word (on Linux) that the supervisor is dead


class Link:
    """The worker's end."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._end = end
        self._asked = False
        self._all_gone = asyncio.Event()

    def open(self, on_drain: Callable[[], None], on_orphaned: Callable[[], None]) -> None:
        """Tell that this worker serves, and listen."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._end, self._read, on_drain, on_orphaned)
        self.say(SERVES)

    def say(self, word: bytes) -> None:
        """Tell the supervisor."""
        with contextlib.suppress(ConnectionError):  # it is gone, and the reader learns of it
            self._end.send(word)

    async def drain_all(self) -> None:
        """Have every worker drained; return when all sockets of all of them are gone."""
        if not self._asked:
            self._asked = True
            self.say(DRAIN)
        await self._all_gone.wait()

    def _read(self, on_drain: Callable[[], None], on_orphaned: Callable[[], None]) -> None:
        try:
            words = self._end.recv(64)
        except ConnectionError:
            words = b""
        if not words:
            asyncio.get_running_loop().remove_reader(self._end)
            on_orphaned()
        if DRAIN in words:
            on_drain()
        if GONE in words:
            self._all_gone.set()


class WorkerServer(run.Server):
    """A server on a given listener that knows its supervisor."""

    def __init__(self, app: run.App, config: Config, end: socket.socket) -> None:
        timeout_ms = config.tcp_user_timeout_ms
        settings = run.uvicorn_config(app, config)
        super().__init__(settings, app, config.shutdown_s, peer_timeout_ms=timeout_ms)
        self._link = Link(end)
        self._tasks = Tasks("worker")

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Know the signal of the supervisor's death: it comes besides the link's end, and must not
        pass for the second one that cuts everything."""
        signal.signal(ORPHANED, lambda *_: self.stop())
        with super().capture_signals():
            yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._rtchat.drain_by(self._link.drain_all)
            self._link.open(self._begin_drain, self.stop)

    def _begin_drain(self) -> None:
        self._tasks.start(self._drain())

    async def _drain(self) -> None:
        await self._rtchat.drain()
        self._link.say(GONE)


def serve(
    app: run.App, config: Config, number: int, listeners: list[socket.socket], end: socket.socket
) -> None:
    """Serve until a signal, or until the supervisor is gone; workers are numbered from 1."""
    if config.internal_port:
        own_port = config.internal_port + number - 1
        config = msgspec.structs.replace(config, internal_port=own_port)
    run.serve(WorkerServer(app, config, end), listeners)
