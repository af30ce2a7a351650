"""The values of the REST interface and of the frames that carry them (contract §2).

Owns: the client's own reading of User, Channel, Member, Message and Session. Unknown fields are
ignored, and what the contract calls optional has a default, so that a newer server can add.
Timestamps stay the text that they are: RFC 3339, UTC, milliseconds.
"""

import msgspec


class _Value(msgspec.Struct, rename="camel", kw_only=True, gc=False):
    """Base: camelCase on the wire, snake_case here."""


class User(_Value):
    """A person; `email` is there for oneself only."""

    id: int
    name: str
    status: str = ""
    email: str | None = None
    last_active: str | None = None


class Channel(_Value):
    """A channel as the asker sees it; `role` is None for a non-member."""

    id: int
    type: str
    last_seq: int
    name: str | None = None
    created_by: int | None = None
    created_at: str = ""
    updated_at: str = ""
    role: str | None = None
    read_seq: int | None = None
    unread: int | None = None


class Member(_Value):
    """A user in a channel."""

    user: User
    role: str
    joined_at: str


class Reaction(_Value):
    """An emoji at a message: how many reacted with it, and the first of them."""

    emoji: str
    count: int
    users: list[int] = []


class Message(_Value):
    """A message as stored; (`channel_id`, `seq`) names it, and `id` is both as one text."""

    id: str
    channel_id: int
    seq: int
    user_id: int
    content: str
    timestamp: str
    nonce: str | None = None
    edited_at: str | None = None
    deleted_at: str | None = None
    reactions: list[Reaction] = []


class Session(_Value):
    """The answer to signing in. `expires_in` is the access token's life in seconds."""

    user: User
    access_token: str
    refresh_token: str
    expires_in: float
    token_type: str = "Bearer"  # noqa: S105  the scheme's name (RFC 6750)


class LiveSession(_Value):
    """One of the user's sessions; `current` is the one that asked."""

    id: str
    created_at: str
    refreshed_at: str
    expires_at: str
    agent: str = ""
    current: bool = False


class LiveSessions(_Value):
    """A page of sessions, the newest first; `next` is the cursor of the following one."""

    items: list[LiveSession]
    next: int | None = None


class Provider(_Value):
    """A single sign-on provider: its name in paths, on its button, and where a browser begins."""

    name: str
    url: str
    title: str = ""


class Providers(_Value):
    """The providers that are set up."""

    items: list[Provider]


class Linking(_Value):
    """Where a browser goes to link an identity."""

    url: str


class LinkedIdentity(_Value):
    """An identity at a provider that one may sign in with."""

    provider: str
    linked_at: str = ""


class Identities(_Value):
    """One's identities."""

    items: list[LinkedIdentity]


class Users(_Value):
    """People who were found."""

    items: list[User]


class Messages(_Value):
    """A page of history, in the order of seq."""

    items: list[Message]
    has_more: bool


class Members(_Value):
    """A page of members; `next` is the cursor of the following one."""

    items: list[Member]
    next: int | None = None


class Channels(_Value):
    """A page of channels; `next` is the cursor of the following one."""

    items: list[Channel]
    next: int | None = None
