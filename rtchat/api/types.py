"""Bodies, queries and answers of the REST interface: each type both checks and documents."""

from typing import Annotated

import msgspec
from msgspec import Meta

from rtchat.commands import Nonce
from rtchat.model import (
    Channel,
    ChannelType,
    Id,
    LiveSession,
    Member,
    Message,
    Role,
    Seq,
    Timestamp,
    User,
)


class _Body(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """Base of what comes in; unknown fields are ignored."""


class Register(_Body, frozen=True):
    """A new account."""

    email: str
    password: str
    name: str | None = None


class Login(_Body, frozen=True):
    """Signing in."""

    email: str
    password: str


RefreshToken = Annotated[str, Meta(max_length=256)]


class Refresh(_Body, frozen=True):
    """Trading a refresh token."""

    refresh_token: RefreshToken


class Logout(_Body, frozen=True):
    """Signing out: one session by its refresh token, or all with a bearer token."""

    refresh_token: RefreshToken | None = None
    all: bool = False


class Exchange(_Body, frozen=True):
    """Trading the code that a sign-in at a provider ended with."""

    code: Annotated[str, Meta(max_length=256)]


class ChangePassword(_Body, frozen=True):
    """Another password; whoever has none yet leaves out the current one."""

    new_password: str
    current_password: str | None = None


class UpdateUser(_Body, frozen=True):
    """What to change of oneself."""

    name: str | None = None
    status: Annotated[str, Meta(max_length=140)] | None = None


class CreateChannel(_Body, frozen=True):
    """A channel to make; a dm has members and no name."""

    type: ChannelType
    name: str | None = None
    members: Annotated[list[Id], Meta(max_length=1000)] = []


class RenameChannel(_Body, frozen=True):
    """What to change of a channel."""

    name: str | None = None


class AddMember(_Body, frozen=True):
    """Somebody to add."""

    user_id: Id
    role: Role = Role.MEMBER


class SetRole(_Body, frozen=True):
    """A member's new role."""

    role: Role


class SendMessage(_Body, frozen=True):
    """A message; with a nonce it may be sent again without harm."""

    content: str
    nonce: Nonce | None = None


class EditMessage(_Body, frozen=True):
    """A message's other content; with a nonce the edit may be sent again without harm."""

    content: str
    nonce: Nonce | None = None


# Queries. Numbers are decimal digits.

Limit = Annotated[int, Meta(ge=1, le=200)]


class UserQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Find users by the beginning of a name or a whole address (q), or by ids."""

    q: Annotated[str, Meta(max_length=254)] | None = None
    ids: Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,15}(,[1-9][0-9]{0,15}){0,199}$")] | None = None
    limit: Limit = 20


class BeginQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which of this server's pages to come back to."""

    next: str | None = None


class CallbackQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider sends back with somebody (RFC 6749 §4.1.2, RFC 9207 §2)."""

    state: str | None = None
    code: str | None = None
    error: str | None = None
    iss: str | None = None


class ChannelQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which channels, and where to go on."""

    scope: Annotated[str, Meta(pattern=r"^(mine|public)$")] = "mine"
    cursor: Seq = 0
    limit: Limit = 50


class SessionQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Where to go on."""

    cursor: Seq = 0
    limit: Limit = 50


class MemberQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Where to go on."""

    cursor: Seq = 0
    limit: Limit = 50


class HistoryQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which page of a channel's messages: before or after a seq; the newest without either."""

    before: Seq | None = None
    after: Seq | None = None
    limit: Limit = 50


# Answers that wrap.


class Users(_Body, frozen=True):
    """Some users."""

    items: list[User]


class Channels(_Body, frozen=True):
    """A page of channels; `next` is the cursor of the one behind it."""

    items: list[Channel]
    next: int | None


class Members(_Body, frozen=True):
    """A page of members; `next` is the cursor of the one behind it."""

    items: list[Member]
    next: int | None


class Messages(_Body, frozen=True):
    """A page of messages, in the order of seq."""

    items: list[Message]
    has_more: bool


class Provider(_Body, frozen=True):
    """A single sign-on provider: its name in paths and on its button, and where sign-in begins."""

    name: str
    title: str
    url: str


class Providers(_Body, frozen=True):
    """The single sign-on providers that are set up."""

    items: list[Provider]


class Linking(_Body, frozen=True):
    """Where to send the browser to link an identity."""

    url: str


class LinkedIdentity(_Body, frozen=True):
    """An identity at a provider that one may sign in with."""

    provider: str
    linked_at: Timestamp


class Identities(_Body, frozen=True):
    """One's identities."""

    items: list[LinkedIdentity]


class Sessions(_Body, frozen=True):
    """A page of one's sessions; `next` is the cursor of the one behind it."""

    items: list[LiveSession]
    next: int | None


class KeySet(_Body, frozen=True):
    """The public halves of the keys that sign access tokens (RFC 7517 §5)."""

    keys: list[dict[str, str]]


class Health(_Body, frozen=True):
    """Whether this process is well."""

    status: str


class Problem(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An error, as application/problem+json (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    field: str | msgspec.UnsetType = msgspec.UNSET
    retry_after: int | msgspec.UnsetType = msgspec.UNSET
