"""Bodies, queries and answers of the REST interface: each type both checks and documents."""

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from rtchat.commands import Nonce
from rtchat.errors import Code
from rtchat.model import (
    Channel,
    ChannelType,
    Content,
    Id,
    LiveSession,
    Member,
    Message,
    Name,
    Role,
    Seq,
    Status,
    Timestamp,
    User,
)
from rtchat.names import EMAIL, EMAIL_MAX_CHARS


class _Body(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """Base of what comes in; unknown fields are ignored."""


Email = Annotated[
    str,
    Meta(
        description="An e-mail address, of any script, compared without case.",
        extra_json_schema={
            "maxLength": EMAIL_MAX_CHARS, "pattern": f"^{EMAIL.pattern}$",
        },
    ),
]  # fmt: skip
NewPassword = Annotated[
    str,
    Meta(
        description="Any characters; none of the 30 000 most common passwords, and not made of"
        " one's name or address. The longest is counted in bytes of UTF-8.",
        extra_json_schema={
            "format": "password", "minLength": "password_min_chars",
            "maxLength": "password_max_bytes",
        },
    ),
]  # fmt: skip
Password = Annotated[
    str, Meta(extra_json_schema={"format": "password", "maxLength": "password_max_bytes"})
]
RefreshToken = Annotated[
    str, Meta(max_length=256, description="The refresh token of a session; it works once.")
]


class Register(_Body, frozen=True):
    """A new account."""

    email: Email
    password: NewPassword
    name: Annotated[Name | None, Meta(description="Else the address up to its @.")] = None


class Login(_Body, frozen=True):
    """Signing in."""

    email: Annotated[str, Meta(description="The address, in any case.")]
    password: Password


class Refresh(_Body, frozen=True):
    """Trading a refresh token."""

    refresh_token: RefreshToken


class Logout(_Body, frozen=True):
    """Signing out: one session by its refresh token, or all with a bearer token."""

    refresh_token: RefreshToken | None = None
    all: Annotated[bool, Meta(description="True: all sessions of whoever asks.")] = False


ONE_OR_ALL = Meta(
    extra_json_schema={
        "anyOf": [
            {"required": ["refreshToken"], "properties": {"refreshToken": {"type": "string"}}},
            {"required": ["all"], "properties": {"all": {"const": True}}},
        ]
    }
)


class Exchange(_Body, frozen=True):
    """Trading the code that a sign-in at a provider ended with."""

    code: Annotated[str, Meta(max_length=256, description="What the page got in its query.")]


class ChangePassword(_Body, frozen=True):
    """Another password; whoever has none yet leaves out the current one."""

    new_password: NewPassword
    current_password: Password | None = None


class UpdateUser(_Body, frozen=True):
    """What to change of oneself; what is left out or null stays."""

    name: Name | None = None
    status: Status | None = None


class _NewChannel(_Body, frozen=True, kw_only=True, tag_field="type"):
    """Base of what channels are made of; `type` tells which."""

    members: Annotated[
        list[Id],
        Meta(
            description="Ids of users who are members from the start, besides the asker.",
            extra_json_schema={"maxItems": "new_channel_max_members - 1"},
        ),
    ] = []


class NewPublic(_NewChannel, frozen=True, kw_only=True, tag="public"):
    """A channel that everybody may see and join."""

    type: ClassVar[ChannelType] = ChannelType.PUBLIC
    name: Name


class NewPrivate(_NewChannel, frozen=True, kw_only=True, tag="private"):
    """A channel that only its members see; members add others."""

    type: ClassVar[ChannelType] = ChannelType.PRIVATE
    name: Name


class NewDm(_NewChannel, frozen=True, kw_only=True, tag="dm"):
    """A conversation of a fixed set of people, the asker one of them; without a name."""

    type: ClassVar[ChannelType] = ChannelType.DM
    name: None = None
    members: Annotated[
        list[Id],
        Meta(
            min_length=1,
            description="Ids of the others.",
            extra_json_schema={"maxItems": "dm_max_members - 1"},
        ),
    ]


CreateChannel = NewPublic | NewPrivate | NewDm


class RenameChannel(_Body, frozen=True):
    """What to change of a channel; what is left out or null stays."""

    name: Name | None = None


class AddMember(_Body, frozen=True):
    """Somebody to add."""

    user_id: Id
    role: Annotated[Role, Meta(extra_json_schema={"enum": ["admin", "member"]})] = Role.MEMBER


class SetRole(_Body, frozen=True):
    """A member's new role; `owner` hands the channel over."""

    role: Role


class SendMessage(_Body, frozen=True):
    """A message; with a nonce it may be sent again without harm."""

    content: Content
    nonce: Nonce | None = None


class EditMessage(_Body, frozen=True):
    """A message's other content; with a nonce the edit may be sent again without harm."""

    content: Content
    nonce: Nonce | None = None


# Queries. Numbers are decimal digits.

Limit = Annotated[int, Meta(ge=1, le=200, description="How many at most.")]
Cursor = Annotated[Seq, Meta(description="Where to go on: the `next` of the page before.")]


class UserQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Find users by `q`, or get those of `ids`: one of the two."""

    q: (
        Annotated[
            str, Meta(max_length=254, description="The beginning of a name, or a whole address.")
        ]
        | None
    ) = None
    ids: (
        Annotated[
            str,
            Meta(
                pattern=r"^[1-9][0-9]{0,15}(,[1-9][0-9]{0,15}){0,199}$",
                description="Up to 200 ids, comma-separated.",
            ),
        ]
        | None
    ) = None
    limit: Limit = 20


class BeginQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which of this server's pages to come back to."""

    next: (
        Annotated[
            str, Meta(description="Path and query of a page of this server's; else the one set up.")
        ]
        | None
    ) = None


class CallbackQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider sends back with somebody (RFC 6749 §4.1.2, RFC 9207 §2)."""

    state: Annotated[str, Meta(description="As it was sent along.")] | None = None
    code: Annotated[str, Meta(description="To be redeemed at the provider.")] | None = None
    error: Annotated[str, Meta(description="Why there is no code.")] | None = None
    iss: Annotated[str, Meta(description="Which provider it says it is.")] | None = None


class ChannelQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which channels, and where to go on."""

    scope: Annotated[
        str,
        Meta(
            pattern=r"^(mine|public)$",
            description="Those that one is a member of, or all public ones.",
            extra_json_schema={"enum": ["mine", "public"]},
        ),
    ] = "mine"
    cursor: Cursor = 0
    limit: Limit = 50


class SessionQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Where to go on."""

    cursor: Cursor = 0
    limit: Limit = 50


class MemberQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Where to go on."""

    cursor: Cursor = 0
    limit: Limit = 50


class HistoryQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which page of a channel's messages: before or after a seq; the newest without either."""

    before: Annotated[Seq, Meta(description="Only messages with a lower seq.")] | None = None
    after: Annotated[Seq, Meta(description="Only messages with a higher seq.")] | None = None
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
    has_more: Annotated[bool, Meta(description="Whether there are more in that direction.")]


class Provider(_Body, frozen=True):
    """A single sign-on provider: its name in paths and on its button, and where sign-in begins."""

    name: Annotated[str, Meta(description="As it stands in paths.")]
    title: Annotated[str, Meta(description="As it stands on a button.")]
    url: Annotated[str, Meta(description="Where the browser goes to sign in.")]


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

    type: Annotated[str, Meta(description="`urn:rtchat:error:` and the code.")]
    title: Annotated[str, Meta(description="What the code means, in a few words.")]
    status: int
    detail: Annotated[str, Meta(description="What is wrong this time; for people.")]
    code: Annotated[Code, Meta(description="For programs.")]
    field: Annotated[
        str | msgspec.UnsetType, Meta(description="The field or parameter at fault.")
    ] = msgspec.UNSET
    retry_after: (
        Annotated[int, Meta(ge=1, description="Seconds, as the header has them.")]
        | msgspec.UnsetType
    ) = msgspec.UNSET
