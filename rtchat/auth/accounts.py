"""Registering and signing in with a password.

Owns: the order of these steps, and that unknown user and wrong password look alike, in answer and
in time. Must never: tell whether an address has an account, but to whoever registers it (409).
"""

import logging

from rtchat.auth.client import Client
from rtchat.auth.passwords import Passwords
from rtchat.auth.sessions import Session, Sessions
from rtchat.config import Config
from rtchat.errors import ChatError, Code
from rtchat.names import EMAIL_MAX_CHARS, clean_name, is_email
from rtchat.store.database import Database
from rtchat.store.users import UserStore

log = logging.getLogger(__name__)


class Accounts:
    """Sign-up and sign-in."""

    def __init__(
        self, config: Config, database: Database, passwords: Passwords, sessions: Sessions
    ) -> None:
        self._config = config
        self._database = database
        self._users = UserStore(database)
        self._passwords = passwords
        self._sessions = sessions

    async def register(
        self, email: str, password: str, name: str | None, client: Client
    ) -> Session:
        """Make a user and sign in. Raises ChatError(conflict) when the address is taken."""
        if len(email) > EMAIL_MAX_CHARS:
            raise ChatError(Code.TOO_LONG, field="email")
        if not is_email(email):
            raise ChatError(Code.BAD_FIELD, "This is no e-mail address.", field="email")
        shown = self._name(email, name)
        self._passwords.validate(password)
        hashed = await self._passwords.hash(password)
        async with self._database.transaction() as c:
            user = await self._users.create(c, email, shown, hashed)
            session = await self._sessions.open(c, user, client)
        log.info("registered", extra={"user": user.id})
        return session

    def _name(self, email: str, name: str | None) -> str:
        limit = self._config.name_max_chars
        if name is not None:
            return clean_name(name, limit)
        return clean_name(email.partition("@")[0][:limit], limit, field="email")

    async def login(self, email: str, password: str, client: Client) -> Session:
        """Sign in. Raises ChatError(unauthorized), the same for an unknown address."""
        found = await self._users.credentials(email) if "\0" not in email else None
        right = await self._passwords.check(password, found.password_hash if found else None)
        user = await self._users.get(found.user_id) if found and right else None
        if user is None:
            log.info("login failed", extra={"user": found.user_id if found else None})
            raise ChatError(Code.UNAUTHORIZED, "E-mail address or password is wrong.")
        async with self._database.transaction() as c:
            session = await self._sessions.open(c, user, client)
        log.info("login", extra={"user": user.id})
        return session
