"""The load client's framing: nothing is counted twice or missed, however the bytes are cut."""

import pytest
from hypothesis import given, strategies as st
from websockets.frames import Frame, Opcode

from bench.load.frames import (
    BINARY,
    PING,
    TEXT,
    FrameCounter,
    PayloadCounter,
    Stream,
    client_frame,
    messages,
)

PAYLOADS = st.lists(
    st.tuples(
        st.sampled_from([Opcode.TEXT, Opcode.BINARY, Opcode.PING]),
        st.one_of(st.binary(max_size=20), st.sampled_from([b"a" * 125, b"b" * 126, b"c" * 70_000])),
    ),
    max_size=8,
)
CUTS = st.lists(st.integers(1, 400), min_size=1, max_size=30)


def serialized(frames: list[tuple[Opcode, bytes]]) -> bytes:
    return b"".join(
        Frame(opcode, data[:125] if opcode is Opcode.PING else data).serialize(mask=False)
        for opcode, data in frames
    )


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    found, at = [], 0
    for size in cuts:
        found.append(data[at : at + size])
        at += size
    return [piece for piece in [*found, data[at:]] if piece]


@given(PAYLOADS, CUTS)
def test_counts_are_the_same_however_the_stream_is_cut(
    frames: list[tuple[Opcode, bytes]], cuts: list[int]
) -> None:
    data = serialized(frames)
    messages_sent = [payload for opcode, payload in frames if opcode is not Opcode.PING]
    pings = [(PING, payload[:125]) for opcode, payload in frames if opcode is Opcode.PING]
    counter, counted = FrameCounter(), Stream()
    assert sum(counter.count(counted, p) for p in pieces(data, cuts)) == len(messages_sent)
    assert counted.controls == pings
    read = Stream()
    found = [payload for p in pieces(data, cuts) for payload in messages(read, p)]
    assert found == messages_sent
    assert read.controls == pings
    assert (counted.rest, counted.skip, read.rest) == (b"", 0, b"")


def test_equal_pieces_of_many_connections_are_counted_each() -> None:
    counter = FrameCounter()
    piece = serialized([(Opcode.TEXT, b"x" * 100)] * 64)
    streams = [Stream() for _ in range(5)]
    assert [counter.count(stream, piece) for stream in streams] == [64] * 5
    in_the_middle = Stream()
    assert counter.count(in_the_middle, piece[:50]) == 0
    assert counter.count(in_the_middle, piece[50:] + piece[:50]) == 64
    assert counter.count(in_the_middle, piece[50:]) == 64


def test_a_ping_is_told_to_each_connection_that_gets_it() -> None:
    counter = FrameCounter()
    piece = serialized([(Opcode.PING, b"1"), (Opcode.TEXT, b"2")])
    for stream in (Stream(), Stream()):
        assert counter.count(stream, piece) == 1
        assert stream.controls == [(PING, b"1")]


def test_frames_with_several_messages_are_weighed() -> None:
    counter = PayloadCounter(lambda payload: payload.count(b"MSG "))
    piece = serialized([(Opcode.BINARY, b"MSG a\r\nMSG b\r\n"), (Opcode.TEXT, b"+OK")])
    assert [counter.count(Stream(), piece) for _ in range(3)] == [2, 2, 2]
    stream = Stream()
    assert counter.count(stream, piece[:5]) == 0
    assert counter.count(stream, piece[5:]) == 2


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING])
def test_what_is_sent_is_a_masked_frame(size: int, opcode: int) -> None:
    if opcode == PING and size > 125:
        size = 125
    payload = bytes(range(256)) * (size // 256) + bytes(size % 256)
    made = bytearray(Frame(Opcode(opcode), payload).serialize(mask=True))
    sent = client_frame(payload, opcode)
    head = len(made) - len(payload) - 4
    assert sent[:head] == made[:head]
    assert sent[head:] == bytes(4) + payload, "a mask of zero leaves the payload as it is"


def test_a_compressed_frame_is_not_counted() -> None:
    with pytest.raises(ValueError, match="compressed"):
        FrameCounter().count(Stream(), b"\xc1\x01x")
