"""What the server sends on the WebSocket: each frame's fields, as types that encode and document.

Owns: the shape of every event (contract §3); `protocol` makes frames of them. Must never: hold what
only some readers of an entry may see, for all get the same bytes.

Fields stand in the order of the wire. So `ch` and `seq` of entries are in no base of theirs: what a
base has by keyword comes behind what its children have.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from rtchat.errors import Close, Code
from rtchat.model import Channel, ChannelId, Emoji, Id, Seq, User

Ref = Annotated[int | str | None, Meta(description="The `ref` of the command, null without one.")]
Milliseconds = Annotated[int, Meta(ge=0, description="Milliseconds since 1970, UTC.")]
Reason = Literal["left", "removed", "deleted"]
_Seq = Annotated[Id, Meta(description="The entry's place in its channel's log: 1, 2, 3 …")]
_Of = Annotated[Id, Meta(description="The seq of the message that it is about.")]
_Author = Annotated[Id, Meta(description="Who did it.")]
_Epoch = Annotated[
    str, Meta(description="The name of the log's present history; keep it beside the cursors.")
]


class _Event(msgspec.Struct, tag_field="t", kw_only=True, gc=False, rename={"in_": "in"}):
    """Base of what the server sends: `t` tells which."""


class Limits(msgspec.Struct, kw_only=True, gc=False, rename="camel"):
    """The limits that a client should know; a rate of 0 means that there is none."""

    frame_bytes: Annotated[
        int, Meta(ge=0, description="Largest message to the server; beyond: 1009.")
    ]
    content_chars: Annotated[int, Meta(ge=0, description="Longest content, code points.")]
    subs: Annotated[int, Meta(ge=0, description="Subscriptions of a connection.")]
    sends_per_second: Annotated[int, Meta(ge=0, description="Writes a second on this connection.")]


class Hello(_Event, tag="hello"):
    """The first frame after authentication, once."""

    session: Annotated[str, Meta(description="The session's id, as `GET /auth/sessions` has it.")]
    user: User
    exp: Annotated[int, Meta(description="When the token ends, seconds since 1970.")]
    epoch: _Epoch
    heartbeat: Annotated[int, Meta(description="Seconds between the server's pings.")]
    limits: Limits


class Head(msgspec.Struct, kw_only=True, gc=False):
    """How far a channel's log goes, or why it cannot be followed."""

    head: Seq | UnsetType = UNSET
    error: Annotated[
        Code | UnsetType, Meta(extra_json_schema={"enum": ["not_found", "forbidden"]})
    ] = UNSET


_OneOf = Annotated[
    Head, Meta(extra_json_schema={"oneOf": [{"required": ["head"]}, {"required": ["error"]}]})
]


class Ok(_Event, tag="ok"):
    """The command went well: `ch` answers a `sub`, `exp` an `auth`."""

    ref: Ref
    ch: Annotated[dict[str, _OneOf], Meta(description="By channel id.")] | UnsetType = UNSET
    exp: Annotated[int, Meta(description="When the new token ends, s since 1970.")] | UnsetType = (
        UNSET
    )


class Pong(_Event, tag="pong"):
    """The answer to `ping`."""

    ref: Ref


class Ack(_Event, tag="ack"):
    """The write is committed. It comes before the write's own entry on this socket."""

    ref: Ref
    ch: ChannelId
    seq: _Seq
    ts: Milliseconds
    dup: (
        Annotated[bool, Meta(description="True: by an earlier try with the same nonce.")]
        | UnsetType
    ) = UNSET


class Msg(_Event, tag="msg"):
    """Log entry: a message. Read from the log later it may have its content as it is by then."""

    ch: ChannelId
    seq: _Seq
    user: _Author
    content: str
    ts: Milliseconds
    deleted: (
        Annotated[bool, Meta(description="True: deleted since, and the content is empty.")]
        | UnsetType
    ) = UNSET


class Edited(_Event, tag="edit"):
    """Log entry: a message has other content."""

    ch: ChannelId
    seq: _Seq
    of: _Of
    user: _Author
    content: Annotated[str, Meta(description="Empty: the message was deleted since.")]
    ts: Milliseconds


class Deleted(_Event, tag="del"):
    """Log entry: a message was deleted."""

    ch: ChannelId
    seq: _Seq
    of: _Of
    user: _Author
    ts: Milliseconds


class Reacted(_Event, tag="react"):
    """Log entry: somebody reacted to a message, or took that back."""

    ch: ChannelId
    seq: _Seq
    of: _Of
    user: _Author
    emoji: Emoji
    on: Annotated[bool, Meta(description="False: taken back.")]
    ts: Milliseconds


class Joined(_Event, tag="join"):
    """Log entry: somebody became a member."""

    ch: ChannelId
    seq: _Seq
    user: Annotated[Id, Meta(description="Who is a member now.")]
    by: _Author
    ts: Milliseconds


class Left(_Event, tag="leave"):
    """Log entry: somebody ceased to be a member; `by` somebody else: was removed."""

    ch: ChannelId
    seq: _Seq
    user: Annotated[Id, Meta(description="Who is no member any more.")]
    by: _Author
    ts: Milliseconds


class Renamed(_Event, tag="chan"):
    """Log entry: the channel has another name."""

    ch: ChannelId
    seq: _Seq
    user: _Author
    name: str
    ts: Milliseconds


class IsTyping(_Event, tag="typing"):
    """Somebody else is typing. Told again every few seconds while it goes on: after a few more
    without it, take it for over."""

    ch: ChannelId
    user: Annotated[Id, Meta(description="Who is.")]


class HasRead(_Event, tag="read"):
    """Somebody has read up to an entry; oneself, on another connection, in any channel of one's
    own. The same user and channel come with a higher `seq` each time, or it came late: drop it."""

    ch: ChannelId
    user: Annotated[Id, Meta(description="Who has.")]
    seq: Annotated[Id, Meta(description="The last entry that was read.")]


class Presence(_Event, tag="presence"):
    """Somebody else, with whom one shares a channel that is followed, is online or not any more.

    What was told ends with the connection: each `hello` begins with nobody known.
    """

    user: Annotated[Id, Meta(description="Who.")]
    status: Annotated[
        str,
        Meta(
            description="`online` or `offline`; take another for `online`.",
            examples=["online", "offline"],
        ),
    ]


class Reset(_Event, tag="reset"):
    """A cursor cannot be resumed (ahead of the head, or of another epoch); the subscription ended.

    Take `lastSeq` and history from REST, then `sub` from that `lastSeq`.
    """

    ch: ChannelId
    head: Seq
    epoch: _Epoch


class Added(_Event, tag="added"):
    """The user is a member of this channel from now on. A hint, which can be lost: list one's
    channels after each `hello`."""

    ch: ChannelId
    channel: Channel


class Removed(_Event, tag="removed"):
    """The user is no member any more: a subscription has ended, nothing of the channel follows."""

    ch: ChannelId
    reason: Reason


class Expiring(_Event, tag="expiring"):
    """Renew with `auth` in time, or be closed with 4202."""

    in_: Annotated[int, Meta(ge=0, description="Seconds until then.")]


class Error(_Event, tag="error"):
    """A command failed; the socket stays open (unless `bye` or a close follows)."""

    ref: Ref
    code: Code
    message: Annotated[str, Meta(description="For people, in English; it may change.")]
    retry: Annotated[
        bool, Meta(description="False: it is not done, and the same again will not be.")
    ]
    after: (
        Annotated[int, Meta(ge=0, description="Wait so many ms before trying again.")] | UnsetType
    ) = UNSET
    field: Annotated[str, Meta(description="The field at fault.")] | UnsetType = UNSET


class Bye(_Event, tag="bye"):
    """A close with this code follows."""

    code: Close
    in_: Annotated[int, Meta(ge=0, description="Come back in so many ms.")]


# Entries of a channel's log, which have a seq.
ENTRIES: tuple[type[Any], ...] = (Msg, Edited, Deleted, Reacted, Joined, Left, Renamed)
# Without a place in a log: they may be lost.
EPHEMERAL: tuple[type[Any], ...] = (IsTyping, HasRead, Presence)
EVENTS: tuple[type[Any], ...] = (
    Hello, Ok, Ack, Error, Pong, *ENTRIES, *EPHEMERAL, Reset, Added, Removed, Expiring, Bye,
)  # fmt: skip
