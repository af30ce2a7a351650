"""uvicorn's WebSocket protocol, with a link for ready-made frames.

Owns: what is between the hub and the transport: the marks at which a socket counts as paused, and
the guard that nothing is written after a close. uvicorn writes each message as one whole frame and
never fragments, so a ready-made frame can only fall between two others; an uncompressed frame is
legal whatever was negotiated (RFC 7692 §6).

The attributes used here are uvicorn's own; pyproject.toml therefore allows one minor of it at a
time, and tests/server/test_websocket.py is what a new one must pass.
"""

import socket
from asyncio.transports import BaseTransport
from collections.abc import Callable
from typing import Any, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from rtchat.config import Config
from rtchat.connection import LINK_EXTENSION

# What the kernel may hold unsent, so that our own buffer shows how far a client lags (without it
# the kernel hid 3.9 MB). Linux and macOS; a Unix socket has no such option.
_NOTSENT_LOWAT = getattr(socket, "TCP_NOTSENT_LOWAT", 25)
NOTSENT_BYTES = 65_536


def _ignore() -> None:
    """Nobody listens yet."""


class ServerLink:
    """A `connection.Link` that writes frames to the transport as they are."""

    __slots__ = ("_protocol", "on_pause", "on_resume")

    def __init__(self, protocol: "FrameProtocol") -> None:
        self._protocol = protocol
        self.on_pause: Callable[[], None] = _ignore
        self.on_resume: Callable[[], None] = _ignore

    def write(self, frames: bytes) -> None:
        """Send whole frames; nothing after a close."""
        protocol = self._protocol
        if not (protocol.close_sent or protocol.disconnected or protocol.transport.is_closing()):
            protocol.transport.write(frames)

    def abort(self) -> None:
        """Drop the socket and what it did not take; `close` would wait for that for ever."""
        self._protocol.transport.abort()

    async def flush(self) -> None:
        """Nothing to wait for: the transport keeps the order."""

    def release(self) -> None:
        """Nothing to let go of: the link goes with its protocol."""


class FrameProtocol(WebSocketsSansIOProtocol):
    """One WebSocket. `for_config` makes the class that uvicorn is given."""

    high_bytes = 262_144
    low_bytes = 65_536

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.link = ServerLink(self)

    @classmethod
    def for_config(cls, config: Config) -> "type[FrameProtocol]":
        """Make the class with the marks of `config`."""
        marks = {"high_bytes": config.write_high_bytes, "low_bytes": config.write_low_bytes}
        return type("FrameProtocol", (cls,), marks)

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.set_write_buffer_limits(high=self.high_bytes, low=self.low_bytes)
        raw = cast(socket.socket | None, transport.get_extra_info("socket"))
        if raw is not None and raw.family in (socket.AF_INET, socket.AF_INET6):
            raw.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, NOTSENT_BYTES)

    def pause_writing(self) -> None:
        super().pause_writing()
        self.link.on_pause()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.link.on_resume()

    async def run_asgi(self) -> None:
        extensions = cast(dict[str, Any], self.scope["extensions"])
        extensions[LINK_EXTENSION] = {"version": 1, "link": self.link}
        await super().run_asgi()
