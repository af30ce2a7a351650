"""Registering, signing in and out."""

import time

from rtchat.api import types
from rtchat.api.asgi import header
from rtchat.api.call import Call
from rtchat.api.rates import LOGINS, REFRESHES
from rtchat.api.router import Answer
from rtchat.auth.sessions import bad_refresh_token
from rtchat.errors import ChatError, Code


async def register(call: Call) -> Answer:
    """Make an account and sign in.

    A browser gets a cookie by which later failures elsewhere do not keep its owner out.
    """
    body: types.Register = call.body
    session = await call.services.accounts.register(
        body.email, body.password, body.name, call.client
    )
    _remember_device(call, call.services.throttle.devices.account(body.email), None)
    return 201, session


async def login(call: Call) -> Answer:
    """Sign in with address and password.

    `unauthorized` has the same words for an unknown address and a wrong password. Failures are
    throttled by account, device and address.
    """
    body: types.Login = call.body
    throttle, client = call.services.throttle, call.client
    account = throttle.devices.account(body.email)
    cookies = header(call.scope, b"cookie")
    device = throttle.devices.find(cookies, account, time.time(), secure=_is_secure(call))
    # A flood from the address of somebody's known device does not reach that device.
    await call.services.rates.spend(LOGINS, None, client.address if device is None else account)
    async with throttle.login(account, device, client.address):
        session = await call.services.accounts.login(body.email, body.password, client)
    _remember_device(call, account, device)
    return 200, session


def _remember_device(call: Call, account: str, device: str | None) -> None:
    """Let a browser on which the right password was given be throttled apart from strangers."""
    devices = call.services.throttle.devices
    cookie = devices.cookie(account, device, time.time(), secure=_is_secure(call))
    call.headers.append((b"set-cookie", cookie))


def _is_secure(call: Call) -> bool:
    return bool(call.scope["scheme"] == "https")


async def refresh(call: Call) -> Answer:
    """Trade a refresh token for a new access token and the refresh token's successor.

    The old one is dead then. One that is used a second time ends its session: it was copied.
    """
    body: types.Refresh = call.body
    services, client = call.services, call.client
    # Only who has none is throttled: nobody is signed out by another's failures at his address.
    holder = await services.sessions.holder(body.refresh_token)
    if holder is None:
        async with services.throttle.refresh(client.address):
            raise bad_refresh_token()
    await services.rates.spend(REFRESHES, holder.user.id, client.address)
    return 200, await services.sessions.refresh(body.refresh_token, holder, client)


async def logout(call: Call) -> Answer:
    """Sign out: end one session by its refresh token, or all of one's sessions.

    `all` wants a bearer token. Live sockets of what ended close with 4004.
    """
    body: types.Logout = call.body
    if body.all:
        await call.services.sessions.logout_all(call.user_id, call.client)
    elif body.refresh_token is not None:
        await call.services.sessions.logout(body.refresh_token, call.client)
    else:
        raise ChatError(Code.BAD_FIELD, "Either refreshToken or all.", field="refreshToken")
    return 204, None


async def change_password(call: Call) -> Answer:
    """Set another password.

    It takes the current one (`forbidden` where it is wrong), or where there is none a sign-in of
    the last minutes. One's other sessions end.
    """
    body: types.ChangePassword = call.body
    who, client = call.who, call.client
    async with call.services.throttle.password(who.user_id, client.address):
        await call.services.accounts.change_password(
            who, body.current_password, body.new_password, client
        )
    return 204, None


async def sessions(call: Call) -> Answer:
    """List one's sessions, the newest first."""
    query: types.SessionQuery = call.query
    found = await call.services.sessions.listing(call.who, query.cursor, query.limit + 1)
    items = found[: query.limit]
    more = len(found) > len(items)
    return 200, types.Sessions(items=items, next=int(items[-1].id) if more else None)


async def end_session(call: Call) -> Answer:
    """End one of one's sessions; its live sockets close with 4004."""
    await call.services.sessions.revoke(call.user_id, call.ids["id"], call.client)
    return 204, None


async def key_set(call: Call) -> Answer:
    """List the public keys that access tokens are signed with; none where a secret signs."""
    call.headers.append((b"cache-control", b"public, max-age=300"))
    return 200, types.KeySet(keys=call.services.sessions.public_keys())
