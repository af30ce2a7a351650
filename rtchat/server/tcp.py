"""What the kernel knows of a client: how much it has taken, and whether it has room.

Owns: reading Linux's TCP_INFO. Elsewhere, and on other sockets than TCP's, nothing is known.
"""

import socket
import struct
import sys
from asyncio.transports import BaseTransport
from typing import NamedTuple, cast

LINUX = sys.platform == "linux"
_INFO_BYTES = 232  # as far as tcpi_snd_wnd; tcpi_bytes_acked is at 120


class Told(NamedTuple):
    """What it says of one client."""

    taken: int  # bytes that it has acknowledged, all in all
    shut: bool  # whether its window is closed: it has no room for another byte


def told(transport: BaseTransport) -> Told | None:
    """Ask it; None where it does not say."""
    raw = socket_of(transport)
    if not LINUX or raw is None or raw.fileno() < 0:
        return None
    info = raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
    if len(info) < _INFO_BYTES:  # before Linux 5.4
        return None
    (taken,), (window,) = struct.unpack_from("Q", info, 120), struct.unpack_from("I", info, 228)
    return Told(taken, window == 0)


def socket_of(transport: BaseTransport) -> socket.socket | None:
    """Its TCP socket, if it is one."""
    raw = cast(socket.socket | None, transport.get_extra_info("socket"))
    return raw if raw is not None and raw.family in (socket.AF_INET, socket.AF_INET6) else None
