"""Envelopes: bytes and back, cut anywhere, and nothing believed that does not add up."""

import struct
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings, strategies as st

from rtchat.envelope import (
    ENTRIES_MAX,
    BadEnvelopeError,
    Control,
    ControlKind,
    Envelope,
    history_of,
    joined,
)

PROPERTY = settings(max_examples=100, deadline=None, derandomize=True)


@st.composite
def envelopes(draw: st.DrawFn) -> Envelope:
    """Any envelope that a pod may make."""
    frames = draw(st.lists(st.binary(max_size=9), min_size=1, max_size=12))
    first = draw(st.integers(1, 2**53 - 1 - len(frames)))
    ending = draw(st.sets(st.integers(0, len(frames) - 1), max_size=4))
    controls = tuple(
        Control(index, draw(st.sampled_from(ControlKind)), draw(st.integers(0, 2**53 - 1)))
        for index in sorted(ending)
    )
    lengths = tuple(map(len, frames))
    channel, history = draw(st.integers(1, 2**53 - 1)), draw(st.integers(0, 2**32 - 1))
    return Envelope(channel, first, lengths, controls, b"".join(frames), history)


def frames_of(envelope: Envelope) -> dict[int, bytes]:
    """Each entry's frame, by its seq."""
    ends = [envelope.offset(i) for i in range(len(envelope.lengths) + 1)]
    return {
        envelope.first + i: envelope.payload[ends[i] : ends[i + 1]]
        for i in range(len(envelope.lengths))
    }


def controls_of(envelope: Envelope) -> set[tuple[int, ControlKind, int]]:
    """Each control, with the seq of the entry that it is about."""
    return {(envelope.first + c.index, c.kind, c.user_id) for c in envelope.controls}


SAMPLE = Envelope(17, 1205, (2, 0, 3), (Control(1, ControlKind.REMOVED, 43),), b"ab" + b"" + b"cde")


def test_the_form_in_bytes_is_the_documented_one():
    """Other pods may run the version before or after this one: changing it takes a new version."""
    assert bytes(SAMPLE) == bytes.fromhex(
        "02 00 0003 0001 00000000"  # version, flags, n, m, history
        "0000000000000011 00000000000004b5"  # channel, first
        "00000002 00000000 00000003"  # lengths
        "0001 02 000000000000002b"  # a control: index, kind, user
        "6162 636465"  # frames
    )


@PROPERTY
@given(envelopes())
def test_parsing_inverts_writing(envelope: Envelope):
    assert Envelope.parse(bytes(envelope)) == envelope


@PROPERTY
@given(envelopes())
def test_an_envelope_cut_anywhere_keeps_exactly_what_is_behind_the_cut(envelope: Envelope):
    for seq in range(envelope.first - 1, envelope.last):
        rest = envelope.after(seq)
        assert (rest.channel_id, rest.first, rest.last) == (
            envelope.channel_id, seq + 1, envelope.last
        )  # fmt: skip
        assert frames_of(rest) == {s: f for s, f in frames_of(envelope).items() if s > seq}
        assert controls_of(rest) == {c for c in controls_of(envelope) if c[0] > seq}
        assert Envelope.parse(bytes(rest)) == rest


@PROPERTY
@given(envelopes())
def test_cutting_before_the_first_entry_cuts_nothing(envelope: Envelope):
    assert envelope.after(envelope.first - 1) is envelope


def test_the_last_seq_counts_entries_without_a_frame():
    assert (SAMPLE.first, SAMPLE.last) == (1205, 1207)


def test_an_envelope_tells_its_history():
    """So that one that comes late from another one is known as such; any part of it too."""
    history = history_of("an epoch")
    assert 0 < history < 2**32
    assert history != history_of("another epoch")
    envelope = replace(SAMPLE, history=history)
    assert Envelope.parse(bytes(envelope)).history == history
    assert envelope.after(1205).history == history
    assert SAMPLE.history == 0


# --- what comes from the network


def is_refused(data: bytes) -> bool:
    """Whether this is no envelope. No other exception may come of it."""
    try:
        Envelope.parse(data)
    except BadEnvelopeError:
        return True
    return False


@PROPERTY
@given(st.binary(max_size=200))
def test_garbage_is_refused(data: bytes):
    assert is_refused(data)


@PROPERTY
@given(envelopes(), st.data())
def test_an_envelope_cut_short_or_long_is_refused(envelope: Envelope, data: st.DataObject):
    whole = bytes(envelope)
    assert is_refused(whole[: data.draw(st.integers(0, len(whole) - 1))])
    assert is_refused(whole + data.draw(st.binary(min_size=1, max_size=20)))


@PROPERTY
@given(envelopes(), st.data())
def test_a_damaged_envelope_is_refused_or_adds_up(envelope: Envelope, data: st.DataObject):
    """A changed number may still be a number; nothing is ever out of bounds."""
    damaged = bytearray(bytes(envelope))
    at = data.draw(st.integers(0, len(damaged) - 1))
    damaged[at] = data.draw(st.integers(0, 255))
    if is_refused(bytes(damaged)):
        return
    found = Envelope.parse(bytes(damaged))
    assert bytes(found) == bytes(damaged)
    assert sum(found.lengths) == len(found.payload)
    assert 0 < found.first <= found.last < 2**53
    indices = [c.index for c in found.controls]
    assert all(index < len(found.lengths) for index in indices)


def written(
    *,
    version: int = 2,
    flags: int = 0,
    history: int = 0,
    channel: int = 17,
    first: int = 1,
    lengths: tuple[int, ...] = (1, 1, 1),
    controls: tuple[tuple[int, int, int], ...] = (),
    payload: bytes = b"abc",
) -> bytes:
    """An envelope's bytes, with anything in them."""
    n, m = len(lengths), len(controls)
    head = struct.pack("!BBHHIQQ", version, flags, n, m, history, channel, first)
    head += struct.pack(f"!{len(lengths)}I", *lengths)
    return head + b"".join(struct.pack("!HBQ", *c) for c in controls) + payload


def test_what_is_written_by_hand_is_an_envelope():
    """So that the refusals below are about the one thing that each of them changes."""
    envelope = Envelope.parse(written(controls=((0, 1, 5), (2, 3, 0))))
    assert envelope == Envelope(
        17, 1, (1, 1, 1), (Control(0, ControlKind.LEFT, 5), Control(2, ControlKind.DELETED, 0)),
        b"abc",
    )  # fmt: skip


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(written(version=1), id="version 1"),
        pytest.param(written(version=3), id="version 3"),
        pytest.param(written(flags=1), id="a flag"),
        pytest.param(written(lengths=(), payload=b""), id="no entries"),
        pytest.param(written(lengths=(0,) * (ENTRIES_MAX + 1), payload=b""), id="too many entries"),
        pytest.param(written(channel=0), id="channel 0"),
        pytest.param(written(channel=2**53), id="channel beyond 2^53"),
        pytest.param(written(first=0), id="seq 0"),
        pytest.param(written(first=2**53 - 2), id="last seq beyond 2^53"),
        pytest.param(written(first=2**64 - 1), id="the largest seq"),
        pytest.param(written(lengths=(1, 1, 2)), id="frames too short"),
        pytest.param(written(lengths=(1, 1, 0)), id="frames too long"),
        pytest.param(written(lengths=(2**32 - 1,) * 3), id="lengths of gigabytes"),
        pytest.param(written(controls=((3, 1, 5),)), id="control behind the last entry"),
        pytest.param(written(controls=((0, 0, 5),)), id="control of kind 0"),
        pytest.param(written(controls=((0, 4, 5),)), id="control of an unknown kind"),
    ],
)
def test_what_does_not_add_up_is_refused(data: bytes):
    assert is_refused(data)


def test_controls_that_go_back_are_refused():
    """Delivery is cut at each in turn: going back would deliver an entry twice."""
    assert is_refused(written(controls=((2, 1, 5), (0, 1, 5))))


# --- joined


@PROPERTY
@given(envelopes(), st.lists(st.integers(0, 11), max_size=4), st.integers(0, 40))
def test_what_was_cut_is_joined_again(whole: Envelope, cuts: list[int], max_bytes: int):
    """Same frames, same controls, in order; nothing of several is larger than asked for."""
    rest = [whole.after(whole.first + cut) for cut in sorted(set(cuts)) if cut < len(whole.lengths)]
    seqs = [whole.first, *(e.first for e in rest if e.first <= e.last), whole.last + 1]
    pieces = [_between(whole, a, b) for a, b in pairwise(sorted(set(seqs)))]
    again = list(joined(pieces, max_bytes))
    assert [s for e in again for s in frames_of(e)] == list(frames_of(whole))
    assert {s: f for e in again for s, f in frames_of(e).items()} == frames_of(whole)
    assert set().union(*map(controls_of, again)) == controls_of(whole)
    assert {(e.channel_id, e.history) for e in again} == {(whole.channel_id, whole.history)}
    assert all(len(e.payload) <= max_bytes for e in again if e not in pieces)
    assert len(again) == 1 or len(whole.payload) > max_bytes


def _between(whole: Envelope, first: int, end: int) -> Envelope:
    part, n = whole.after(first - 1), end - first
    controls = tuple(c for c in part.controls if c.index < n)
    payload = part.payload[: part.offset(n)]
    return replace(part, lengths=part.lengths[:n], controls=controls, payload=payload)


def test_only_what_continues_is_joined():
    """Holes, doubles, other channels and another epoch's stay apart, and each channel in order."""
    a, b, c = (Envelope(17, first, (1,), (), bytes([first])) for first in (1, 2, 4))
    other, epoch = replace(b, channel_id=18), replace(b, history=5)
    assert [e.payload for e in joined([a, b, c], 99)] == [b"\1\2", b"\4"]
    assert list(joined([a, a, c], 99)) == [a, a, c]
    assert list(joined([b, a], 99)) == [b, a]
    assert list(joined([a, other], 99)) == [a, other]
    assert list(joined([a, epoch], 99)) == [a, epoch]
    assert [e.last for e in joined([a, other, b], 99) if e.channel_id == 17] == [2]


@PROPERTY
@given(envelopes())
def test_its_place_is_known_without_reading_the_rest(envelope: Envelope):
    assert Envelope.place(bytes(envelope)) == (envelope.channel_id, envelope.last)


def test_no_place_is_found_in_less_than_a_header():
    with pytest.raises(BadEnvelopeError):
        Envelope.place(bytes(SAMPLE)[:20])
