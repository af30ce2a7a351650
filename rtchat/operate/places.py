"""Looking at channels from the command line: which there are, and who is in one.

Owns: finding the channel that somebody means, by id or by name. Must never: change one: that is an
entry of its log, and the writer's.
"""

from typing import NamedTuple

from rtchat.operate.people import ID, UnknownError
from rtchat.store import once, operator
from rtchat.store.database import AnyConnection, Record
from rtchat.store.operator import Place

NAMED_MAX = 6  # channels of one name that are told


class Inside(NamedTuple):
    """A channel, and its members: those who may do most first."""

    place: Place
    members: list[Record]


def listing(url: str, text: str, limit: int, after: int = 0) -> list[Place]:
    """Channels by the beginning of their name, behind the id `after`. Raises StartError."""
    return once.run(url, "looking for channels", lambda c: operator.channels(c, text, limit, after))


def shown(url: str, which: str, limit: int, after: int = 0) -> Inside:
    """One channel and `limit` of its members at most, those behind the member `after`.

    Raises StartError and UnknownError.
    """

    async def work(connection: AnyConnection) -> Inside:
        place = await meant(connection, which)
        return Inside(place, await operator.members(connection, place.id, limit, after))

    return once.run(url, "looking at the channel", work)


async def meant(connection: AnyConnection, which: str) -> Place:
    """The channel of an id, or the only one of a name. Raises UnknownError."""
    if ID.fullmatch(which):
        found = await operator.channel(connection, int(which))
        if found is None:
            raise UnknownError(f"there is no channel {which}; rtchat channel list shows them")
        return found
    named = await operator.called(connection, which, NAMED_MAX)
    if not named:
        raise UnknownError(f"there is no channel {which!r}; rtchat channel list shows them")
    if len(named) > 1:
        ids = ", ".join(str(place.id) for place in named)
        raise UnknownError(f"several channels are called {which!r}: name one by its id ({ids})")
    return named[0]
