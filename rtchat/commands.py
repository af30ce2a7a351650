"""What a client sends on the WebSocket: each frame's fields and bounds, its answers and errors.

Owns: the table of commands (contract §3), as types that decode and document. Must never: know a
rule; that a command is well formed says nothing about whether it is allowed.
"""

from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from rtchat import events
from rtchat.errors import Code
from rtchat.model import ID_MAX, ChannelId, Content, Emoji, Id, Seq

NONCE_MAX_CHARS = 64
REF_MAX_CHARS = 64
TOKEN_MAX_CHARS = 8192
EPOCH_MAX_CHARS = 64

Ref = (
    Annotated[int, Meta(ge=-ID_MAX, le=ID_MAX)]
    | Annotated[str, Meta(max_length=REF_MAX_CHARS)]
    | None
)
Nonce = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=NONCE_MAX_CHARS,
        description="The client's own name for this write, unique for its channel and user:"
        " sent again it finds its first entry. It does not begin with U+007F, and has no NUL.",
        extra_json_schema={"pattern": "^[^\\u0000\\u007f][^\\u0000]*$"},
    ),
]

# What reading a frame's fields may find, and what a pod that drains says to every command.
_ANY = frozenset({Code.BAD_FIELD, Code.TOO_LONG, Code.DRAINING})
_STORE = frozenset({Code.UNAVAILABLE, Code.INTERNAL})
_WRITE = _ANY | _STORE | {Code.FORBIDDEN, Code.NOT_FOUND, Code.NONCE_CONFLICT}
_WRITE |= {Code.RATE_LIMITED, Code.OVERLOADED}


class _Command(msgspec.Struct, tag_field="t", kw_only=True, gc=False):
    """Base of what a client sends: `t` tells which, `ref` comes back in the answer.

    `answers` are the frames that say it went well, `errors` the codes of the `error` that says why
    not.
    """

    answers: ClassVar[tuple[type[Any], ...]]
    errors: ClassVar[frozenset[Code]] = _ANY

    ref: Ref = None


class Auth(_Command, tag="auth"):
    """Sign in, as the first frame and in time; or renew the expiry of a live socket.

    Not needed where the handshake carried the token in its `Authorization` header. First it is
    answered with `hello`, later with `ok` and the new `exp`. A token of the same user only.
    """

    answers = (events.Hello, events.Ok)
    errors = _ANY | _STORE | {
        Code.UNAUTHORIZED, Code.TOKEN_EXPIRED, Code.FORBIDDEN, Code.RATE_LIMITED, Code.OVERLOADED,
    }  # fmt: skip

    token: Annotated[
        str, Meta(max_length=TOKEN_MAX_CHARS, description="An access token, as REST gives it.")
    ]


class Sub(_Command, tag="sub"):
    """Follow channels: first each one's entries after the cursor, in order, then the live ones.

    The answer `ok` tells each channel's head, or why it cannot be followed (`not_found`,
    `forbidden`). For a subscribed channel it moves the cursor (null: no change).
    """

    answers = (events.Ok,)
    errors = _ANY | _STORE | {Code.RATE_LIMITED}

    ch: Annotated[
        dict[Id, Seq | None],
        Meta(
            description="Channel ids, each with its cursor: the last seq that is known; null:"
            " from the head in the `ok` on.",
            extra_json_schema={"maxProperties": "subs_max"},
        ),
    ]
    epoch: (
        Annotated[
            str,
            Meta(
                max_length=EPOCH_MAX_CHARS,
                description="The epoch under which the cursors were got; where the log has"
                " another one by now, they end with `reset`.",
            ),
        ]
        | None
    ) = None


class Unsub(_Command, tag="unsub"):
    """Follow channels no longer; after the `ok` nothing of them comes."""

    answers = (events.Ok,)

    ch: Annotated[list[Id], Meta(description="Channel ids.")]


class Send(_Command, tag="send"):
    """Write a message. The `ack` comes after its commit, and before its `msg`."""

    answers = (events.Ack,)
    errors = _WRITE

    ch: ChannelId
    content: Content
    nonce: Nonce | None = None


class Edit(_Command, tag="edit"):
    """Give a message of one's own other content."""

    answers = (events.Ack,)
    errors = _WRITE

    ch: ChannelId
    of: Annotated[Id, Meta(description="The message's seq.")]
    content: Content
    nonce: Nonce | None = None


class Del(_Command, tag="del"):
    """Delete a message: its content and that of its edits, not its place in the log."""

    answers = (events.Ack,)
    errors = _WRITE

    ch: ChannelId
    of: Annotated[Id, Meta(description="The message's seq.")]
    nonce: Nonce | None = None


class React(_Command, tag="react"):
    """React to a message with an emoji, or take that back; an entry, even where nothing changes."""

    answers = (events.Ack,)
    errors = _WRITE

    ch: ChannelId
    of: Annotated[Id, Meta(description="The message's seq.")]
    emoji: Emoji
    on: Annotated[bool, Meta(description="False: take it back.")]
    nonce: Nonce | None = None


class Read(_Command, tag="read"):
    """Tell how far one has read a channel; `readSeq` and `unread` of the channel follow.

    It never goes back, nor beyond the head. Several are stored together, a little later. Send it
    when what is shown has changed, not for each message.
    """

    answers = ()
    errors = _ANY | _STORE | {
        Code.FORBIDDEN, Code.NOT_FOUND, Code.RATE_LIMITED, Code.OVERLOADED,
    }  # fmt: skip

    ch: ChannelId
    seq: Annotated[Seq, Meta(description="The last entry that was read.")]


class Typing(_Command, tag="typing"):
    """Tell the others who follow a channel that one is typing. Again every few seconds, while it
    goes on; what is sent sooner is not passed on. Not told in large rooms."""

    answers = ()
    errors = _ANY | _STORE | {Code.FORBIDDEN, Code.NOT_FOUND, Code.RATE_LIMITED}

    ch: ChannelId


class Ping(_Command, tag="ping"):
    """Ask for a `pong`, to see that the link lives where WebSocket pings are out of reach."""

    answers = (events.Pong,)


Command = Auth | Sub | Unsub | Send | Edit | Del | React | Read | Typing | Ping
COMMANDS: tuple[type[Command], ...] = (
    Auth, Sub, Unsub, Send, Edit, Del, React, Read, Typing, Ping,
)  # fmt: skip

# What a frame is answered with that is none of these.
UNREADABLE = frozenset({Code.BAD_JSON, Code.BAD_MESSAGE, Code.UNKNOWN_TYPE})
