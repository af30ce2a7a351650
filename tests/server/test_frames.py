"""Where frames begin and end, against the frames that `websockets` makes."""

import pytest
from hypothesis import given, strategies as st
from websockets.frames import Frame, Opcode

from rtchat.server.frames import payload_of, plain_text, pong

sizes = st.sampled_from([0, 1, 125, 126, 127, 65_535, 65_536])
whole = st.builds(
    lambda opcode, size, fin, mask: (Frame(opcode, b"x" * size, fin).serialize(mask=mask), size),
    st.sampled_from([Opcode.TEXT, Opcode.BINARY, Opcode.CONT]), sizes, st.booleans(), st.booleans(),
)  # fmt: skip


@given(st.lists(whole, min_size=1, max_size=5))
def test_frames_lie_one_behind_the_other(frames: list[tuple[bytes, int]]):
    data, at = b"".join(frame for frame, _ in frames), 0
    for frame, size in frames:
        start, stop = payload_of(data, at)
        assert (stop - start, stop - at) == (size, len(frame))
        at = stop
    assert at == len(data)


@given(whole, st.binary(max_size=3), st.floats(0, 1, exclude_max=True))
def test_of_a_part_it_is_known_that_more_is_to_come(
    frame: tuple[bytes, int], before: bytes, part: float
):
    data = before + frame[0][: int(len(frame[0]) * part)]
    start, stop = payload_of(data, len(before))
    assert len(data) < stop <= len(before) + len(frame[0])
    assert len(before) < start <= stop


@given(st.text(max_size=200), st.binary(max_size=3))
def test_a_whole_text_is_read_where_it_lies(text: str, before: bytes):
    data = before + Frame(Opcode.TEXT, text.encode()).serialize(mask=True)
    assert plain_text(data, len(before), *payload_of(data, len(before))) == text


@pytest.mark.parametrize(
    "frame",
    [
        Frame(Opcode.BINARY, b"x").serialize(mask=True),
        Frame(Opcode.TEXT, b"x").serialize(mask=False),  # of a client that may not do that
        Frame(Opcode.TEXT, b"x", fin=False).serialize(mask=True),
        Frame(Opcode.CONT, b"x").serialize(mask=True),
        bytes([0xC1, 0x81, 0, 0, 0, 0]) + b"x",
        Frame(Opcode.TEXT, b"\xff").serialize(mask=True),
        Frame(Opcode.PING, b"x").serialize(mask=True),
    ],
    ids=["binary", "not masked", "a first part", "a last part", "extended", "not UTF-8", "ping"],
)
def test_anything_else_is_for_those_who_know_the_rules(frame: bytes):
    assert plain_text(frame, 0, *payload_of(frame, 0)) is None


@given(st.binary(max_size=125), st.binary(max_size=3))
def test_a_pong_is_read_where_it_lies(payload: bytes, before: bytes):
    data = before + Frame(Opcode.PONG, payload).serialize(mask=True)
    assert pong(data, len(before), *payload_of(data, len(before))) == payload


@pytest.mark.parametrize(
    "frame",
    [
        Frame(Opcode.PING, b"x").serialize(mask=True),
        Frame(Opcode.PONG, b"x").serialize(mask=False),
        bytes([0x0A, 0x81, 0, 0, 0, 0]) + b"x",
        bytes([0xCA, 0x81, 0, 0, 0, 0]) + b"x",
        bytes([0x8A, 0xFE, 0, 126, 0, 0, 0, 0]) + b"x" * 126,
    ],
    ids=["ping", "not masked", "a part", "extended", "too long"],
)
def test_what_is_no_good_pong_is_for_those_who_know_the_rules(frame: bytes):
    assert pong(frame, 0, *payload_of(frame, 0)) is None
