"""What the server sends, typed: one struct for each `t` of the contract (§3).

Owns: the decoding of frames, by msgspec's tagged union in one pass (0.5 µs a frame). Fields that
are not known are ignored, and a frame of an unknown type becomes `Unknown`, so that a newer server
can add both. Must never: import the server's own types; this is the other side of the contract.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from rtchat.client.model import Channel, User

Ref = int | str | None
Raw = bytes | bytearray | memoryview


class Event(msgspec.Struct, tag_field="t", gc=False, kw_only=True):
    """Base of all frames; `gc=False`, as none of them can be part of a cycle."""


# --- log entries


class Entry(Event, kw_only=True):
    """One change in a channel: the next `seq` of its log. `ts` is milliseconds since 1970."""

    ch: int
    seq: int
    ts: int


class Msg(Entry, tag="msg", kw_only=True):
    """A message. `deleted`: its content was blanked before it was read from the log."""

    user: int
    content: str
    deleted: bool = False


class Edit(Entry, tag="edit", kw_only=True):
    """New content of the message `of`."""

    of: int
    user: int
    content: str


class Del(Entry, tag="del", kw_only=True):
    """The message `of` was deleted."""

    of: int
    user: int


class React(Entry, tag="react", kw_only=True):
    """A reaction to the message `of`, set or taken back."""

    of: int
    user: int
    emoji: str
    on: bool


class Join(Entry, tag="join", kw_only=True):
    """`user` became a member; `by` is who did it."""

    user: int
    by: int


class Leave(Entry, tag="leave", kw_only=True):
    """`user` ceased to be a member; `by` is who did it."""

    user: int
    by: int


class Chan(Entry, tag="chan", kw_only=True):
    """The channel got a new name."""

    user: int
    name: str


# --- ephemeral: without seq, and the first to be dropped


class Typing(Event, tag="typing", kw_only=True):
    """`user` is writing."""

    ch: int
    user: int


class Read(Event, tag="read", kw_only=True):
    """`user` has read up to `seq`: somebody else, or oneself on another connection."""

    ch: int
    user: int
    seq: int


class Presence(Event, tag="presence", kw_only=True):
    """`user` is `online`, or `offline` since. After each `Hello` nothing is known of anybody."""

    user: int
    status: str


# --- subscriptions and memberships


class Reset(Event, tag="reset", kw_only=True):
    """The cursor could not be resumed: what is known of this channel's log is void.

    `epoch` names the history that the log has now. `last_seq` is filled in by the client: read the
    history up to it from REST; the entries behind it follow. None: the client has not subscribed
    again (`resubscribe=False`, or not allowed).
    """

    ch: int
    head: int
    epoch: str | None = None
    last_seq: int | None = None


class Added(Event, tag="added", kw_only=True):
    """This user became a member. A hint, which can be lost: list `mine` after each Hello."""

    ch: int
    channel: Channel


class Removed(Event, tag="removed", kw_only=True):
    """This user is no member any more (`left`, `removed`, `deleted`); the subscription has ended.

    The client adds one reason: `refused`, where a subscription could not be resumed because the
    membership ended while the client was away.
    """

    ch: int
    reason: str


# --- the connection


class Limits(msgspec.Struct, rename="camel", gc=False, kw_only=True):
    """What the server takes from one connection; a rate or number of 0 is switched off."""

    frame_bytes: int = 65_536
    content_chars: int = 4000
    subs: int = 1000
    sends_per_second: float = 20


class Hello(Event, tag="hello", kw_only=True):
    """Signed in; handed out after each (re)connection. `exp` is seconds since 1970."""

    session: str
    user: User
    exp: int
    epoch: str
    heartbeat: float
    limits: Limits


class Ok(Event, tag="ok", kw_only=True):
    """A command succeeded; after `sub`, `ch` has each channel's head or its error."""

    ref: Ref = None
    ch: dict[int, "Standing"] = {}
    exp: int | None = None


class Standing(msgspec.Struct, gc=False, kw_only=True):
    """One channel in the answer to `sub`: its head, or why not."""

    head: int | None = None
    error: str | None = None


class Ack(Event, tag="ack", kw_only=True):
    """A write is committed as (`ch`, `seq`). `dup`: by an earlier try with the same nonce.

    The client adds how often the write was sent until it was acknowledged, and when the last try
    left (`time.perf_counter`).
    """

    ch: int
    seq: int
    ts: int
    ref: Ref = None
    dup: bool = False
    tries: int = 1
    sent_at: float = 0.0


class Error(Event, tag="error", kw_only=True):
    """A command failed; `after` is how many ms to wait where waiting helps."""

    code: str
    ref: Ref = None
    message: str = ""
    retry: bool = False
    after: int | None = None
    field: str | None = None


class Pong(Event, tag="pong", kw_only=True):
    """The answer to `ping`."""

    ref: Ref = None


class Expiring(Event, tag="expiring", gc=False, kw_only=True, rename={"in_s": "in"}):
    """The token expires in `in_s` seconds. Handed out only where no provider renews it."""

    in_s: int


class Bye(Event, tag="bye", kw_only=True, rename={"in_ms": "in"}):
    """A close follows; come back in `in_ms` milliseconds."""

    code: int
    in_ms: int


class Unknown(msgspec.Struct, gc=False):
    """A frame of a type that this version does not know (or of another form); `raw` is its text."""

    t: str
    raw: bytes


class UnknownEntry(msgspec.Struct, gc=False):
    """An entry of a kind that this version does not know: it has its place in the log all the same,
    and the next one does not come too early."""

    t: str
    ch: int
    seq: int
    raw: bytes


AnyEntry = Msg | Edit | Del | React | Join | Leave | Chan
Known = (
    AnyEntry
    | Typing | Read | Presence
    | Reset | Added | Removed
    | Hello | Ok | Ack | Error | Pong | Expiring | Bye
)  # fmt: skip
AnyEvent = Known | Unknown | UnknownEntry

ENTRIES = (Msg, Edit, Del, React, Join, Leave, Chan, UnknownEntry)
_NO_ENTRIES = frozenset({"ack", "read"})  # which have a channel and a seq as well
# What the contract lets nobody lose; the rest are hints (§3) and ephemeral events.
KEPT = frozenset({*ENTRIES, Reset, Removed})


class _Head(msgspec.Struct):
    t: Any = None
    ch: Any = None
    seq: Any = None


_decode: Callable[[Raw], Known] = msgspec.json.Decoder(Known).decode
_decode_head = msgspec.json.Decoder(_Head).decode


def decode(raw: Raw) -> AnyEvent:
    """Read one frame. Never fails: what cannot be read is `Unknown`, or an `UnknownEntry`."""
    try:
        return _decode(raw)
    except (msgspec.DecodeError, UnicodeError):
        pass
    try:
        head = _decode_head(raw)
    except (msgspec.DecodeError, UnicodeError):
        head = _Head()
    kind = head.t if isinstance(head.t, str) else ""
    if type(head.ch) is int and type(head.seq) is int and kind not in _NO_ENTRIES:
        return UnknownEntry(kind, head.ch, head.seq, bytes(raw))
    return Unknown(kind, bytes(raw))
