"""Channels and people by what somebody typed.

Must never: take one of several that it may have meant.
"""

from rtchat.client import Channel, Rest, User

CHANNELS_MAX = 1000  # of a kind that are looked through for a name


class WrongError(Exception):
    """What was typed cannot be done; the text is for whoever typed it."""


def is_called(channel: Channel, text: str) -> bool:
    """Whether a channel has this name, in any case, or this number."""
    wanted = text.lstrip("#&").casefold()
    return wanted in (f"{channel.id}", (channel.name or "").casefold())


async def find_channel(rest: Rest, text: str, *scopes: str) -> Channel:
    """The first of one's own (`mine`) or the `public` channels that is called so."""
    for scope in scopes:
        looked = 0
        async for channel in rest.all_channels(scope):
            if is_called(channel, text):
                return channel
            if (looked := looked + 1) == CHANNELS_MAX:
                break
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
