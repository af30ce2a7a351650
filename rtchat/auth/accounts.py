"""Registering and signing in with a password, and changing it.

Owns: the order of these steps, and that unknown user and wrong password look alike, in answer and
in time. Must never: tell whether an address has an account, but to whoever registers it (409).
Each of these is one transaction, told to others after it: a crash leaves all of it or nothing.
"""

from rtchat.auth.client import Client
from rtchat.auth.events import Ended, Event, Failed, note
from rtchat.auth.passwords import Passwords
from rtchat.auth.sessions import Session, Sessions
from rtchat.auth.tokens import Identity
from rtchat.config import Config
from rtchat.errors import ChatError, Code
from rtchat.names import EMAIL_MAX_CHARS, clean_name, is_email
from rtchat.store.database import Database
from rtchat.store.users import Account, UserStore


class Accounts:
    """Sign-up and sign-in."""

    def __init__(
        self, config: Config, database: Database, passwords: Passwords, sessions: Sessions
    ) -> None:
        self._config = config
        self._database = database
        self._users = UserStore(database)
        self.passwords = passwords
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
        self.passwords.validate(password, email, shown)
        hashed = await self.passwords.hash(password)
        async with self._database.transaction() as c:
            user = await self._users.create(c, email, shown, hashed)
            session = await self._sessions.open(c, user, client)
        self._sessions.opened(Event.REGISTERED, session, client)
        return session

    def _name(self, email: str, name: str | None) -> str:
        limit = self._config.name_max_chars
        if name is not None:
            return clean_name(name, limit)
        return clean_name(email.partition("@")[0][:limit], limit, field="email")

    async def login(self, email: str, password: str, client: Client) -> Session:
        """Sign in. Raises ChatError(unauthorized), the same for an unknown address.

        One hash is computed, whether there is such a user or none, with a password or without.
        """
        found = await self._users.account(email) if "\0" not in email else None
        right = await self.passwords.check(password, found.password_hash if found else None)
        if found is None or found.disabled or not right:
            why = Failed.UNKNOWN if found is None else Failed.DISABLED if right else Failed.WRONG
            raise _failed(why, client, found)
        fresh = await self._rehashed(password, found)
        async with self._database.transaction() as c:
            now = await self._users.lock(c, found.user.id)
            if now is None or now.password_hash != found.password_hash:
                raise _failed(Failed.WRONG, client, found)  # it was changed while we computed
            if fresh is not None:
                await self._users.set_password(c, found.user.id, fresh)
            session = await self._sessions.open(c, found.user, client)
        self._sessions.opened(Event.LOGIN, session, client)
        return session

    async def _rehashed(self, password: str, account: Account) -> str | None:
        """A hash at the cost that is set now, where the stored one has another."""
        if account.password_hash is None or not self.passwords.outdated(account.password_hash):
            return None
        try:
            return await self.passwords.hash(password)
        except ChatError:
            return None  # many sign in at once: the next time will do

    async def change_password(
        self, identity: Identity, current: str | None, password: str, client: Client
    ) -> None:
        """Set another password and end the user's other sessions, on every pod.

        Raises ChatError: `forbidden` where the current one is wrong, or where there is none and the
        session is too old to set a first one; `bad_field` for what is missing or may not be one.
        """
        found = await self._users.account_of(identity.user_id)
        if found is None:
            raise ChatError(Code.UNAUTHORIZED)
        user = found.user
        self.passwords.validate(password, user.email or None, user.name, field="newPassword")
        if found.password_hash is not None:
            if current is None:
                raise ChatError(Code.BAD_FIELD, "The current password.", field="currentPassword")
            if not await self.passwords.check(current, found.password_hash, "currentPassword"):
                note(Event.PASSWORD_REFUSED, client, user=user.id, session=identity.session_id)
                raise ChatError(Code.FORBIDDEN, "The password is wrong.", field="currentPassword")
        hashed = await self.passwords.hash(password)
        async with self._database.transaction() as c:
            now = await self._users.lock(c, user.id)
            age_s = await self._sessions.age_s(c, identity)
            if now is None or now.password_hash != found.password_hash:
                raise ChatError(Code.CONFLICT, "The password was changed in this moment.")
            if now.password_hash is None and age_s > self._config.fresh_sign_in_s:
                text = "Sign in anew to set a first password."
                raise ChatError(Code.FORBIDDEN, text, limit="fresh_sign_in_s")
            await self._users.set_password(c, user.id, hashed)
            others = await self._sessions.end_others(c, identity)
        note(Event.PASSWORD_CHANGED, client, user=user.id, session=identity.session_id)
        self._sessions.ended(others, Ended.PASSWORD, client, user.id)


def _failed(why: Failed, client: Client, account: Account | None) -> ChatError:
    note(Event.LOGIN_FAILED, client, user=account.user.id if account else None, why=why)
    return ChatError(Code.UNAUTHORIZED, "E-mail address or password is wrong.")
