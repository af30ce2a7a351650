"""SQL of `users`."""

from collections.abc import Sequence
from typing import NamedTuple

from asyncpg import exceptions as pg
from msgspec import UNSET

from rtchat.errors import ChatError, Code
from rtchat.model import User, rfc3339
from rtchat.store.database import AnyConnection, Database, Record

_COLUMNS = "id, email, name, status, last_active"
_ACCOUNT = f"SELECT {_COLUMNS}, password_hash, disabled_at IS NOT NULL AS disabled FROM users"


class Account(NamedTuple):
    """A user as sign-in sees it. Without a hash there is no password: it is another way in."""

    user: User
    password_hash: str | None
    disabled: bool


class UserStore:
    """Reads and writes `users`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @staticmethod
    async def create(
        connection: AnyConnection, email: str | None, name: str, password_hash: str | None
    ) -> User:
        """Add a user. Raises ChatError(conflict) when the address is taken, compared without case.

        In the caller's transaction, so that the first session comes with the user or not at all.
        """
        try:
            row = await connection.fetchrow(
                "INSERT INTO users (email, name, password_hash, last_active)"
                f" VALUES ($1, $2, $3, now()) RETURNING {_COLUMNS}",
                email,
                name,
                password_hash,
            )
        except pg.UniqueViolationError:
            raise ChatError(Code.CONFLICT, "This address is taken.", field="email") from None
        return user_from(row, own=True)

    async def account(self, email: str) -> Account | None:
        """The account of an address, compared without case."""
        row = await self._database.fetchrow(f"{_ACCOUNT} WHERE lower(email) = lower($1)", email)
        return _account_from(row)

    async def account_of(self, user_id: int) -> Account | None:
        """The account of a user."""
        return _account_from(await self._database.fetchrow(f"{_ACCOUNT} WHERE id = $1", user_id))

    @staticmethod
    async def lock(connection: AnyConnection, user_id: int) -> Account | None:
        """The account, held to the end of the caller's transaction.

        Whoever opens a user's session, or ends several, does so under this lock; so no session is
        opened past a password that was changed, or a user who was disabled, in that moment.
        """
        row = await connection.fetchrow(f"{_ACCOUNT} WHERE id = $1 FOR NO KEY UPDATE", user_id)
        return _account_from(row)

    @staticmethod
    async def set_password(connection: AnyConnection, user_id: int, password_hash: str) -> None:
        """Store another hash, in the caller's transaction."""
        await connection.execute(
            "UPDATE users SET password_hash = $2 WHERE id = $1", user_id, password_hash
        )

    @staticmethod
    async def set_disabled(
        connection: AnyConnection, who: str | int, *, disabled: bool
    ) -> int | None:
        """Disable or enable the user of an address or an id, in the caller's transaction; its id.

        By id, because who came by a provider may have no address.
        """
        user_id: int | None = await connection.fetchval(
            "UPDATE users SET disabled_at = CASE WHEN $3 THEN coalesce(disabled_at, now()) END"
            " WHERE lower(email) = lower($1) OR id = $2 RETURNING id",
            who if isinstance(who, str) else None,
            who if isinstance(who, int) else None,
            disabled,
        )
        return user_id

    async def get(self, user_id: int) -> User | None:
        """The user as seen by oneself."""
        row = await self._database.fetchrow(f"SELECT {_COLUMNS} FROM users WHERE id = $1", user_id)
        return user_from(row, own=True) if row else None

    async def update(self, user_id: int, name: str | None, status: str | None) -> User | None:
        """Change what is given."""
        row = await self._database.fetchrow(
            "UPDATE users SET name = coalesce($2, name), status = coalesce($3, status)"
            f" WHERE id = $1 RETURNING {_COLUMNS}",
            user_id,
            name,
            status,
        )
        return user_from(row, own=True) if row else None

    async def search(self, text: str, limit: int) -> list[User]:
        """Users whose name begins with `text`, or whose whole address it is, without case."""
        escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        rows = await self._database.fetch(
            f"SELECT {_COLUMNS} FROM users"
            " WHERE lower(name) LIKE lower($1) || '%' OR lower(email) = lower($2)"
            " ORDER BY lower(name), id LIMIT $3",
            escaped,
            text,
            limit,
        )
        return [user_from(row) for row in rows]

    async def several(self, ids: Sequence[int]) -> list[User]:
        """Those of `ids` that exist, by id."""
        rows = await self._database.fetch(
            f"SELECT {_COLUMNS} FROM users WHERE id = ANY($1) ORDER BY id",
            ids,
        )
        return [user_from(row) for row in rows]

    async def seen(self, ids: Sequence[int]) -> None:
        """Note that these users are active now."""
        await self._database.execute("UPDATE users SET last_active = now() WHERE id = ANY($1)", ids)


def user_from(row: Record, *, own: bool = False) -> User:
    """Make a user of a row that has the columns of `users`; the address for oneself only."""
    return User(
        id=row["id"],
        name=row["name"],
        status=row["status"],
        last_active=rfc3339(row["last_active"]) if row["last_active"] else None,
        email=row["email"] if own else UNSET,
    )


def _account_from(row: Record | None) -> Account | None:
    if row is None:
        return None
    return Account(user_from(row, own=True), row["password_hash"], row["disabled"])
