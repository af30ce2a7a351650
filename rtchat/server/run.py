"""Runs the app on uvicorn: one process, one event loop, until a signal.

Owns: uvicorn's settings, and the order of stopping: the app drains first, while it still listens;
then nobody new is let in, accepted writes and requests are answered, uvicorn closes what is left,
and the lifespan ends. What is stuck is cut, so that the process ends within `shutdown_s` of the
signal; a second signal cuts everything.
"""

import asyncio
import logging
import math
import os
import signal
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Protocol

import uvicorn

from rtchat.config import Config
from rtchat.errors import StartError
from rtchat.reached import Reached
from rtchat.server.garbage import Garbage
from rtchat.server.http import HttpProtocol
from rtchat.server.limits import Capacity, fitting, raise_files_limit, set_peer_timeout
from rtchat.server.listeners import bind_for
from rtchat.server.websocket import FrameProtocol

log = logging.getLogger(__name__)

# Bounds of the steps after the drain; mostly each takes milliseconds. Accepted writes have what the
# others leave of `shutdown_s`: 1.5 s and more, as config.STOP_RESERVE_S has it.
FAREWELL_S = 1.0  # for clients to take their close and answer it; then they are cut
REQUESTS_S = 1.5  # for requests under way to be answered; then they are cut
REQUESTS_MAX_S = 5.0  # the same where there is time
PARTS_S = 1.0  # for the parts to be closed
POLL_S = 0.02


class App(Protocol):
    """The application, as far as its server knows it."""

    reached: Reached  # where the server counts too

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one ASGI scope."""

    def on_listening(self, port: int) -> None:
        """Learn that connections are accepted."""

    async def drain(self) -> None:
        """Send every socket away; bounded by itself."""

    def drain_by(self, everywhere: Callable[[], Awaitable[None]]) -> None:
        """Let the pre-stop call do this instead: it is for all workers, whichever takes it."""

    def hurry(self) -> None:
        """Send away at once whoever is still there."""

    async def settle(self, timeout_s: float) -> None:
        """Take no more writes, and answer those that were accepted."""


class Server(uvicorn.Server):
    """uvicorn, with the app's drain before the sockets are closed."""

    def __init__(
        self, config: uvicorn.Config, app: App, shutdown_s: float, *, peer_timeout_ms: int = 0
    ) -> None:
        super().__init__(config)
        self._peer_timeout_ms = peer_timeout_ms
        self._rtchat = app
        self._shutdown_s = shutdown_s
        self._asked_at: float | None = None  # when the end was asked for, by time.monotonic
        self._loop: asyncio.AbstractEventLoop | None = None  # there once it stops
        self._limit: asyncio.Timeout | None = None  # of stopping; a second signal ends it
        self._garbage = Garbage()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Let SIGINT and SIGTERM stop the server, and do no more than that.

        uvicorn raises the signal again after a clean stop, which ends the process with 143 before
        whoever called it (rtchat dev: with a database to stop) can do its part.
        """
        before = {s: signal.signal(s, self.handle_exit) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            listeners = [each for server in self.servers for each in server.sockets]
            if not all(listeners):  # another server had bound it too, and was the first to listen
                await self.lifespan.shutdown()
                raise StartError("cannot listen: another server has just begun to, on this port")
            for listener in listeners:
                set_peer_timeout(listener, self._peer_timeout_ms)
            self._garbage.start(time.monotonic())
            self._rtchat.on_listening(self.servers[0].sockets[0].getsockname()[1])

    async def on_tick(self, counter: int) -> bool:
        """uvicorn calls it ten times a second."""
        self._garbage.tick(time.monotonic())
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; at a second signal, of either kind, stop at once."""
        if not self.should_exit:
            self.stop()
            return
        self.force_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._expire)

    def stop(self) -> None:
        """Begin to stop, if that has not begun."""
        if not self.should_exit:
            self._asked_at = time.monotonic()
            self.should_exit = True

    def left_s(self) -> float:
        """What is left of `shutdown_s`."""
        if self._asked_at is None:
            self._asked_at = time.monotonic()
        return self._asked_at + self._shutdown_s - time.monotonic()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(0 if self.force_exit else self.left_s() - PARTS_S) as limit:
                self._limit = limit
                await self._stop(sockets)
        except TimeoutError:
            log.warning("stopping is cut short", extra={"left_s": round(self.left_s(), 1)})
            self.force_exit = True
            self._rtchat.hurry()
            await asyncio.sleep(0)  # the closes leave in this turn
            await super().shutdown(sockets)
        finally:
            self._limit = None
            self._garbage.stop()

    def _expire(self) -> None:
        if self._limit is not None and not self._limit.expired():  # it may have ended since
            self._limit.reschedule(0)

    async def _stop(self, sockets: list[socket.socket] | None) -> None:
        await self._rtchat.drain()
        for server in self.servers:
            server.close()  # no new sockets from here on
        await self._rtchat.settle(self.left_s() - FAREWELL_S - REQUESTS_S - PARTS_S)
        await self._farewell()
        requests_s = min(REQUESTS_MAX_S, self.left_s() - PARTS_S)
        self.config.timeout_graceful_shutdown = max(1, math.ceil(requests_s))
        cut = asyncio.get_running_loop().call_later(requests_s - 0.3, self._cut_connections)
        try:
            await super().shutdown(sockets)
        finally:
            cut.cancel()

    async def _farewell(self) -> None:
        """Wait until clients have answered their close: ending before it may destroy it (a reset).

        Who does not take it is cut: a close would wait for that.
        """
        until = time.monotonic() + FAREWELL_S
        while sockets := [c for c in self._connections() if isinstance(c, FrameProtocol)]:
            if time.monotonic() > until:
                for connection in sockets:
                    connection.transport.abort()
                await asyncio.sleep(0)  # they are told of it, and gone, a turn later
                return
            await asyncio.sleep(POLL_S)

    def _cut_connections(self) -> None:
        for connection in self._connections():
            connection.transport.abort()

    def _connections(self) -> list[Any]:
        return list(self.server_state.connections)


def uvicorn_config(app: App, config: Config) -> uvicorn.Config:
    """The settings of uvicorn that rtchat needs, with the reasons where one is needed."""
    connections_max = fitting(config, raise_files_limit())
    capacity = Capacity(connections_max, config.connections_per_address)
    app.reached.connections_max = connections_max
    return uvicorn.Config(
        app,
        host=config.host,
        port=config.port,
        loop="uvloop",
        http=HttpProtocol.for_config(config, capacity, app.reached),
        ws=FrameProtocol.for_config(config, capacity, app.reached),
        lifespan="on",
        ws_max_size=config.frame_max_bytes,
        ws_per_message_deflate=False,  # costs three times the CPU of a frame, and opens zip bombs
        ws_ping_interval=config.heartbeat_s,
        ws_ping_timeout=config.heartbeat_timeout_s,
        timeout_keep_alive=config.keep_alive_s,
        timeout_graceful_shutdown=max(1, config.shutdown_s // 2),
        backlog=4096,
        access_log=False,  # the app logs its requests; uvicorn's lines would show query strings
        server_header=False,
        proxy_headers=False,
        log_config=None,  # rtchat.logs has set it up
    )


def run(app: App, config: Config) -> None:
    """Serve until SIGINT or SIGTERM. Raises StartError where a port cannot be had."""
    timeout_ms = config.tcp_user_timeout_ms
    settings = uvicorn_config(app, config)
    server = Server(settings, app, config.shutdown_s, peer_timeout_ms=timeout_ms)
    serve(server, bind_for(config)[0])


def serve(server: Server, listeners: list[socket.socket] | None = None) -> None:
    """Run a server to its end: on its configured address, or on what listens already."""
    watchdog: threading.Timer | None = None
    try:
        with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
            try:
                runner.run(server.serve(listeners))
            finally:
                # What is left is cancelled now; where a task resists that, the process still ends.
                watchdog = threading.Timer(max(PARTS_S, server.left_s()), os._exit, (1,))
                watchdog.daemon = True
                watchdog.start()
    finally:
        if watchdog is not None:
            watchdog.cancel()
