"""Security events: one vocabulary for what the log tells of sign-ins, sessions and keys.

Owns: the words. Every event is a line of this module's logger, so that an operator can keep these
apart; it names user and session by their ids, and the client as far as it is known. Must never:
hold a password, a token, a hash or an e-mail address. What is not written when a process dies is
lost; what the events tell of is in the database.

They are counted for the whole process, like its log: an event has no other owner.
"""

import logging
from collections import Counter
from enum import StrEnum

from rtchat.auth.client import UNKNOWN, Client

log = logging.getLogger(__name__)

OPERATOR = "operator"  # who did it (`by`), where that was not the user: by a command


class Event(StrEnum):
    """What happened."""

    REGISTERED = "registered"
    LOGIN = "login"
    LOGIN_FAILED = "login failed"
    SESSION_ENDED = "session ended"
    TOKEN_REUSED = "token reused"  # noqa: S105  a word
    PASSWORD_CHANGED = "password changed"  # noqa: S105  a word
    PASSWORD_REFUSED = "password refused"  # noqa: S105  of somebody signed in, when changing it
    USER_DISABLED = "user disabled"
    USER_ENABLED = "user enabled"
    LINKED = "identity linked"
    UNLINKED = "identity unlinked"
    KEYS = "signing key"


NOTED: Counter[Event] = Counter()  # since the process began


class Ended(StrEnum):
    """Why a session ended."""

    LOGOUT = "logout"
    ALL = "all"  # logout everywhere
    REUSE = "reuse"  # of a refresh token: it was copied
    PASSWORD = "password"  # noqa: S105  a word: it was changed elsewhere
    REVOKED = "revoked"  # from the list, by its user
    DISABLED = "disabled"
    LIMIT = "limit"  # more sessions than a user may have


class Failed(StrEnum):
    """Why a sign-in failed; whoever tried is told none of it."""

    UNKNOWN = "unknown"
    WRONG = "wrong"
    DISABLED = "disabled"


def note(
    event: Event,
    client: Client = UNKNOWN,
    *,
    user: int | None = None,
    session: int | None = None,
    why: Ended | Failed | None = None,
    **more: object,
) -> None:
    """Write an event, with what is known of it."""
    known = {
        "user": user,
        "session": session,
        "why": why and why.value,
        "client": client.address or None,
        "agent": client.agent or None,
        **more,
    }
    NOTED[event] += 1
    level = logging.WARNING if event is Event.TOKEN_REUSED else logging.INFO
    log.log(level, event.value, extra={k: v for k, v in known.items() if v is not None})
