"""Runs the app on uvicorn: one process, one event loop, until a signal.

Owns: uvicorn's settings, and the order of stopping: the app drains first, while its sockets still
stand, then uvicorn closes what is left, then the lifespan ends; what is stuck is cut, so that the
process ends within `shutdown_s` of the signal.
"""

import asyncio
import logging
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import uvicorn

from rtchat.config import Config
from rtchat.server.websocket import FrameProtocol

log = logging.getLogger(__name__)

FLUSH_STEPS = 20
FLUSH_S = 1.0  # for the last frames to leave; a client that does not take them is cut


class App(Protocol):
    """The application, as far as its server knows it."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one ASGI scope."""

    def on_listening(self, port: int) -> None:
        """Learn that connections are accepted."""

    async def drain(self, timeout_s: float) -> None:
        """Finish what was accepted and send everybody away, while the sockets still stand."""


class Server(uvicorn.Server):
    """uvicorn, with the app's drain before the sockets are closed."""

    def __init__(self, config: uvicorn.Config, app: App, drain_s: float) -> None:
        super().__init__(config)
        self._rtchat = app
        self._drain_s = drain_s

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
            self._rtchat.on_listening(self.servers[0].sockets[0].getsockname()[1])

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()  # no new sockets from here on
        await self._rtchat.drain(self._drain_s)
        await self._flush()
        await super().shutdown(sockets)

    async def _flush(self) -> None:
        """Let the last frames leave, then cut whoever does not take them: a close would wait."""
        transports = [c.transport for c in self.server_state.connections]
        for _ in range(FLUSH_STEPS):
            transports = [t for t in transports if t.get_write_buffer_size()]
            if not transports:
                return
            await asyncio.sleep(FLUSH_S / FLUSH_STEPS)
        for transport in transports:
            transport.abort()


def uvicorn_config(app: App, config: Config) -> uvicorn.Config:
    """The settings of uvicorn that rtchat needs, with the reasons where one is needed."""
    return uvicorn.Config(
        app,
        host=config.host,
        port=config.port,
        loop="uvloop",
        http="httptools",
        ws=FrameProtocol.for_config(config),
        lifespan="on",
        ws_max_size=config.frame_max_bytes,
        ws_per_message_deflate=False,  # costs three times the CPU of a frame, and opens zip bombs
        ws_ping_interval=config.heartbeat_s,
        ws_ping_timeout=config.heartbeat_timeout_s,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=max(1, config.shutdown_s // 2),
        backlog=4096,
        access_log=False,  # the app logs its requests; uvicorn's lines would show query strings
        server_header=False,
        proxy_headers=False,
        log_config=None,  # rtchat.logs has set it up
    )


def run(app: App, config: Config) -> None:
    """Serve until SIGINT or SIGTERM. Exits with a message when the start fails."""
    server = Server(uvicorn_config(app, config), app, drain_s=config.shutdown_s / 4)
    with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
        runner.run(server.serve())
