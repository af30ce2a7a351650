"""Which primary of a Redis Cluster carries a topic: hash slots, and the map of their owners.

Owns: the slot of a hash tag, and reading the answer to CLUSTER SLOTS and the slot of a
refusal. Pure; nothing is kept.
Must never: believe the answer, which comes from the network, further than its form was checked.

CLUSTER SLOTS and not CLUSTER SHARDS: every server since Redis 3 has it, it tells each client the
endpoint and port that are right for its connection (host names if the cluster is set to prefer
them, the TLS port to who came by TLS), and it names a slot's primary first.
"""

import binascii
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from rtchat.bus.address import Address

SLOTS = 16_384


class BadMapError(ValueError):
    """An answer that is no map of slots."""


def slot_of(tag: str) -> int:
    """The slot of all topics with this hash tag. Redis's CRC16 is the one of XMODEM."""
    return binascii.crc_hqx(tag.encode(), 0) % SLOTS


def owners(reply: Any, slots: Sequence[int], asked: Address) -> list[Address | None]:
    """For each of `slots` its primary, None if nobody serves it. Raises BadMapError.

    `reply`: what `asked` answered to CLUSTER SLOTS. A node that does not know its own endpoint, or
    tells none, leaves the host empty; it is then the one that was asked.
    """
    try:
        ranges = sorted(
            (first, last, _host(primary[0]) or asked.host, primary[1])
            for first, last, primary, *_ in reply
        )
    except (TypeError, ValueError, IndexError) as error:
        raise BadMapError(f"not a map of slots: {error!r:.200}") from None
    for first, last, _, port in ranges:
        if not (_is_within(first, 0, SLOTS - 1) and _is_within(last, first, SLOTS - 1)):
            raise BadMapError(f"no range of slots: {first!r:.20} to {last!r:.20}")
        if not _is_within(port, 1, 65_535):
            raise BadMapError(f"no port: {port!r:.20}")
    firsts = [first for first, *_ in ranges]
    found: list[Address | None] = []
    for slot in slots:
        at = bisect_right(firsts, slot) - 1
        served = at >= 0 and slot <= ranges[at][1]
        found.append(asked.at(*ranges[at][2:]) if served else None)
    return found


def slot_told(error: str) -> int | None:
    """The slot that an error is about, if it says so: `MOVED 3999 127.0.0.1:6381`."""
    kind, _, rest = error.partition(" ")
    slot = rest.partition(" ")[0]
    is_told = kind in ("MOVED", "ASK") and slot.isascii() and slot.isdecimal()
    return int(slot[:6]) if is_told else None


def _host(told: Any) -> str:
    if told is None:
        return ""
    if not isinstance(told, bytes):
        raise TypeError("a host is text")
    host = told.decode()
    return "" if host == "?" else host


def _is_within(number: Any, least: int, most: int) -> bool:
    return type(number) is int and least <= number <= most
