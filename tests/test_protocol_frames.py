"""What the server sends: the contract's examples (§3), each a whole WebSocket frame."""

import itertools
import json
import re
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from websockets.frames import Frame, Opcode

from rtchat import protocol
from rtchat.envelope import ENTRIES_MAX, Control, ControlKind
from rtchat.errors import ChatError, Close, Code
from rtchat.events import Head, Limits
from rtchat.model import Channel, ChannelType, Kind, LogEntry, Role, User
from tests.wire import events, read_frames, texts

TS = 1763800000123
USER = User(id=42, name="Ada", status="", last_active=None, email="ada@example.org")


def entry(kind: Kind, seq: int, user: int, target: int | None, content: str | None) -> bytes:
    return protocol.entry(LogEntry(17, seq, kind, user, target, content, TS))


LIMITS = Limits(frame_bytes=65536, content_chars=4000, subs=1000, sends_per_second=20)
AT = f'"ts":{TS}'
RATE_LIMITED = ChatError(Code.RATE_LIMITED, "…", field="…", after_ms=750)
TO_CLIENTS: list[tuple[bytes, str]] = [
    (protocol.ok(2, ch={"17": Head(head=1205), "18": Head(error=Code.NOT_FOUND)}),
     '{"t":"ok","ref":2,"ch":{"17":{"head":1205},"18":{"error":"not_found"}}}'),
    (protocol.ok(3), '{"t":"ok","ref":3}'),
    (protocol.ok(1, exp=1763800900), '{"t":"ok","ref":1,"exp":1763800900}'),
    (protocol.pong(9), '{"t":"pong","ref":9}'),
    (protocol.ack(4, 17, 1205, TS, dup=False), f'{{"t":"ack","ref":4,"ch":17,"seq":1205,{AT}}}'),
    (protocol.ack("x", 17, 1205, TS, dup=True),
     f'{{"t":"ack","ref":"x","ch":17,"seq":1205,{AT},"dup":true}}'),
    (entry(Kind.MESSAGE, 1205, 42, None, "hi"),
     f'{{"t":"msg","ch":17,"seq":1205,"user":42,"content":"hi",{AT}}}'),
    (entry(Kind.EDIT, 1206, 42, 1205, "hi!"),
     f'{{"t":"edit","ch":17,"seq":1206,"of":1205,"user":42,"content":"hi!",{AT}}}'),
    (entry(Kind.DELETE, 1207, 42, 1205, None),
     f'{{"t":"del","ch":17,"seq":1207,"of":1205,"user":42,{AT}}}'),
    (entry(Kind.REACT, 1208, 42, 1205, "👍"),
     f'{{"t":"react","ch":17,"seq":1208,"of":1205,"user":42,"emoji":"👍","on":true,{AT}}}'),
    (entry(Kind.UNREACT, 1208, 42, 1205, "👍"),
     f'{{"t":"react","ch":17,"seq":1208,"of":1205,"user":42,"emoji":"👍","on":false,{AT}}}'),
    (entry(Kind.JOIN, 1209, 42, 43, None),
     f'{{"t":"join","ch":17,"seq":1209,"user":43,"by":42,{AT}}}'),
    (entry(Kind.LEAVE, 1210, 42, 43, None),
     f'{{"t":"leave","ch":17,"seq":1210,"user":43,"by":42,{AT}}}'),
    (entry(Kind.RENAME, 1211, 42, None, "new name"),
     f'{{"t":"chan","ch":17,"seq":1211,"user":42,"name":"new name",{AT}}}'),
    (protocol.reset(17, 1205, "e"), '{"t":"reset","ch":17,"head":1205,"epoch":"e"}'),
    (protocol.removed(17, "left"), '{"t":"removed","ch":17,"reason":"left"}'),
    (protocol.expiring(60), '{"t":"expiring","in":60}'),
    (protocol.error(4, RATE_LIMITED),
     '{"t":"error","ref":4,"code":"rate_limited","message":"…","retry":true,"after":750,"field":"…"}'),
    (protocol.bye(Close.DRAINING, 8200), '{"t":"bye","code":4201,"in":8200}'),
]  # fmt: skip


@pytest.mark.parametrize(("frame", "text"), TO_CLIENTS, ids=[text[:24] for _, text in TO_CLIENTS])
def test_frames_are_the_contracts_examples(frame: bytes, text: str):
    assert texts(frame) == [text]


def test_hello_is_the_contracts_example():
    frame = protocol.hello(
        session=7, user=USER, exp=1763800900, epoch="e", heartbeat_s=25, limits=LIMITS
    )
    (text,) = texts(frame)
    assert re.sub(r'"user":\{.*?\}', '"user":{…}', text) == (
        '{"t":"hello","session":"7","user":{…},"exp":1763800900,"epoch":"e","heartbeat":25,'
        '"limits":{"frameBytes":65536,"contentChars":4000,"subs":1000,"sendsPerSecond":20}}'
    )
    user = json.loads(text)["user"]
    assert user.keys() == {"id", "email", "name", "status", "lastActive"}


def test_ada_is_told_of_her_address_and_others_are_not():
    """`email` is left out, not null, where it is not set."""
    other = User(id=43, name="Bob", status="", last_active="2026-01-31T23:59:59.123Z")
    frame = protocol.hello(session=7, user=other, exp=0, epoch="", heartbeat_s=25, limits=LIMITS)
    assert events(frame)[0]["user"] == {
        "id": 43, "name": "Bob", "status": "", "lastActive": "2026-01-31T23:59:59.123Z",
    }  # fmt: skip


def test_added_carries_the_channel_as_rest_has_it():
    channel = Channel(
        id=18, name=None, type=ChannelType.DM, created_by=43,
        created_at="2026-01-31T23:59:59.123Z", updated_at="2026-01-31T23:59:59.123Z",
        role=Role.MEMBER, last_seq=3, read_seq=0, unread=3,
    )  # fmt: skip
    (event,) = events(protocol.added(channel))
    assert list(event) == ["t", "ch", "channel"]
    assert (event["t"], event["ch"]) == ("added", 18)
    assert event["channel"] == {
        "id": 18, "name": None, "type": "dm", "createdBy": 43,
        "createdAt": "2026-01-31T23:59:59.123Z", "updatedAt": "2026-01-31T23:59:59.123Z",
        "role": "member", "lastSeq": 3, "readSeq": 0, "unread": 3,
    }  # fmt: skip


def test_a_message_deleted_since_says_so():
    frame = protocol.entry(LogEntry(17, 5, Kind.MESSAGE, 42, None, "", TS, deleted=True))
    assert texts(frame) == [
        f'{{"t":"msg","ch":17,"seq":5,"user":42,"content":"","ts":{TS},"deleted":true}}'
    ]


def test_a_nonce_is_its_authors_only():
    frame = protocol.entry(LogEntry(17, 5, Kind.MESSAGE, 42, None, "hi", TS, nonce="secret"))
    assert "nonce" not in events(frame)[0]


def test_the_tombstone_has_no_frame():
    assert entry(Kind.DROP, 1212, 42, None, None) == b""


@pytest.mark.parametrize("code", Code)
def test_an_error_says_whether_a_retry_may_help(code: Code):
    (event,) = events(protocol.error(None, ChatError(code)))
    temporary = {Code.RATE_LIMITED, Code.OVERLOADED, Code.UNAVAILABLE, Code.DRAINING, Code.INTERNAL}
    assert event["code"] == code.value
    assert event["retry"] is (code in temporary)
    assert event.keys() == {"t", "ref", "code", "message", "retry"}


# --- frames


def padded(size: int) -> tuple[bytes, dict[str, Any]]:
    """A frame whose payload has `size` bytes, and the event in it."""
    event = {"x": "x" * (size - len('{"x":""}'))} if size > 2 else {}
    return protocol.frame(event), event


@pytest.mark.parametrize("size", [2, 8, 124, 125, 126, 127, 65_534, 65_535, 65_536, 65_537])
def test_a_frame_of_any_size_is_one_a_client_reads(size: int):
    """The three forms of its length (RFC 6455 §5.2), at their borders."""
    data, event = padded(size)
    (frame,) = read_frames(data)
    assert (frame.opcode, frame.fin, len(frame.data)) == (Opcode.TEXT, True, size)
    assert json.loads(bytes(frame.data)) == event


SIZES = [0, 1, 125, 126, 65_535, 65_536]


@pytest.mark.parametrize("size", SIZES)
def test_payloads_takes_a_frame_of_any_size_apart(size: int):
    assert protocol.payloads(Frame(Opcode.TEXT, b"x" * size).serialize(mask=False)) == ["x" * size]


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.text() | st.sampled_from(SIZES).map(lambda size: "é" * (size // 2)), max_size=5))
def test_payloads_inverts_joining_frames(contents: list[str]):
    joined = b"".join(protocol.frame({"content": content}) for content in contents)
    assert protocol.payloads(joined) == texts(joined)
    assert [json.loads(text)["content"] for text in protocol.payloads(joined)] == contents


# --- envelopes


def log(kinds: list[Kind], first: int = 1) -> list[LogEntry]:
    """Consecutive entries: 42 acts, and leaves or removes 43 in turn."""
    return [
        LogEntry(17, first + i, kind, 42, 42 + i % 2, "x" * (i % 7), TS)
        for i, kind in enumerate(kinds)
    ]


# The tombstone is a channel's last entry.
histories = st.tuples(
    st.lists(st.sampled_from([k for k in Kind if k is not Kind.DROP]), max_size=20),
    st.sampled_from([[], [Kind.DROP]]),
).map(lambda parts: parts[0] + parts[1])


@settings(max_examples=100, deadline=None, derandomize=True)
@given(histories, st.integers(1, 10**9), st.integers(0, 1000))
def test_envelopes_hold_every_entry_once_and_in_order(
    kinds: list[Kind], first: int, max_bytes: int
):
    entries = log(kinds, first)
    envelopes = list(protocol.pack(entries, max_bytes))
    frames: list[bytes] = []
    for envelope in envelopes:
        assert envelope.channel_id == 17
        assert envelope.first == first + len(frames)
        ends = [envelope.offset(i) for i in range(len(envelope.lengths) + 1)]
        frames += [envelope.payload[a:b] for a, b in itertools.pairwise(ends)]
    assert frames == [protocol.entry(e) for e in entries]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(histories, st.integers(0, 1000))
def test_an_envelope_passes_its_bound_by_less_than_its_last_frame(
    kinds: list[Kind], max_bytes: int
):
    for envelope in protocol.pack(log(kinds), max_bytes):
        assert envelope.offset(len(envelope.lengths) - 1) <= max_bytes


def test_an_envelope_is_bounded_in_entries():
    envelopes = list(protocol.pack(log([Kind.MESSAGE] * (ENTRIES_MAX + 1)), 2**31))
    assert [len(envelope.lengths) for envelope in envelopes] == [ENTRIES_MAX, 1]


def test_controls_tell_whose_membership_ends_where():
    kinds = [Kind.MESSAGE, Kind.LEAVE, Kind.LEAVE, Kind.JOIN, Kind.DROP]
    (envelope,) = protocol.pack(log(kinds), 10_000)
    assert envelope.controls == (
        Control(1, ControlKind.REMOVED, 43),
        Control(2, ControlKind.LEFT, 42),
        Control(4, ControlKind.DELETED, 0),
    )
    assert envelope.lengths[4] == 0


def test_controls_count_from_the_first_entry_of_their_own_envelope():
    envelopes = list(protocol.pack(log([Kind.MESSAGE, Kind.LEAVE]), 0))
    assert [envelope.controls for envelope in envelopes] == [
        (),
        (Control(0, ControlKind.REMOVED, 43),),
    ]


def test_nothing_makes_no_envelope():
    assert list(protocol.pack([], 1000)) == []
