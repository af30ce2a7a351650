"""The life of a session: opened by a sign-in, renewed by refresh tokens, ended by whoever may.

Owns: which sessions are known here to have ended, and that every end reaches the sockets. Whatever
ends a session tells `on_ended`, so that its sockets close; a session's end is in the database
before anybody is told of it, so a lost word is found again by asking (`POLL_S`). Lost in a crash:
the memory of ended sessions, which the first question of the next start brings back.
"""

import asyncio
import hashlib
import logging
import secrets
import time
from collections.abc import Callable
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from rtchat.auth.client import UNKNOWN, Client
from rtchat.auth.events import Ended, Event, Failed, note
from rtchat.auth.tokens import Identity, Tokens
from rtchat.config import Config
from rtchat.connection import Connection
from rtchat.errors import ChatError, Close, Code
from rtchat.model import LiveSession, User
from rtchat.reached import Reached
from rtchat.store.database import AnyConnection, Database
from rtchat.store.sessions import Holder, SessionStore
from rtchat.store.users import UserStore
from rtchat.tasks import Tasks

log = logging.getLogger(__name__)

POLL_S = 1.5  # with the question itself, 2 s are kept where no word is sent
OVERLAP_S = 30.0
PURGE_AFTER_S = 7 * 86_400.0  # a reused refresh token is noticed for this long after the end


class Session(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What a sign-in gives: a short-lived access token, a refresh token that works once."""

    user: User
    access_token: Annotated[str, Meta(description="Good for `expiresIn` seconds.")]
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105  the scheme's name (RFC 6750)
    expires_in: Annotated[int, Meta(ge=0)]
    refresh_token: Annotated[str, Meta(description="Trade it for the next pair; keep it secret.")]


class Sessions:
    """Opens, renews and ends sessions, and tells whom an access token speaks for."""

    def __init__(
        self,
        config: Config,
        database: Database,
        tokens: Tokens,
        reached: Reached,
        *,
        on_ended: Callable[[list[int]], None],
        on_found: Callable[[list[int]], None],
    ) -> None:
        """`on_ended`: ended here, so tell everybody; `on_found`: elsewhere, all will find it."""
        self._config = config
        self._database = database
        self._users = UserStore(database)
        self._store = SessionStore(database)
        self._tokens = tokens
        self._reached = reached
        self._on_ended = on_ended
        self._on_found = on_found
        self._revoked: dict[int, float] = {}  # ended sessions, as long as their tokens could live
        self._tasks = Tasks("sessions")

    def start(self) -> None:
        """Begin to ask the database which sessions have ended."""
        keys = self._tokens.keys
        note(Event.KEYS, kid=keys.signing.kid, alg=keys.signing.algorithm, believed=keys.kids)
        self._tasks.start(self._poll())

    async def close(self) -> None:
        """Stop asking."""
        await self._tasks.close()

    async def open(
        self, connection: AnyConnection, user: User, client: Client = UNKNOWN
    ) -> Session:
        """Open a session for somebody who has proved to be `user`, in the caller's transaction.

        Raises ChatError(unauthorized) for a user who is disabled. A session that this makes one too
        many for ends with the transaction; its sockets close when that is found, within `POLL_S`.
        """
        account = await self._users.lock(connection, user.id)
        if account is None or account.disabled:
            note(Event.LOGIN_FAILED, client, user=user.id, why=Failed.DISABLED)
            raise ChatError(Code.UNAUTHORIZED)
        token = _new_refresh_token()
        session_id = await self._store.create(
            connection, user.id, _hash(token), self._config.session_s, client.agent
        )
        if limit := self._config.sessions_per_user:
            for ended in await self._store.end_beyond(connection, user.id, limit):
                note(Event.SESSION_ENDED, client, user=user.id, session=ended, why=Ended.LIMIT)
                self._reached.count("sessions_per_user")
        return self._session(user, session_id, token, self._config.session_s)

    def opened(self, event: Event, session: Session, client: Client) -> None:
        """Tell the log of a session that was opened; its transaction is committed."""
        session_id = self._tokens.check(session.access_token).session_id
        note(event, client, user=session.user.id, session=session_id)

    async def holder(self, refresh_token: str) -> Holder | None:
        """Whose a refresh token is, used or not; None: no standing session's."""
        found = await self._store.holder(_hash(refresh_token))
        if found is not None and found.left_s <= 0:
            self._reached.count("session_s")
            return None
        return found

    async def refresh(self, refresh_token: str, holder: Holder, client: Client) -> Session:
        """Trade a refresh token for a new pair; a token used before ends its whole session.

        `holder` was asked for before: what fails after the old token is used up costs the session.
        """
        successor = _new_refresh_token()
        rotation = await self._store.rotate(_hash(refresh_token), _hash(successor))
        if rotation is not None and rotation.reused:
            user_id, session_id = rotation.user_id, rotation.session_id
            note(Event.TOKEN_REUSED, client, user=user_id, session=session_id)
            self.ended([session_id], Ended.REUSE, client, user_id)
        if rotation is None or rotation.reused:
            raise bad_refresh_token()
        return self._session(holder.user, rotation.session_id, successor, holder.left_s)

    async def logout(self, refresh_token: str, client: Client) -> None:
        """End the session of a refresh token. An unknown token is no error: it is out already."""
        session_id = await self._store.end_by_token(_hash(refresh_token))
        if session_id is not None:
            self.ended([session_id], Ended.LOGOUT, client)

    async def logout_all(self, user_id: int, client: Client) -> None:
        """End every session of a user."""
        async with self._database.transaction() as c:
            await self._users.lock(c, user_id)
            session_ids = await self._store.end_all(c, user_id)
        self.ended(session_ids, Ended.ALL, client, user_id)

    async def listing(self, identity: Identity, before: int, limit: int) -> list[LiveSession]:
        """A page of one's sessions that stand, the newest first; `before`: the last one seen."""
        return await self._store.listing(identity.user_id, identity.session_id, before, limit)

    async def revoke(self, user_id: int, session_id: int, client: Client) -> None:
        """End one of a user's own sessions.

        Raises ChatError(not_found), the same for another's, one that has ended, and none at all.
        """
        if not await self._store.end_one(user_id, session_id):
            raise ChatError(Code.NOT_FOUND)
        self.ended([session_id], Ended.REVOKED, client, user_id)

    def public_keys(self) -> list[dict[str, str]]:
        """The public halves of the keys of access tokens."""
        return self._tokens.keys.public()

    async def age_s(self, connection: AnyConnection, identity: Identity) -> float:
        """How long ago a session was opened, in seconds. Raises ChatError where it has ended."""
        age = await self._store.age_s(connection, identity.session_id, identity.user_id)
        if age is None:
            raise ChatError(Code.UNAUTHORIZED, "This session has ended.")
        return age

    async def end_others(self, connection: AnyConnection, identity: Identity) -> list[int]:
        """End all sessions of a user but this one, in the caller's transaction; tell of it after.

        The caller holds the user's lock.
        """
        return await self._store.end_all(connection, identity.user_id, keep=identity.session_id)

    def authenticate(self, token: str) -> Identity:
        """Whom an access token speaks for, unless its session is known to have ended.

        Raises ChatError(token_expired) or ChatError(unauthorized). Asks no database: a session that
        another pod ended is known here within `POLL_S`.
        """
        identity = self._tokens.check(token)
        if identity.session_id in self._revoked:
            raise ChatError(Code.UNAUTHORIZED, "This session has ended.")
        return identity

    async def user_of(self, identity: Identity) -> User:
        """The user of a token, read from the database, if its session stands."""
        user = await self._store.user_of(identity.session_id, identity.user_id)
        if user is None:
            raise ChatError(Code.UNAUTHORIZED, "This session has ended.")
        return user

    async def purge(self, limit: int) -> int:
        """Forget up to `limit` sessions whose end nobody needs to know any more; how many."""
        return await self._store.purge(PURGE_AFTER_S, limit)

    def _session(self, user: User, session_id: int, refresh_token: str, left_s: float) -> Session:
        """A session as its user gets it; no token outlives it."""
        life_s = max(1, min(self._tokens.life_s, int(left_s)))
        return Session(
            user=user,
            access_token=self._tokens.sign(user.id, session_id, life_s=life_s),
            expires_in=life_s,
            refresh_token=refresh_token,
        )

    def ended(
        self, session_ids: list[int], why: Ended, client: Client, user_id: int | None = None
    ) -> None:
        """Tell every pod, and the log, that these sessions have ended; it is committed already."""
        for session_id in session_ids:
            note(Event.SESSION_ENDED, client, user=user_id, session=session_id, why=why)
        self.note_ended(session_ids)
        self._on_ended(session_ids)

    def close_if_ended(self, connection: Connection) -> None:
        """Close a socket whose session ended while it was being set up, and nobody saw it."""
        if connection.session_id in self._revoked:
            connection.close(Close.SESSION_REVOKED, "session ended")

    def note_ended(self, session_ids: list[int]) -> list[int]:
        """Refuse these sessions' tokens from now on; returns those that are news."""
        now = time.monotonic()
        news = [s for s in session_ids if s not in self._revoked]
        life_s = self._config.access_token_s + 2 * self._config.token_leeway_s
        self._revoked.update(dict.fromkeys(news, now + life_s))
        if news:
            self._revoked = {s: until for s, until in self._revoked.items() if until > now}
        return news

    async def _poll(self) -> None:
        """Learn of ended sessions from the database, so that logout holds with the bus down."""
        # The first time: all whose tokens may live still. Then: since the last time, and a while
        # more, because a transaction's now() is earlier than the moment at which it can be seen.
        last = time.monotonic() - self._config.access_token_s - self._config.token_leeway_s
        while True:
            asked = time.monotonic()
            try:
                ended = await self._store.ended_since(asked - last + OVERLAP_S)
                if news := self.note_ended(ended):
                    self._on_found(news)
                last = asked
            except ChatError:
                pass  # the database is away, and said so
            except Exception:  # or a logout on another pod would not hold here any more
                log.exception("asking for ended sessions failed")
            await asyncio.sleep(POLL_S)


def bad_refresh_token() -> ChatError:
    """What is told of any refresh token that is not good, whatever it lacks."""
    return ChatError(Code.UNAUTHORIZED, "This refresh token is not valid.")


def _new_refresh_token() -> str:
    return secrets.token_urlsafe(32)  # 256 bits


def _hash(token: str) -> bytes:
    # Not bcrypt: a random token of 256 bits cannot be guessed from its hash.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
