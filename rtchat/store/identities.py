"""SQL of `identities`: who of a provider's people is which user."""

from collections.abc import Collection
from typing import NamedTuple

from rtchat.model import rfc3339
from rtchat.store.database import AnyConnection, Database


class Linked(NamedTuple):
    """An identity of a user; `since` as RFC 3339."""

    provider: str
    since: str


class IdentityStore:
    """Reads and writes identities."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def user_of(self, issuer: str, subject: str) -> int | None:
        """Who this is here."""
        row = await self._database.fetchrow(
            "SELECT user_id FROM identities WHERE issuer = $1 AND subject = $2", issuer, subject
        )
        return row["user_id"] if row else None

    @staticmethod
    async def add(
        connection: AnyConnection, issuer: str, subject: str, provider: str, user_id: int
    ) -> bool:
        """Link, in the caller's transaction.

        False: this identity is somebody's already, or this user has one at the provider.
        """
        tag: str = await connection.execute(
            "INSERT INTO identities (issuer, subject, provider, user_id)"
            " VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
            issuer,
            subject,
            provider,
            user_id,
        )
        return tag == "INSERT 0 1"

    async def of_user(self, user_id: int) -> list[Linked]:
        """A user's identities, by provider."""
        rows = await self._database.fetch(
            "SELECT provider, linked_at FROM identities WHERE user_id = $1 ORDER BY provider",
            user_id,
        )
        return [Linked(row["provider"], rfc3339(row["linked_at"])) for row in rows]

    async def remove(self, user_id: int, provider: str, usable: Collection[str]) -> bool | None:
        """Unlink: True; False: it is the user's last way in; None: there is no such identity.

        `usable`: the providers that are set up; one that was dropped is no way in.
        Under the user's row lock, so that of two at once one finds itself the last.
        """
        async with self._database.transaction() as c:
            user = await c.fetchrow(
                "SELECT password_hash IS NOT NULL AND email IS NOT NULL AS other"
                " FROM users WHERE id = $1 FOR UPDATE",
                user_id,
            )
            rows = await c.fetch("SELECT provider FROM identities WHERE user_id = $1", user_id)
            linked = {row["provider"] for row in rows}
            if user is None or provider not in linked:
                return None
            if not user["other"] and not (linked - {provider}).intersection(usable):
                return False
            await c.execute(
                "DELETE FROM identities WHERE user_id = $1 AND provider = $2", user_id, provider
            )
        return True
