"""What the kernel does and knows for a socket, where asyncio has no words for it."""

import socket
import struct
import sys
from asyncio.transports import BaseTransport
from typing import NamedTuple, cast

# What the kernel may hold unsent, so that our own buffer shows how far a client lags (without it
# the kernel hid 3.9 MB). Linux and macOS; a Unix socket has no such option.
LINUX = sys.platform == "linux"
_NOTSENT_LOWAT: int | None = getattr(socket, "TCP_NOTSENT_LOWAT", 25 if LINUX else None)
NOTSENT_BYTES = 65_536
_TCP_INFO_BYTES = 232  # as far as tcpi_snd_wnd; tcpi_bytes_acked is at 120
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER


class Told(NamedTuple):
    """What the kernel knows of a client."""

    taken: int  # bytes that it has acknowledged, all in all
    shut: bool  # whether its window is closed: it has no room for another byte


def told(transport: BaseTransport) -> Told | None:
    """Linux's TCP_INFO; None where there is none."""
    raw = socket_of(transport)
    if not LINUX or raw is None or raw.fileno() < 0:
        return None
    info = raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    if len(info) < _TCP_INFO_BYTES:  # before Linux 5.4
        return None
    (taken,), (window,) = struct.unpack_from("Q", info, 120), struct.unpack_from("I", info, 228)
    return Told(taken, window == 0)


def socket_of(transport: BaseTransport) -> socket.socket | None:
    """The socket, if it is one of TCP."""
    raw = cast(socket.socket | None, transport.get_extra_info("socket"))
    return raw if raw is not None and raw.family in (socket.AF_INET, socket.AF_INET6) else None


def prepare(transport: BaseTransport) -> None:
    """Let our own buffer show how far a client lags, and the kernel cut nobody for that.

    Pings and the sweep find out who is gone or stuck. The kernel cannot tell: to it a window counts
    as closed while it has no room for what lies first in the queue, often more than a slow reader
    ever offers; one that took 3 KB a second was cut.
    """
    raw = socket_of(transport)
    if raw is not None and _NOTSENT_LOWAT is not None:
        raw.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, NOTSENT_BYTES)
    if raw is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 0)


def forget(transport: BaseTransport) -> None:
    """Let the kernel, too, let go of what it holds when the socket is closed."""
    raw = socket_of(transport)
    if raw is not None and raw.fileno() >= 0:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
