"""Taking care of people from the command line: looking, making, new passwords, ending sessions.

Owns: what one command does, in one transaction; running pods find sessions that ended by asking,
within two seconds. Must never: let a password in that sign-up would not, or show a hash. Disabling
is `auth.disable`'s.
"""

import re
from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import NamedTuple, TypeVar

from rtchat.auth.events import OPERATOR, Ended, Event, note
from rtchat.auth.passwords import Passwords
from rtchat.config import Config
from rtchat.errors import ChatError, Code
from rtchat.model import ID_MAX
from rtchat.names import clean_name, is_email
from rtchat.store import once, operator
from rtchat.store.database import AnyConnection
from rtchat.store.operator import Opened, Person, Ways
from rtchat.store.sessions import SessionStore
from rtchat.store.users import UserStore

T = TypeVar("T")
ID = re.compile(r"[1-9][0-9]{0,15}")  # no address: that has an @


class UnknownError(Exception):
    """There is nobody, or nothing, of this name; the text says so."""


class Ending(NamedTuple):
    """Whose sessions have ended, and which."""

    user_id: int
    session_ids: list[int]


def listing(url: str, text: str, limit: int, after: int = 0) -> list[Person]:
    """Users by the beginning of their name, or by their address, behind the id `after`.

    Raises StartError.
    """
    return once.run(url, "looking for users", lambda c: operator.people(c, text, limit, after))


def shown(url: str, who: str) -> tuple[Person, Ways]:
    """One user, and what there is of theirs. Raises StartError and UnknownError."""

    async def work(connection: AnyConnection, user: Person) -> tuple[Person, Ways]:
        return user, await operator.ways(connection, user.id)

    return of_user(url, "looking at the user", who, work)


def sessions(url: str, who: str, limit: int, after: int = ID_MAX) -> list[Opened]:
    """One user's sessions that stand, those older than `after`.

    Raises StartError and UnknownError.
    """

    async def work(connection: AnyConnection, user: Person) -> list[Opened]:
        return await operator.sessions(connection, user.id, limit, after)

    return of_user(url, "looking at the sessions", who, work)


def name_of(config: Config, email: str, name: str | None) -> str:
    """What somebody new will be called. Raises ChatError for what may be no address or name."""
    if not is_email(email):
        raise ChatError(Code.BAD_FIELD, f"{email!r} is no e-mail address.")
    limit = config.name_max_chars
    return clean_name(name if name is not None else email.partition("@")[0][:limit], limit)


def create(config: Config, url: str, email: str, name: str | None, password: str) -> int:
    """Make a user, who can sign in from then on, and was never there; the id.

    Raises StartError, and ChatError for what may be no address, name or password, or is taken.
    """
    shown_name = name_of(config, email, name)

    async def work(connection: AnyConnection) -> int:
        hashed = await passwords.hash(password)
        async with connection.transaction():
            made = await UserStore.create(connection, email, shown_name, hashed)
            await operator.never_seen(connection, made.id)
        return made.id

    with closing(Passwords(config)) as passwords:
        passwords.validate(password, email, shown_name)
        user_id = once.run(url, "making the user", work)
    note(Event.REGISTERED, user=user_id, by=OPERATOR)
    return user_id


def set_password(config: Config, url: str, who: str, password: str) -> Ending:
    """Set another password and end every session, for whoever knew the old one.

    Raises StartError, UnknownError, and ChatError for what may not become the password.
    """

    async def work(connection: AnyConnection, user: Person) -> Ending:
        passwords.validate(password, user.email, user.name)
        hashed = await passwords.hash(password)
        async with connection.transaction():
            await UserStore.lock(connection, user.id)
            await UserStore.set_password(connection, user.id, hashed)
            return Ending(user.id, await SessionStore.end_all(connection, user.id))

    with closing(Passwords(config)) as passwords:
        done = of_user(url, "setting the password", who, work)
    note(Event.PASSWORD_CHANGED, user=done.user_id, by=OPERATOR)
    return _told(done, Ended.PASSWORD)


def end_sessions(url: str, who: str, session_id: int | None) -> Ending:
    """End one session of a user's, or all. Raises StartError and UnknownError."""

    async def work(connection: AnyConnection, user: Person) -> Ending:
        async with connection.transaction():
            await UserStore.lock(connection, user.id)
            if session_id is None:
                return Ending(user.id, await SessionStore.end_all(connection, user.id))
            if not await SessionStore.end(connection, user.id, session_id):
                raise UnknownError(f"user {user.id} has no session {session_id} that stands")
            return Ending(user.id, [session_id])

    done = of_user(url, "ending the sessions", who, work)
    return _told(done, Ended.ALL if session_id is None else Ended.REVOKED)


def _told(done: Ending, why: Ended) -> Ending:
    for session_id in done.session_ids:
        note(Event.SESSION_ENDED, user=done.user_id, session=session_id, why=why, by=OPERATOR)
    return done


def of_user(
    url: str, what: str, who: str, work: Callable[[AnyConnection, Person], Awaitable[T]]
) -> T:
    """Do `work` on the user of an address, or of the digits of an id."""

    async def found(connection: AnyConnection) -> T:
        user = await operator.person(connection, int(who) if ID.fullmatch(who) else who)
        if user is None:
            raise UnknownError(f"there is no user {who}; rtchat user list --query TEXT finds names")
        return await work(connection, user)

    return once.run(url, what, found)
