"""Disabling users and enabling them again, for operators.

Owns: the one transaction of it. Whoever is disabled is refused like somebody with a wrong password;
running pods find the sessions that ended by asking (`sessions.POLL_S`). Must never: delete a thing.
"""

import re
from typing import NamedTuple

from rtchat.auth.events import OPERATOR, Ended, Event, note
from rtchat.store import once
from rtchat.store.database import AnyConnection
from rtchat.store.sessions import SessionStore
from rtchat.store.users import UserStore

_ID = re.compile(r"[1-9][0-9]{0,15}")  # no address: that has an @


class Done(NamedTuple):
    """Whose standing it is, and which sessions ended with it."""

    user_id: int
    session_ids: list[int]


def set_disabled(url: str, who: str, *, disabled: bool) -> Done | None:
    """Disable or enable in the database at `url`; `who`: an address, or the digits of an id.

    None: nobody is called so.

    May be repeated. Raises StartError.
    """

    found = int(who) if _ID.fullmatch(who) else who

    async def work(connection: AnyConnection) -> Done | None:
        async with connection.transaction():
            user_id = await UserStore.set_disabled(connection, found, disabled=disabled)
            if user_id is None:
                return None
            ended = await SessionStore.end_all(connection, user_id) if disabled else []
        return Done(user_id, ended)

    done = once.run(url, "changing the user", work)
    if done is not None:
        event = Event.USER_DISABLED if disabled else Event.USER_ENABLED
        note(event, user=done.user_id, by=OPERATOR)
        for session_id in done.session_ids:
            note(
                Event.SESSION_ENDED,
                user=done.user_id,
                session=session_id,
                why=Ended.DISABLED,
                by=OPERATOR,
            )
    return done
