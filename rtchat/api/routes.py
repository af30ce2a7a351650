"""The route table: every REST path, what it takes, what it gives, who answers."""

from rtchat.api import types
from rtchat.api.handlers import auth, channels, health, members, messages, sso, users, ws
from rtchat.api.rates import CHANGES, CREATIONS, PASSWORDS, READS, REGISTERS, SENDS, SSO
from rtchat.api.router import Route
from rtchat.auth.sessions import Session
from rtchat.model import Channel, Member, Message, User

_PROVIDER = "/auth/oauth/{provider:word}"
_CHANNEL = "/channels/{id}"
_MEMBERS = "/channels/{id}/members"
_MEMBER = "/channels/{id}/members/{userId}"
_MESSAGES = "/channels/{id}/messages"
_MESSAGE = "/channels/{id}/messages/{seq}"

ROUTES: list[Route] = [
    Route(
        "POST",
        "/auth/register",
        auth.register,
        {201: Session},
        types.Register,
        auth=False,
        limit=REGISTERS,
    ),
    Route("POST", "/auth/login", auth.login, {200: Session}, types.Login, auth=False),
    Route("POST", "/auth/refresh", auth.refresh, {200: Session}, types.Refresh, auth=False),
    Route("POST", "/auth/logout", auth.logout, {204: None}, types.Logout, auth=False),
    Route("GET", "/auth/providers", sso.providers, {200: types.Providers}, auth=False),
    Route("GET", _PROVIDER, sso.begin, {302: None}, query=types.BeginQuery, auth=False, limit=SSO),
    Route(
        "GET",
        f"{_PROVIDER}/callback",
        sso.finish,
        {302: None},
        query=types.CallbackQuery,
        auth=False,
        limit=SSO,
    ),
    Route(
        "POST",
        "/auth/oauth/exchange",
        sso.exchange,
        {200: Session},
        types.Exchange,
        auth=False,
        limit=SSO,
    ),
    Route(
        "POST",
        f"{_PROVIDER}/link",
        sso.link,
        {200: types.Linking},
        query=types.BeginQuery,
        limit=SSO,
    ),
    Route("GET", "/auth/identities", sso.identities, {200: types.Identities}),
    Route("DELETE", "/auth/identities/{provider:word}", sso.unlink, {204: None}),
    Route(
        "POST",
        "/auth/password",
        auth.change_password,
        {204: None},
        types.ChangePassword,
        limit=PASSWORDS,
    ),
    Route("GET", "/auth/sessions", auth.sessions, {200: types.Sessions}, query=types.SessionQuery),
    Route("DELETE", "/auth/sessions/{id}", auth.end_session, {204: None}),
    Route("GET", "/.well-known/jwks.json", auth.key_set, {200: types.KeySet}, auth=False),
    Route("GET", "/users/me", users.me, {200: User}),
    Route("PATCH", "/users/me", users.update_me, {200: User}, types.UpdateUser, limit=CHANGES),
    Route("GET", "/users", users.find, {200: types.Users}, query=types.UserQuery, limit=READS),
    Route(
        "GET",
        "/channels",
        channels.listing,
        {200: types.Channels},
        query=types.ChannelQuery,
        limit=READS,
    ),
    Route(
        "POST",
        "/channels",
        channels.create,
        {201: Channel, 200: Channel},
        types.CreateChannel,
        limit=CREATIONS,
    ),
    Route("GET", _CHANNEL, channels.get, {200: Channel}),
    Route("PATCH", _CHANNEL, channels.rename, {200: Channel}, types.RenameChannel, limit=CHANGES),
    Route("DELETE", _CHANNEL, channels.drop, {204: None}, limit=CHANGES),
    Route("POST", f"{_CHANNEL}/join", channels.join, {200: Channel}, limit=CHANGES),
    Route("POST", f"{_CHANNEL}/leave", channels.leave, {204: None}, limit=CHANGES),
    Route(
        "GET", _MEMBERS, members.listing, {200: types.Members}, query=types.MemberQuery, limit=READS
    ),
    Route(
        "POST", _MEMBERS, members.add, {201: Member, 200: Member}, types.AddMember, limit=CHANGES
    ),
    Route("PATCH", _MEMBER, members.set_role, {200: Member}, types.SetRole, limit=CHANGES),
    Route("DELETE", _MEMBER, members.remove, {204: None}, limit=CHANGES),
    Route(
        "GET",
        _MESSAGES,
        messages.history,
        {200: types.Messages},
        query=types.HistoryQuery,
        limit=READS,
    ),
    Route(
        "POST",
        _MESSAGES,
        messages.send,
        {201: Message, 200: Message},
        types.SendMessage,
        limit=SENDS,
    ),
    Route("GET", _MESSAGE, messages.get, {200: Message}),
    Route("PATCH", _MESSAGE, messages.edit, {200: Message}, types.EditMessage, limit=SENDS),
    Route("DELETE", _MESSAGE, messages.delete, {204: None}, limit=SENDS),
    Route("GET", "/ws", ws.upgrade_required, {426: types.Problem}, auth=False),
    Route("GET", "/healthz", health.alive, {200: types.Health}, auth=False),
    Route("GET", "/readyz", health.ready, {200: types.Health}, auth=False),
]

# Only where `internal_token` is set; no part of the public interface.
INTERNAL_ROUTES: list[Route] = [
    Route(
        "POST",
        "/internal/drain",
        health.drain,
        {200: types.Health, 202: types.Health},
        auth=False,  # it has a token of its own
    ),
]
