"""Bad frames, and good ones that are seldom (RFC 6455): what each is answered, on a real pod.

The names begin with the row of the list of bad inputs that they stand for. What takes many frames
is in `tests/faults/test_server_limits.py`.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator

import pytest

from tests.calm import calm as still_calm
from tests.people import People, Person
from tests.pods import Pod, Pods
from tests.raw import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    PONG,
    TEXT,
    eventually,
    frame,
    handshake,
    raw,
)
from tests.sockets import wire

pytestmark = pytest.mark.usefixtures("calm")

LIMIT = 65_536  # of a message
RSV1 = 0x40
ASK = b'{"t":"ping","ref":"answered"}'
ANSWER = b'{"t":"pong","ref":"answered"}'


@pytest.fixture(scope="module")
async def ann(people: People) -> Person:
    return await people.new("ann")


def flagged(data: bytes, flag: int) -> bytes:
    """The same frame with another bit in its first byte."""
    return bytes([data[0] | flag]) + data[1:]


def announced(size: int, begin: bytes = b"") -> bytes:
    """The header of a frame that long, in 8 bytes, and the beginning of what it announces."""
    return struct.pack("!BBQ4x", 0x80 | TEXT, 0xFF, size) + begin


def closing(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, struct.pack("!H", code) + reason)


CLOSED = {
    "W1 unmasked text": (b"\x81\x0c" + b'{"t":"ping"}', 1002),
    "W1 unmasked pong": (b"\x8a\x00", 1002),
    "W2 RSV1": (flagged(frame(TEXT, ASK), RSV1), 1002),
    "W2 RSV2": (flagged(frame(TEXT, ASK), 0x20), 1002),
    "W2 RSV3 on a pong": (flagged(frame(PONG), 0x10), 1002),
    "W3 opcode 3": (frame(3, ASK), 1002),
    "W3 opcode 11": (frame(11), 1002),
    "W4 text with 0xFF": (frame(TEXT, b'{"t":"\xff"}'), 1007),
    "W4 0xFF in a fragment": (frame(TEXT, b"{", fin=False) + frame(CONT, b"\xff}"), 1007),
    "W4 text that ends in a character": (frame(TEXT, "é".encode()[:1]), 1007),
    "W5 surrogate in UTF-8": (frame(TEXT, b'{"t":"\xed\xa0\x80"}'), 1007),
    "W6 continuation of nothing": (frame(CONT, ASK), 1002),
    "W7 text inside a message": (frame(TEXT, b"{", fin=False) + frame(TEXT, ASK), 1002),
    "W7 binary inside a message": (frame(TEXT, b"{", fin=False) + frame(BINARY), 1002),
    "W8 ping of 126 bytes": (frame(PING, b"x" * 126), 1002),
    "W8 pong of 126 bytes": (frame(PONG, b"x" * 126), 1002),
    "W9 fragmented ping": (frame(PING, b"x", fin=False), 1002),
    "W9 fragmented pong": (frame(PONG, fin=False), 1002),
    "W10 close with one byte": (frame(CLOSE, b"\x03"), 1002),
    "W11 close 1005": (closing(1005), 1002),
    "W11 close 999": (closing(999), 1002),
    "W12 close with bad UTF-8": (closing(1000, b"\xff"), 1007),
    "W13 close 4999": (closing(4999), 4999),
    "W13 close 1000": (closing(1000, "wiedersehen ö".encode()), 1000),
    "W14 a frame over the limit": (frame(TEXT)[:1] + announced(LIMIT + 1, b"x" * 999)[1:], 1009),
    "W15 fragments over the limit": (
        frame(TEXT, b"x" * 40_000, fin=False) + frame(CONT, b"x" * 40_000),
        1009,
    ),
    "W16 length 2^62": (announced(2**62, b"x" * 999), 1009),
    "W16 length 2^63": (announced(2**63, b"x" * 999), 1009),
    "W25 HTTP behind the upgrade": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 1002),
    "W54 UTF-16 with its mark": (frame(TEXT, ASK.decode().encode("utf-16")), 1007),
}


@pytest.mark.parametrize("name", CLOSED)
async def test_what_is_no_frame_closes_with_its_code(pod: Pod, ann: Person, name: str) -> None:
    """The code can be read, then the connection ends; nobody else notices."""
    data, code = CLOSED[name]
    async with raw(pod.port) as client:
        await client.upgrade(ann)
        await client.send(data)
        await client.rest()
        assert client.close_code() == code


async def test_w13_an_empty_close_is_answered_by_one(pod: Pod, ann: Person) -> None:
    """RFC 6455 §5.5.1: without a code."""
    async with raw(pod.port) as client:
        await client.upgrade(ann)
        await client.send(frame(CLOSE))
        assert (await client.rest()).endswith(b"\x88\x00")


def split(text: bytes, at: int) -> bytes:
    return frame(TEXT, text[:at], fin=False) + frame(CONT, text[at:])


WIDE = '{"t":"ping","ref":"answered","x":"日本"}'.encode()
TAKEN = {
    "W14 a frame at the limit": frame(TEXT, ASK.ljust(LIMIT - 1)),
    "W15 fragments at the limit": split(ASK.ljust(LIMIT), 40_000),
    "W17 a length in more bytes than it needs": announced(len(ASK), ASK),
    "W20 a pong that nobody asked for": frame(PONG, b"x") + frame(TEXT, ASK),
    "W22 a character in two fragments": split(WIDE, WIDE.index("日".encode()) + 1),
}


@pytest.mark.parametrize("name", TAKEN)
async def test_what_is_unusual_and_allowed_is_answered(pod: Pod, ann: Person, name: str) -> None:
    """A message may be as long as the limit, and come in pieces that fall anywhere."""
    async with raw(pod.port) as client:
        await client.upgrade(ann)
        await client.send(TAKEN[name])
        await client.until(ANSWER)


OFFERS = [
    "permessage-deflate",
    "permessage-deflate; client_max_window_bits",
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
    "x-webkit-deflate-frame",
    "permessage-deflate, permessage-bzip2",
]


@pytest.mark.parametrize("offer", OFFERS, ids=[f"W21 {offer}" for offer in OFFERS])
async def test_no_compression_is_agreed_on(pod: Pod, ann: Person, offer: str) -> None:
    """So a bomb has nothing to blow it up: what is compressed all the same is no frame (1002)."""
    async with raw(pod.port) as client:
        await client.send(handshake(ann, f"Sec-WebSocket-Extensions: {offer}"))
        head, _, _ = (await client.until(b'"hello"')).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101")
        assert b"sec-websocket-extensions" not in head.lower()
        await client.send(flagged(frame(TEXT, b"\xaa\x56" * 20), RSV1))
        await client.rest()
        assert client.close_code() == 1002


ENDS = {
    "W26 RST in mid-frame": (announced(1000, b"{"), True),
    "W26 FIN in mid-frame": (announced(1000, b"{"), False),
    "W26 FIN between frames": (b"", False),
    "W26 FIN in a fragmented message": (frame(TEXT, b"{", fin=False), False),
    "W26 RST behind a command": (frame(TEXT, ASK), True),
}


@pytest.mark.parametrize("name", ENDS)
async def test_who_breaks_off_is_forgotten(pod: Pod, ann: Person, name: str) -> None:
    """Thirty of each: however it ends, the pod knows at once that it did."""
    begin, reset = ENDS[name]
    gone = len(pod.events("disconnected"))
    for _ in range(30):
        async with raw(pod.port) as client:
            await client.upgrade(ann)
            await client.send(begin)
            if reset:  # SO_LINGER of 0 s: closing sends RST
                client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await eventually(lambda: len(pod.events("disconnected")) >= gone + 30)


async def test_w77_ten_thousand_sends_whose_answers_nobody_reads(
    pod: Pod, ann: Person, people: People
) -> None:
    """They end the sender's socket (4008, where it could be told) and fill no memory."""
    send = frame(TEXT, b'{"t":"send","ch":1,"content":"%b"}' % (b"x" * 100))
    async with raw(pod.port, rcvbuf=4096) as client:
        await client.upgrade(ann)
        ended = await client.flood(send * 100, upto_bytes=10_000 * len(send))
        await client.rest()
        assert ended or client.close_code() == 4008
    async with wire(pod.ws_url, await people.new("bob")) as other:
        await other.alive()


# --- what takes a server's patience


@pytest.fixture(scope="module")
async def impatient(pods: Pods, pod: Pod) -> AsyncIterator[Pod]:
    """A pod that pings every second."""
    other = await pods.start(pod.database_url, heartbeat_s=1, heartbeat_timeout_s=1)
    async with still_calm(other):
        yield other
    other.kill()


@pytest.mark.parametrize("every_s", [None, 0.1], ids=["W23 silence", "W24 byte by byte"])
async def test_a_frame_that_does_not_come_to_its_end(
    impatient: Pod, ann: Person, every_s: float | None
) -> None:
    """Inside a frame no pong can be sent: the ping's deadline is that of a frame, too."""
    async with raw(impatient.port) as client:
        await client.upgrade(ann)
        await client.send(announced(60_000))

        async def drip(pause_s: float) -> None:
            while await client.flood(b"{", upto_bytes=client.sent + 1) is False:
                await asyncio.sleep(pause_s)

        async with asyncio.TaskGroup() as tasks:
            if every_s is not None:
                tasks.create_task(drip(every_s))
            await client.rest()
    assert client.sent < 5000
