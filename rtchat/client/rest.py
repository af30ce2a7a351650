"""The REST interface (contract §2), as far as clients, tests and benches need it.

Owns: an HTTP client that is kept open, and the reading of answers and problems. What may be
repeated without harm is repeated on `retry` errors and broken links, until `retry_s` is over:
reads, joining, leaving, and messages, which always carry a nonce. Must never: repeat the rest
(registering, making a channel, trading a refresh token).
"""

import asyncio
import math
import random
import secrets
import ssl as tls
from collections.abc import Callable
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import httpx2
import msgspec
import orjson

from rtchat.client.errors import RefusedError, UnreachableError
from rtchat.client.model import (
    Channel,
    Channels,
    Identities,
    Linking,
    LiveSessions,
    Member,
    Members,
    Message,
    Messages,
    Providers,
    Session,
    User,
)

T = TypeVar("T")
KEEP_S = 4.0  # the server closes an idle link after 5 s; a request must not meet that
RETRY_S, RETRY_CAP_S = 0.2, 5.0
SHARED_S = 5.0  # a token that was traded so lately is given again

_SCHEMES = {"ws": "ws", "http": "ws", "wss": "wss", "https": "wss"}


def endpoints(url: str) -> tuple[str, str]:
    """Derive the WebSocket's URL and that of REST from either: `ws://host/ws`, `http://host`."""
    parts = urlsplit(url)
    scheme = _SCHEMES.get(parts.scheme)
    if scheme is None or not parts.netloc:
        raise ValueError(f"{url!r} is not ws://host, wss://host, http://host or https://host")
    base = f"{parts.netloc}{parts.path.rstrip('/').removesuffix('/ws')}"
    return f"{scheme}://{base}/ws", f"{scheme.replace('ws', 'http')}://{base}"


class _Problem(msgspec.Struct, rename="camel"):
    code: str = ""
    detail: str = ""
    field: str | None = None
    retry_after: float | None = None


class Rest:
    """Calls on behalf of one user, or of nobody.

    `token` is a text, or a function that returns the current one. With `http` a client is shared;
    whoever made that closes it. `async with` or `close` ends one of our own.
    """

    def __init__(
        self,
        url: str,
        token: str | Callable[[], str] | None = None,
        *,
        http: httpx2.AsyncClient | None = None,
        ssl: tls.SSLContext | None = None,
        trust_env: bool = True,
        retry_s: float = 15.0,
    ) -> None:
        self._base = endpoints(url)[1]
        self.token = token
        self._owned = http is None
        self._http = http or make_http(ssl=ssl, trust_env=trust_env)
        self._retry_s = retry_s

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End the HTTP client, if it is ours."""
        if self._owned:
            await self._http.aclose()

    def as_user(self, token: str | Callable[[], str]) -> "Rest":
        """The same interface and HTTP client, for another user."""
        return Rest(self._base, token, http=self._http, retry_s=self._retry_s)

    # --- signing in

    async def register(self, email: str, password: str, name: str | None = None) -> Session:
        """Make an account and sign in."""
        body = {"email": email, "password": password, "name": name}
        return await self._call("POST", "/auth/register", Session, body)

    async def login(self, email: str, password: str) -> Session:
        """Sign in."""
        body = {"email": email, "password": password}
        return await self._call("POST", "/auth/login", Session, body)

    async def refresh(self, refresh_token: str) -> Session:
        """Trade a refresh token, which is dead afterwards, for a session with new tokens."""
        body = {"refreshToken": refresh_token}
        return await self._call("POST", "/auth/refresh", Session, body)

    async def logout(self, refresh_token: str) -> None:
        """End a session; its sockets close with 4004."""
        await self._call("POST", "/auth/logout", None, {"refreshToken": refresh_token})

    async def logout_all(self) -> None:
        """End every session of the user, the present one too."""
        await self._call("POST", "/auth/logout", None, {"all": True})

    async def sessions(self, *, cursor: int | None = None, limit: int = 200) -> LiveSessions:
        """A page of one's sessions, the newest first."""
        query = {"cursor": cursor, "limit": limit}
        return await self._call("GET", "/auth/sessions", LiveSessions, query=query, again=True)

    async def end_session(self, session: str) -> None:
        """End one of one's own sessions, by its id; its sockets close with 4004."""
        await self._call("DELETE", f"/auth/sessions/{session}", None)

    async def change_password(self, current: str | None, new: str) -> None:
        """Set another password and end the other sessions. `current` is None for a first one.

        RefusedError with `forbidden` and the field currentPassword: that one is wrong.
        """
        body = {"currentPassword": current, "newPassword": new}
        await self._call("POST", "/auth/password", None, body)

    async def providers(self) -> Providers:
        """The single sign-on providers, and where a browser begins with each."""
        return await self._call("GET", "/auth/providers", Providers, again=True)

    async def exchange(self, code: str) -> Session:
        """Trade the code of a sign-in that began with this object's HTTP client and its cookies."""
        return await self._call("POST", "/auth/oauth/exchange", Session, {"code": code})

    async def link(self, provider: str, page: str | None = None) -> str:
        """Where a browser with this client's cookies goes to link; back to `page`, a path."""
        path = f"/auth/oauth/{provider}/link"
        return (await self._call("POST", path, Linking, query={"next": page})).url

    async def identities(self) -> Identities:
        """The identities that one may sign in with."""
        return await self._call("GET", "/auth/identities", Identities, again=True)

    async def unlink(self, provider: str) -> None:
        """Remove an identity; the last way to sign in stays (`conflict`)."""
        await self._call("DELETE", f"/auth/identities/{provider}", None)

    async def me(self) -> User:
        """Who the token speaks for."""
        return await self._call("GET", "/users/me", User, again=True)

    # --- channels

    async def create_channel(
        self, name: str | None, type: str = "public", members: list[int] | None = None
    ) -> Channel:
        """Make a channel; a dm has members and no name."""
        body = {"name": name, "type": type, "members": members or []}
        return await self._call("POST", "/channels", Channel, body)

    async def channel(self, channel: int) -> Channel:
        """Look at a channel."""
        return await self._call("GET", f"/channels/{channel}", Channel, again=True)

    async def channels(
        self, scope: str = "mine", *, cursor: int | None = None, limit: int = 200
    ) -> Channels:
        """A page of one's own or of the public channels."""
        query = {"scope": scope, "cursor": cursor, "limit": limit}
        return await self._call("GET", "/channels", Channels, query=query, again=True)

    async def join(self, channel: int) -> Channel:
        """Become a member."""
        return await self._call("POST", f"/channels/{channel}/join", Channel, again=True)

    async def leave(self, channel: int) -> None:
        """Cease to be a member."""
        await self._call("POST", f"/channels/{channel}/leave", None, again=True)

    async def members(
        self, channel: int, *, cursor: int | None = None, limit: int = 200
    ) -> Members:
        """A page of members."""
        query = {"cursor": cursor, "limit": limit}
        path = f"/channels/{channel}/members"
        return await self._call("GET", path, Members, query=query, again=True)

    async def add_member(self, channel: int, user: int, role: str = "member") -> Member:
        """Make somebody a member."""
        body = {"userId": user, "role": role}
        return await self._call("POST", f"/channels/{channel}/members", Member, body, again=True)

    async def remove_member(self, channel: int, user: int) -> None:
        """End a membership."""
        await self._call("DELETE", f"/channels/{channel}/members/{user}", None)

    # --- messages

    async def history(
        self,
        channel: int,
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int = 50,
    ) -> Messages:
        """A page of messages in the order of seq; the newest page by default."""
        query = {"before": before, "after": after, "limit": limit}
        path = f"/channels/{channel}/messages"
        return await self._call("GET", path, Messages, query=query, again=True)

    async def send(self, channel: int, content: str, nonce: str | None = None) -> Message:
        """Store a message, once, over as many tries as it takes."""
        body = {"content": content, "nonce": nonce or secrets.token_urlsafe(12)}
        path = f"/channels/{channel}/messages"
        return await self._call("POST", path, Message, body, again=True)

    # --- one call

    async def _call(
        self,
        method: str,
        path: str,
        answer: type[T] | None,
        body: dict[str, Any] | None = None,
        *,
        query: dict[str, Any] | None = None,
        again: bool = False,
    ) -> T:
        """Make a call; with `again`, until it has an answer or the time is over."""
        deadline = asyncio.get_running_loop().time() + self._retry_s
        for tries in range(1_000_000):
            wait_s = random.uniform(0, min(RETRY_CAP_S, RETRY_S * 2 ** min(tries, 8)))
            try:
                response = await self._request(method, path, body, query)
                if response.is_success:
                    return _read(response, answer)
                refusal, retry = _problem(response)
                if not (again and retry):
                    raise refusal
                failure: Exception = refusal
                wait_s = max(wait_s, refusal.retry_after_s or 0.0)
            except httpx2.TransportError as error:
                failure = UnreachableError(f"{method} {path}: {type(error).__name__} {error}")
                failure.__cause__ = error
            if not again or asyncio.get_running_loop().time() + wait_s > deadline:
                raise failure
            await asyncio.sleep(wait_s)
        raise AssertionError("unreachable")

    async def _request(
        self, method: str, path: str, body: dict[str, Any] | None, query: dict[str, Any] | None
    ) -> httpx2.Response:
        headers = {}
        content = None
        if self.token is not None:
            token = self.token() if callable(self.token) else self.token
            headers["Authorization"] = f"Bearer {token}"
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = orjson.dumps({k: v for k, v in body.items() if v is not None})
        params = {k: v for k, v in (query or {}).items() if v is not None}
        url = self._base + path
        return await self._http.request(
            method, url, content=content, headers=headers, params=params or None
        )


def make_http(
    *, ssl: tls.SSLContext | None = None, trust_env: bool = True, connections: int = 20
) -> httpx2.AsyncClient:
    """An HTTP client to share between many `Rest`."""
    return httpx2.AsyncClient(
        verify=True if ssl is None else ssl,
        trust_env=trust_env,
        timeout=httpx2.Timeout(15.0),
        limits=httpx2.Limits(
            max_connections=connections,
            max_keepalive_connections=connections,
            keepalive_expiry=KEEP_S,
        ),
    )


def _read(response: httpx2.Response, answer: type[T] | None) -> T:
    if answer is None:
        return None  # type: ignore[return-value]  # asked for by callers that return nothing
    return msgspec.json.decode(response.content, type=answer)


def _problem(response: httpx2.Response) -> tuple[RefusedError, bool]:
    """The error of an answer, and whether the same call may succeed later."""
    try:
        problem = msgspec.json.decode(response.content, type=_Problem)
    except (msgspec.DecodeError, UnicodeError):  # not ours: a proxy's page
        problem = _Problem(detail=response.reason_phrase)
    error = RefusedError(
        problem.code or f"http_{response.status_code}",
        problem.detail,
        field=problem.field,
        status=response.status_code,
        retry_after_s=problem.retry_after,
    )
    return error, response.status_code == 429 or response.status_code >= 500


class Renewing:
    """A provider of tokens for `Client(tokens=…)`: trades the refresh token for each new one.

    A client asks when it has no token, or none that will do, so every call but the first trades.
    Shared by several clients, which ask at the same moments, it trades once in 5 s. `on_session`
    gets every new session, to be stored: the old refresh token is dead by then, and using it again
    ends the session.
    """

    def __init__(
        self, rest: Rest, session: Session, on_session: Callable[[Session], None] | None = None
    ) -> None:
        self.session = session
        self._rest = rest
        self._on_session = on_session
        self._lock = asyncio.Lock()
        self._asked = False
        self._traded_at = -math.inf

    async def __call__(self) -> str:
        """A token that is good for a while."""
        async with self._lock:
            now = asyncio.get_running_loop().time()
            if self._asked and now - self._traded_at > SHARED_S:
                self.session = await self._rest.refresh(self.session.refresh_token)
                self._traded_at = now
                if self._on_session is not None:
                    self._on_session(self.session)
            self._asked = True
            return self.session.access_token
