"""The route table: every REST path, what it takes and gives, who answers, what may go wrong."""

from typing import Annotated

from rtchat import web
from rtchat.api import types
from rtchat.api.handlers import (
    auth,
    channels,
    docs,
    documents,
    health,
    members,
    messages,
    metrics,
    sso,
    users,
    ws,
)
from rtchat.api.rates import (
    ADDRESS_CONNECTS,
    CHANGES,
    CONNECTS,
    CREATIONS,
    FLOODS,
    LOGINS,
    PASSWORDS,
    READS,
    REFRESHES,
    REGISTERS,
    SENDS,
    SSO,
)
from rtchat.api.router import Cookie, Media, Route
from rtchat.auth.sessions import Session
from rtchat.config import Config
from rtchat.errors import Code
from rtchat.model import Channel, Member, Message, User

_PROVIDER = "/auth/oauth/{provider:word}"
_CHANNEL = "/channels/{id}"
_MEMBERS = "/channels/{id}/members"
_MEMBER = "/channels/{id}/members/{userId}"
_MESSAGES = "/channels/{id}/messages"
_MESSAGE = "/channels/{id}/messages/{seq}"


def _codes(*codes: Code) -> frozenset[Code]:
    return frozenset(codes)


# What asking the database may end in; a change besides, in the writer's queue and towards the end.
_STORE = _codes(Code.UNAVAILABLE, Code.INTERNAL)
_WRITE = _STORE | {Code.DRAINING}
_HIDDEN = _codes(Code.FORBIDDEN)  # of a channel that one may see; else `not_found`
_TEXT = _codes(Code.TOO_LONG)
_DEVICE = Cookie("rtchat-device", "Known to sign in here: others' failures do not keep it out.")
_BROWSER = Cookie("rtchat-sso", "In which browser the sign-in began; it goes on in no other.")
_DOCUMENT = Media("application/json")
_REFUSED = _codes(Code.UNAUTHORIZED)  # whoever it may be, not so

ROUTES: list[Route] = [
    Route(
        "POST", "/auth/register", auth.register, {201: Session}, types.Register,
        auth=False, limit=REGISTERS, sets=_DEVICE, errors=_STORE | _TEXT | {Code.CONFLICT},
    ),
    Route(
        "POST", "/auth/login", auth.login, {200: Session}, types.Login,
        auth=False, spends=(LOGINS,), reads=_DEVICE, sets=_DEVICE, errors=_STORE | _TEXT | _REFUSED,
    ),
    Route(
        "POST", "/auth/refresh", auth.refresh, {200: Session}, types.Refresh,
        auth=False, spends=(REFRESHES,), errors=_STORE | _TEXT | _REFUSED,
    ),
    Route(
        "POST", "/auth/logout", auth.logout, {204: None}, Annotated[types.Logout, types.ONE_OR_ALL],
        auth=None, errors=_STORE | _TEXT,
    ),
    Route("GET", "/auth/providers", sso.providers, {200: types.Providers}, auth=False),
    Route(
        "GET", _PROVIDER, sso.begin, {302: None}, query=types.BeginQuery,
        auth=False, limit=SSO, reads=_BROWSER, sets=_BROWSER, errors=_codes(Code.UNAVAILABLE),
    ),
    Route(
        "GET", f"{_PROVIDER}/callback", sso.finish, {302: None}, query=types.CallbackQuery,
        auth=False, limit=SSO, reads=_BROWSER, sets=_BROWSER, errors=_STORE,
    ),
    Route(
        "POST", "/auth/oauth/exchange", sso.exchange, {200: Session}, types.Exchange,
        auth=False, limit=SSO, reads=_BROWSER, sets=_BROWSER,
        errors=_STORE | _TEXT | _REFUSED | {Code.NOT_FOUND, Code.CONFLICT},
    ),
    Route(
        "POST", f"{_PROVIDER}/link", sso.link, {200: types.Linking}, query=types.BeginQuery,
        limit=SSO, reads=_BROWSER, sets=_BROWSER, errors=_STORE | {Code.FORBIDDEN},
    ),
    Route("GET", "/auth/identities", sso.identities, {200: types.Identities}, errors=_STORE),
    Route(
        "DELETE", "/auth/identities/{provider:word}", sso.unlink, {204: None},
        errors=_STORE | {Code.CONFLICT},
    ),
    Route(
        "POST", "/auth/password", auth.change_password, {204: None}, types.ChangePassword,
        limit=PASSWORDS, errors=_STORE | _TEXT | {Code.FORBIDDEN, Code.CONFLICT},
    ),
    Route(
        "GET", "/auth/sessions", auth.sessions, {200: types.Sessions},
        query=types.SessionQuery, errors=_STORE,
    ),
    Route("DELETE", "/auth/sessions/{id}", auth.end_session, {204: None}, errors=_STORE),
    Route("GET", "/.well-known/jwks.json", auth.key_set, {200: types.KeySet}, auth=False),
    Route("GET", "/users/me", users.me, {200: User}, errors=_STORE),
    Route(
        "PATCH", "/users/me", users.update_me, {200: User}, types.UpdateUser,
        limit=CHANGES, errors=_STORE | _TEXT,
    ),
    Route(
        "GET", "/users", users.find, {200: types.Users}, query=types.UserQuery,
        limit=READS, errors=_STORE | _TEXT,
    ),
    Route(
        "GET", "/channels", channels.listing, {200: types.Channels}, query=types.ChannelQuery,
        limit=READS, errors=_STORE,
    ),
    Route(
        "POST", "/channels", channels.create, {201: Channel, 200: Channel}, types.CreateChannel,
        limit=CREATIONS, errors=_STORE | _TEXT | {Code.NOT_FOUND},
    ),
    Route("GET", _CHANNEL, channels.get, {200: Channel}, errors=_STORE),
    Route(
        "PATCH", _CHANNEL, channels.rename, {200: Channel}, types.RenameChannel,
        limit=CHANGES, errors=_WRITE | _TEXT | _HIDDEN,
    ),
    Route(
        "DELETE", _CHANNEL, channels.drop, {204: None},
        limit=CHANGES, errors=_WRITE | _HIDDEN,
    ),
    Route(
        "POST", f"{_CHANNEL}/join", channels.join, {200: Channel},
        limit=CHANGES, errors=_WRITE | {Code.UNSUPPORTED},
    ),
    Route(
        "POST", f"{_CHANNEL}/leave", channels.leave, {204: None},
        limit=CHANGES, errors=_WRITE | {Code.UNSUPPORTED, Code.CONFLICT},
    ),
    Route(
        "GET", _MEMBERS, members.listing, {200: types.Members}, query=types.MemberQuery,
        limit=READS, errors=_STORE | _HIDDEN,
    ),
    Route(
        "POST", _MEMBERS, members.add, {201: Member, 200: Member}, types.AddMember,
        limit=CHANGES, errors=_WRITE | _HIDDEN | {Code.UNSUPPORTED},
    ),
    Route(
        "PATCH", _MEMBER, members.set_role, {200: Member}, types.SetRole,
        limit=CHANGES, errors=_WRITE | _HIDDEN,
    ),
    Route(
        "DELETE", _MEMBER, members.remove, {204: None},
        limit=CHANGES, errors=_WRITE | _HIDDEN | {Code.UNSUPPORTED, Code.CONFLICT},
    ),
    Route(
        "GET", _MESSAGES, messages.history, {200: types.Messages}, query=types.HistoryQuery,
        limit=READS, errors=_STORE | _HIDDEN,
    ),
    Route(
        "POST", _MESSAGES, messages.send, {201: Message, 200: Message}, types.SendMessage,
        limit=SENDS, errors=_WRITE | _TEXT | _HIDDEN | {Code.NONCE_CONFLICT},
    ),
    Route("GET", _MESSAGE, messages.get, {200: Message}, errors=_STORE | _HIDDEN),
    Route(
        "PATCH", _MESSAGE, messages.edit, {200: Message}, types.EditMessage,
        limit=SENDS, errors=_WRITE | _TEXT | _HIDDEN | {Code.NONCE_CONFLICT},
    ),
    Route(
        "DELETE", _MESSAGE, messages.delete, {204: None},
        limit=SENDS, errors=_WRITE | _HIDDEN,
    ),
    Route(
        "GET", "/ws", ws.upgrade_required, {426: types.Problem},
        auth=None, spends=(CONNECTS, ADDRESS_CONNECTS, FLOODS),
        errors=_STORE | {Code.FORBIDDEN, Code.DRAINING},
    ),
    Route("GET", "/healthz", health.alive, {200: types.Health}, auth=False, reserved=True),
    Route(
        "GET", "/readyz", health.ready, {200: types.Health},
        auth=False, reserved=True, errors=_codes(Code.UNAVAILABLE, Code.DRAINING),
    ),
    Route("GET", "/openapi.json", documents.openapi, {200: _DOCUMENT, 304: None}, auth=False),
    Route("GET", "/asyncapi.json", documents.asyncapi, {200: _DOCUMENT, 304: None}, auth=False),
    Route("GET", "/", docs.chat, {200: Media(web.HTML), 304: None}, auth=False),
    Route("GET", "/docs", docs.rest, {200: Media(web.HTML), 304: None}, auth=False),
    Route("GET", "/docs/ws", docs.websocket, {200: Media(web.HTML), 304: None}, auth=False),
]  # fmt: skip

# What the pages load: no part of the interface.
ASSETS: list[Route] = [
    Route(
        "GET", asset.path, docs.serving(asset), {200: Media(asset.media_type), 304: None},
        auth=False,
    )
    for asset in web.ASSETS
    if asset.media_type != web.HTML
]  # fmt: skip

# For operators: only where `internal_token` is set.
INTERNAL_ROUTES: list[Route] = [
    Route(
        "POST", "/internal/drain", health.drain, {200: types.Health, 202: types.Health},
        auth=False, operator=True, reserved=True,
    ),
    Route(
        "GET", "/metrics", metrics.metrics, {200: Media(metrics.MEDIA_TYPE)},
        auth=False, operator=True, reserved=True,
    ),
]  # fmt: skip


def public(config: Config) -> list[Route]:
    """What is served to clients, and stands in the document."""
    operators = bool(config.internal_token) and not config.internal_port
    return [*ROUTES, *(INTERNAL_ROUTES if operators else ())]


def internal(config: Config) -> list[Route]:
    """What is served on the internal port: the same few that are let in where there is no room."""
    health = [route for route in ROUTES if route.reserved]
    return [*health, *(INTERNAL_ROUTES if config.internal_token else ())]
