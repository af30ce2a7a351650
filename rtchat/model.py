"""The plain values that travel between the layers, in the shape in which users see them.

Owns: what a user, channel, member, message and log entry is. Structs that leave the server carry
the contract's camelCase names (§2) and are the one source of their JSON schemas. No I/O, no rules.
"""

from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

ID_MAX = 2**53 - 1  # the largest integer that every JSON reader keeps exactly (RFC 8259 §6)

Id = Annotated[int, Meta(ge=1, le=ID_MAX)]
Seq = Annotated[int, Meta(ge=0, le=ID_MAX)]
ChannelId = Annotated[Id, Meta(description="The channel's id.")]
Timestamp = Annotated[
    str, Meta(description="RFC 3339, UTC, milliseconds.", extra_json_schema={"format": "date-time"})
]

# Bounds that are settings stand in the schema by the setting's name; `schemas` puts the number in.
# Who checks them is `names`, with the configuration at hand.
Content = Annotated[
    str,
    Meta(
        description="The text, stored and returned exactly as sent. Not only white space, no NUL.",
        extra_json_schema={"minLength": 1, "maxLength": "content_max_chars"},
    ),
]
Name = Annotated[
    str,
    Meta(
        description="A name as people see it: at least one visible character, none invisible;"
        " stored in Unicode NFC, without outer blanks.",
        extra_json_schema={"minLength": 1, "maxLength": "name_max_chars"},
    ),
]
Emoji = Annotated[
    str,
    Meta(
        description="One emoji, no other text.",
        extra_json_schema={"minLength": 1, "maxLength": "emoji_max_chars"},
    ),
]
Status = Annotated[str, Meta(max_length=140, description="Free text.")]


class ChannelType(StrEnum):
    """Who may see and join a channel."""

    PUBLIC = "public"
    PRIVATE = "private"
    DM = "dm"


class Role(StrEnum):
    """What a member may do."""

    OWNER = "owner"
    ADMIN = "admin"
    MEMBER = "member"


class Kind(IntEnum):
    """What a log entry is. The numbers are stored: never change one, only add."""

    MESSAGE = 1
    EDIT = 2
    DELETE = 3
    REACT = 4
    UNREACT = 5
    JOIN = 6
    LEAVE = 7
    RENAME = 8
    DROP = 9  # the channel's tombstone: its last entry, of which no frame is made


class LogEntry(msgspec.Struct, frozen=True, gc=False):
    """One change in a channel, as stored.

    `user_id` is who did it. `target` is the seq that an edit, deletion or reaction is about, or the
    user who joined or left. `content` is the text, the emoji or the new name. `ts` is milliseconds
    since 1970. `deleted` tells that a message's content was blanked after it was sent.
    """

    channel_id: int
    seq: int
    kind: Kind
    user_id: int
    target: int | None
    content: str | None
    ts: int
    nonce: str | None = None
    deleted: bool = False


class _Public(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """Base of what clients see: camelCase names, fields by keyword."""


class User(_Public, frozen=True):
    """A person. `email` is there for oneself only, and null where no provider vouched for one."""

    id: Id
    name: str
    status: str
    last_active: Annotated[Timestamp | None, Meta(description="When last seen; null: never.")]
    email: Annotated[str | UnsetType | None, Meta(description="Of oneself only.")] = UNSET


class LiveSession(_Public, frozen=True):
    """A session that stands, as its user sees it. `id` is the text that `hello` has, too."""

    id: str
    created_at: Timestamp
    refreshed_at: Timestamp
    expires_at: Timestamp
    agent: Annotated[str, Meta(description="What signed in, in its own words.")]
    current: Annotated[bool, Meta(description="Whether it is the one that asks.")]


class Channel(_Public, frozen=True):
    """A channel as one user sees it: `role` is null, and read state too, for a non-member."""

    id: Id
    name: str | None
    type: ChannelType
    created_by: Id
    created_at: Timestamp
    updated_at: Timestamp
    role: Annotated[Role | None, Meta(description="The asker's; null: no member.")]
    last_seq: Annotated[Seq, Meta(description="The head of its log.")]
    read_seq: Annotated[Seq | None, Meta(description="How far the asker has read.")]
    unread: (
        Annotated[int, Meta(ge=0, description="Messages of others behind that, up to a limit.")]
        | None
    )


class Member(_Public, frozen=True):
    """A user in a channel."""

    user: User
    role: Role
    joined_at: Timestamp


REACTION_USERS_MAX = 100  # who is told by name, of those who reacted with the same emoji


class Reaction(_Public, frozen=True):
    """An emoji at a message: `count` people reacted with it, `users` are the first of them."""

    emoji: Emoji
    count: Annotated[int, Meta(ge=1)]
    users: Annotated[
        list[Id],
        Meta(
            min_length=1,
            max_length=REACTION_USERS_MAX,
            description="The first 100, in the order in which they did; of more, the reader last.",
        ),
    ]


class Message(_Public, frozen=True):
    """A message as stored. `id` is channel and seq as one key; `nonce` is its author's only."""

    id: Annotated[str, Meta(description="Channel and seq as one key: `17:1205`.")]
    channel_id: Id
    seq: Annotated[Id, Meta(description="Its place in the channel's log.")]
    user_id: Annotated[Id, Meta(description="Its author.")]
    content: Annotated[str, Meta(description="As it is now; empty where it was deleted.")]
    timestamp: Timestamp
    nonce: Annotated[str | UnsetType, Meta(description="To its author only.")] = UNSET
    edited_at: Timestamp | UnsetType = UNSET
    deleted_at: Timestamp | UnsetType = UNSET
    reactions: (
        Annotated[
            list[Reaction],
            Meta(min_length=1, description="In the order in which they came; absent: none."),
        ]
        | UnsetType
    ) = UNSET


def rfc3339(moment: datetime) -> str:
    """Write an aware UTC `moment` with milliseconds: 2026-01-31T23:59:59.123Z."""
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def rfc3339_from_ms(ms: int) -> str:
    """Write milliseconds since 1970 as `rfc3339` does."""
    return rfc3339(datetime.fromtimestamp(ms / 1000, UTC))
