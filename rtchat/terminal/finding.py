"""Channels and people by what somebody typed.

Names of channels are not unique, and whoever may rename a channel or add members chooses them for
others. Must never: take one of several that it may have meant.
"""

from collections.abc import Iterable

from rtchat.client import Channel, RefusedError, Rest, User

CHANNELS_MAX = 1000  # of a kind that are looked through for a name
ID_DIGITS = 15  # more is no number of a channel (contract: below 2^53)


class WrongError(Exception):
    """What was typed cannot be done; the text is for whoever typed it."""


def called(channels: Iterable[Channel], text: str) -> Channel | None:
    """The one of this number, or else of this name in any case. Raises WrongError for several."""
    wanted = _plain(text)
    named = []
    for channel in channels:
        if wanted == f"{channel.id}":
            return channel
        if wanted and wanted == _plain(channel.name or ""):
            named.append(channel)
    if len(named) > 1:
        numbers = ", ".join(f"{channel.id}" for channel in named[:8])
        raise WrongError(f"several channels are called {text}, a number names one: {numbers}")
    return named[0] if named else None


def _plain(name: str) -> str:
    return name.lstrip("#& ").rstrip().casefold()


async def find_channel(rest: Rest, text: str, *scopes: str) -> Channel:
    """The one of this number, or else of this name among one's own (`mine`) or the `public`."""
    number = text.removeprefix("#")
    if number.isascii() and number.isdecimal() and len(number) <= ID_DIGITS:
        try:
            return await rest.channel(int(number))
        except RefusedError as error:
            if error.code not in ("not_found", "bad_field"):  # then it is a name
                raise
    for scope in scopes:
        looked: list[Channel] = []
        async for channel in rest.all_channels(scope):
            looked.append(channel)
            if len(looked) == CHANNELS_MAX:
                break
        if (found := called(looked, text)) is not None:
            return found
    raise WrongError(f"no channel {text} that you may see; /create makes one")


async def find_person(rest: Rest, text: str) -> User:
    """The one person of this name or address."""
    found = await rest.find_users(text.removeprefix("@"))
    same = [u for u in found if u.name.casefold() == text.removeprefix("@").casefold()]
    if len(found) == 1 or len(same) == 1:
        return (same or found)[0]
    if not found:
        raise WrongError(f"nobody is called {text}")
    if same:
        raise WrongError(f"several are called {text}; an address names one")
    names = ", ".join(sorted({user.name for user in found})[:8])
    raise WrongError(f"which {text}: {names}? An address names one")
