"""People: users put into the database with a session, and a token as the server would sign it.

Signing in over REST hashes a password; a test that is not about passwords need not wait for that.
"""

import hashlib
import itertools
import secrets
from dataclasses import dataclass
from types import TracebackType

import asyncpg

from rtchat.auth.tokens import Tokens
from rtchat.config import Config
from tests.pods import SECRET_KEY

SESSION_S = 86_400


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is signed in."""

    id: int
    name: str
    email: str
    session_id: int
    token: str
    refresh_token: str

    @property
    def headers(self) -> dict[str, str]:
        """What a request of this person carries."""
        return {"Authorization": f"Bearer {self.token}"}


class People:
    """Makes people in one database; names need not be unique, addresses are made so."""

    def __init__(self, database_url: str, secret_key: str = SECRET_KEY) -> None:
        self._url = database_url
        self.tokens = Tokens(Config(secret_key=secret_key))
        self._pool: asyncpg.Pool | None = None
        self._prefix = secrets.token_hex(3)
        self._numbers = itertools.count(1)

    async def __aenter__(self) -> "People":
        self._pool = await asyncpg.create_pool(self._url, min_size=1, max_size=2)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        assert self._pool is not None
        await self._pool.close()

    async def new(self, name: str = "ann") -> Person:
        """Make somebody with a session."""
        assert self._pool is not None, "async with People(…)"
        email = f"{name.lower()}-{self._prefix}-{next(self._numbers)}@example.org"
        user_id: int = await self._pool.fetchval(
            "INSERT INTO users (email, name) VALUES ($1, $2) RETURNING id", email, name
        )
        return await self.sign_in(user_id, name, email)

    async def several(self, count: int, name: str = "ann") -> list[Person]:
        """Make so many people."""
        return [await self.new(f"{name}{number}") for number in range(count)]

    async def sign_in(self, user_id: int, name: str, email: str) -> Person:
        """Open another session of somebody."""
        assert self._pool is not None, "async with People(…)"
        refresh_token = secrets.token_urlsafe(32)
        session_id: int = await self._pool.fetchval(
            "INSERT INTO sessions (user_id, expires_at)"
            " VALUES ($1, now() + make_interval(secs => $2)) RETURNING id",
            user_id,
            float(SESSION_S),
        )
        await self._pool.execute(
            "INSERT INTO refresh_tokens (token_hash, session_id) VALUES ($1, $2)",
            hashlib.sha256(refresh_token.encode()).digest(),
            session_id,
        )
        token = self.tokens.sign(user_id, session_id)
        return Person(user_id, name, email, session_id, token, refresh_token)

    async def again(self, person: Person) -> Person:
        """The same person on another device: a session of its own."""
        return await self.sign_in(person.id, person.name, person.email)
