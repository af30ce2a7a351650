"""The REST interface (contract §2): a method for each thing that a client may ask.

Owns: which calls there are, and which of them may be repeated: reads, joining, leaving, adding a
member, one's own name and status, and messages and edits, which always carry a nonce.
Must never: repeat the rest (registering, making a channel, trading a refresh token, …); where such
a call raises UnreachableError, it may have been heard or not.

Every method raises RefusedError where the server says no, with the contract's `code`, and
UnreachableError where no answer came within `retry_s` (15 s by default).
"""

import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Sequence

from rtchat.client.calls import Calls
from rtchat.client.model import (
    Channel,
    Channels,
    Identities,
    Linking,
    LiveSession,
    LiveSessions,
    Member,
    Members,
    Message,
    Messages,
    Providers,
    Session,
    User,
    Users,
)

PAGE = 200  # the most that the server gives at once


class Rest(Calls):
    """Calls on behalf of one user, or of nobody.

    `url`: http:// or ws://. `token` is a text, or a function that returns the current one. With
    `http` (`make_http`) a client is shared; whoever made that closes it. `async with` or `close`
    ends one of our own. `retry_s`: how long a call that may be repeated is tried. `trust_env`:
    whether the environment's proxies are used.
    """

    def as_user(self, token: str | Callable[[], str]) -> "Rest":
        """The same interface and HTTP client, for another user."""
        return Rest(self._base, token, http=self._http, retry_s=self._retry_s)

    # --- signing in

    async def register(self, email: str, password: str, name: str | None = None) -> Session:
        """Make an account and sign in. A taken address is `conflict`."""
        body = {"email": email, "password": password, "name": name}
        return await self.call("POST", "/auth/register", Session, body)

    async def login(self, email: str, password: str) -> Session:
        """Sign in. A wrong address and a wrong password are the same `unauthorized`."""
        body = {"email": email, "password": password}
        return await self.call("POST", "/auth/login", Session, body)

    async def refresh(self, refresh_token: str) -> Session:
        """Trade a refresh token, which is dead afterwards, for a session with new tokens."""
        body = {"refreshToken": refresh_token}
        return await self.call("POST", "/auth/refresh", Session, body)

    async def logout(self, refresh_token: str) -> None:
        """End a session; its sockets close with 4004."""
        await self.call("POST", "/auth/logout", None, {"refreshToken": refresh_token})

    async def logout_all(self) -> None:
        """End every session of the user, the present one too."""
        await self.call("POST", "/auth/logout", None, {"all": True})

    async def sessions(self, *, cursor: int | None = None, limit: int = PAGE) -> LiveSessions:
        """A page of one's sessions, the newest first."""
        query = {"cursor": cursor, "limit": limit}
        return await self.call("GET", "/auth/sessions", LiveSessions, query=query, again=True)

    async def all_sessions(self) -> AsyncIterator[LiveSession]:
        """One's sessions, page by page, the newest first."""
        cursor = None
        while True:
            page = await self.sessions(cursor=cursor)
            for session in page.items:
                yield session
            if (cursor := page.next) is None:
                return

    async def end_session(self, session: str) -> None:
        """End one of one's own sessions, by its id; its sockets close with 4004."""
        await self.call("DELETE", f"/auth/sessions/{session}", None)

    async def change_password(self, current: str | None, new: str) -> None:
        """Set another password and end the other sessions. `current` is None for a first one.

        RefusedError with `forbidden` and the field currentPassword: that one is wrong.
        """
        body = {"currentPassword": current, "newPassword": new}
        await self.call("POST", "/auth/password", None, body)

    # --- single sign-on

    async def providers(self) -> Providers:
        """The single sign-on providers, and where a browser begins with each."""
        return await self.call("GET", "/auth/providers", Providers, again=True)

    async def exchange(self, code: str) -> Session:
        """Trade the code of a sign-in that began with this object's HTTP client and its cookies."""
        return await self.call("POST", "/auth/oauth/exchange", Session, {"code": code})

    async def link(self, provider: str, page: str | None = None) -> str:
        """Where a browser with this client's cookies goes to link; back to `page`, a path."""
        path = f"/auth/oauth/{provider}/link"
        return (await self.call("POST", path, Linking, query={"next": page})).url

    async def identities(self) -> Identities:
        """The identities that one may sign in with."""
        return await self.call("GET", "/auth/identities", Identities, again=True)

    async def unlink(self, provider: str) -> None:
        """Remove an identity; the last way to sign in stays (`conflict`)."""
        await self.call("DELETE", f"/auth/identities/{provider}", None)

    # --- people

    async def me(self) -> User:
        """Who the token speaks for."""
        return await self.call("GET", "/users/me", User, again=True)

    async def update_me(self, *, name: str | None = None, status: str | None = None) -> User:
        """Change one's name or status (free text, 140 characters); None: leave it as it is."""
        body = {"name": name, "status": status}
        return await self.call("PATCH", "/users/me", User, body, again=True)

    async def find_users(self, q: str, *, limit: int = 20) -> list[User]:
        """People whose name begins so, in any case, or whose whole address this is."""
        query = {"q": q, "limit": limit}
        return (await self.call("GET", "/users", Users, query=query, again=True)).items

    async def users(self, ids: Iterable[int]) -> list[User]:
        """People by their ids; who does not exist is left out."""
        wanted, found = sorted(set(ids)), []
        for at in range(0, len(wanted), PAGE):
            query = {"ids": ",".join(map(str, wanted[at : at + PAGE]))}
            found += (await self.call("GET", "/users", Users, query=query, again=True)).items
        return found

    # --- channels

    async def create_channel(
        self, name: str | None, type: str = "public", members: Sequence[int] | None = None
    ) -> Channel:
        """Make a channel, `public` or `private`; a `dm` has members and no name.

        The asker owns it, and is a member of a dm besides those named (9 at most); the dm of the
        same people that exists already is the one that comes back.
        """
        body = {"name": name, "type": type, "members": list(members or ())}
        return await self.call("POST", "/channels", Channel, body)

    async def channel(self, channel: int) -> Channel:
        """Look at a channel. One that may not be seen is `not_found`."""
        return await self.call("GET", f"/channels/{channel}", Channel, again=True)

    async def channels(
        self, scope: str = "mine", *, cursor: int | None = None, limit: int = PAGE
    ) -> Channels:
        """A page of one's own channels (`mine`), or of the `public` ones."""
        query = {"scope": scope, "cursor": cursor, "limit": limit}
        return await self.call("GET", "/channels", Channels, query=query, again=True)

    async def all_channels(self, scope: str = "mine") -> AsyncIterator[Channel]:
        """One's own channels, or the public ones, page by page."""
        cursor = None
        while True:
            page = await self.channels(scope, cursor=cursor)
            for channel in page.items:
                yield channel
            if (cursor := page.next) is None:
                return

    async def rename_channel(self, channel: int, name: str) -> Channel:
        """Give a channel another name; for its admins and owner."""
        return await self.call("PATCH", f"/channels/{channel}", Channel, {"name": name})

    async def delete_channel(self, channel: int) -> None:
        """End a channel, with all that was said in it; for its admins and owner, and for no dm."""
        await self.call("DELETE", f"/channels/{channel}", None)

    async def join(self, channel: int) -> Channel:
        """Become a member of a public channel; of one's own nothing changes."""
        return await self.call("POST", f"/channels/{channel}/join", Channel, again=True)

    async def leave(self, channel: int) -> None:
        """Cease to be a member. An owner hands over first (`conflict`), a dm is for ever."""
        await self.call("POST", f"/channels/{channel}/leave", None, again=True)

    # --- members

    async def members(
        self, channel: int, *, cursor: int | None = None, limit: int = PAGE
    ) -> Members:
        """A page of members."""
        query = {"cursor": cursor, "limit": limit}
        path = f"/channels/{channel}/members"
        return await self.call("GET", path, Members, query=query, again=True)

    async def all_members(self, channel: int) -> AsyncIterator[Member]:
        """The members, page by page."""
        cursor = None
        while True:
            page = await self.members(channel, cursor=cursor)
            for member in page.items:
                yield member
            if (cursor := page.next) is None:
                return

    async def add_member(self, channel: int, user: int, role: str = "member") -> Member:
        """Make somebody a member, or say how they are one already."""
        body = {"userId": user, "role": role}
        return await self.call("POST", f"/channels/{channel}/members", Member, body, again=True)

    async def set_role(self, channel: int, user: int, role: str) -> Member:
        """Make a member `admin` or `member`; `owner` hands the channel over, which its owner may
        do, who is an admin from then on."""
        path = f"/channels/{channel}/members/{user}"
        return await self.call("PATCH", path, Member, {"role": role})

    async def remove_member(self, channel: int, user: int) -> None:
        """End a membership; for admins and owner."""
        await self.call("DELETE", f"/channels/{channel}/members/{user}", None)

    # --- messages

    async def history(
        self,
        channel: int,
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int = 50,
    ) -> Messages:
        """A page of messages in the order of seq (1 to 200); the newest page by default.

        `before` and `after` are seqs, not both. `has_more`: in the direction that was asked for.
        """
        query = {"before": before, "after": after, "limit": limit}
        path = f"/channels/{channel}/messages"
        return await self.call("GET", path, Messages, query=query, again=True)

    async def messages(self, channel: int, *, after: int = 0) -> AsyncIterator[Message]:
        """Every message behind `after` in the order of seq, page by page, up to the newest."""
        while True:
            page = await self.history(channel, after=after, limit=PAGE)
            for message in page.items:
                yield message
            if not page.has_more:
                return
            after = page.items[-1].seq

    async def messages_back(
        self, channel: int, *, before: int | None = None
    ) -> AsyncIterator[Message]:
        """Every message, the newest first, page by page, down to the first of the channel."""
        while True:
            page = await self.history(channel, before=before, limit=PAGE)
            for message in reversed(page.items):
                yield message
            if not page.has_more:
                return
            before = page.items[0].seq

    async def message(self, channel: int, seq: int) -> Message:
        """One message, as it is now."""
        path = f"/channels/{channel}/messages/{seq}"
        return await self.call("GET", path, Message, again=True)

    async def send(self, channel: int, content: str, nonce: str | None = None) -> Message:
        """Store a message, once, over as many tries as it takes.

        With a `nonce` of one's own it is once over several calls, too: the message that was stored
        first comes back. The same nonce with other content is `nonce_conflict`.
        """
        body = {"content": content, "nonce": nonce or secrets.token_urlsafe(12)}
        path = f"/channels/{channel}/messages"
        return await self.call("POST", path, Message, body, again=True)

    async def edit(self, channel: int, seq: int, content: str, nonce: str | None = None) -> Message:
        """Give one's own message new content, once; `nonce` as for `send`."""
        body = {"content": content, "nonce": nonce or secrets.token_urlsafe(12)}
        path = f"/channels/{channel}/messages/{seq}"
        return await self.call("PATCH", path, Message, body, again=True)

    async def delete(self, channel: int, seq: int) -> None:
        """Delete a message, one's own; those of others for admins and owner."""
        await self.call("DELETE", f"/channels/{channel}/messages/{seq}", None)
