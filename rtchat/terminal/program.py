"""One run of `rtchat chat`: sign in, connect, talk, and leave.

Owns: the order of these, and what is closed at the end. Must never: print while the screen is there
(logs would tear it), or leave with a message unsent and say nothing.
"""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from rtchat.client import Client, Rest, Session
from rtchat.client.calls import endpoints
from rtchat.terminal.finding import find_channel
from rtchat.terminal.keeping import Keeper
from rtchat.terminal.piped import Piped
from rtchat.terminal.signing import SignIn
from rtchat.terminal.state import State
from rtchat.terminal.talk import Talk

REST_S = 10.0  # how long a call is tried


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the command line asks for. `source`: lines to send; None: there is a terminal."""

    url: str
    channel: str | None
    email: str | None
    register: bool
    name: str | None
    follow: bool
    source: BinaryIO | None


class Asking(Protocol):
    """Who asks the person that signs in."""

    def email(self) -> str:
        """The address."""

    def password(self, *, new: bool) -> str:
        """The password; a new one twice."""

    def tell(self, words: str) -> None:
        """A line for people."""


class NotSignedInError(Exception):
    """Nobody is there to be asked."""


async def run(wanted: Wanted, asking: Asking, show: Callable[[str], object]) -> None:
    """Talk, until the end is asked for. Raises NotSignedInError, and the client's errors."""
    async with Rest(wanted.url, retry_s=REST_S) as rest:
        sign_in, session = await _signed_in(rest, wanted, asking)
        tokens = sign_in.tokens(session)
        rest.token = tokens.at_hand
        forget = False
        with _alone():
            async with Client(wanted.url, tokens=tokens) as client:
                if wanted.source is None:
                    forget = await _on_screen(client, rest, session, wanted.channel)
                else:
                    await _by_lines(client, rest, wanted, show)
        if forget:
            await sign_in.out(tokens.session)


async def _signed_in(rest: Rest, wanted: Wanted, asking: Asking) -> tuple[SignIn, Session]:
    keeper: Keeper | None = None
    if wanted.source is None or wanted.email is None:
        keeper = Keeper(endpoints(wanted.url)[1])
        if not keeper.open():
            if wanted.source is not None:
                raise NotSignedInError("another `rtchat chat` has the sign-in that is kept")
            asking.tell("another `rtchat chat` has the sign-in that is kept; this one is not kept")
            keeper = None
    sign_in = SignIn(rest, keeper)
    if not wanted.register and (session := await sign_in.again(wanted.email)) is not None:
        return sign_in, session
    if wanted.source is not None and wanted.email is None:
        raise NotSignedInError("no sign-in is kept: run it in a terminal once, or name --email")
    email = wanted.email or asking.email()
    password = asking.password(new=wanted.register)
    return sign_in, await sign_in.anew(email, password, register=wanted.register, name=wanted.name)


async def _by_lines(
    client: Client, rest: Rest, wanted: Wanted, show: Callable[[str], object]
) -> None:
    assert wanted.source is not None
    assert wanted.channel is not None
    channel = await find_channel(rest, wanted.channel, "mine", "public")
    if channel.role is None:
        await rest.join(channel.id)
    await Piped(client, rest, channel.id, show).run(wanted.source, follow=wanted.follow)


async def _on_screen(client: Client, rest: Rest, session: Session, channel: str | None) -> bool:
    """Returns whether the session is to be ended, too."""
    from rtchat.terminal.screen import Screen  # what needs the extra

    log = logging.getLogger("rtchat")
    log.propagate = False
    log.addHandler(logging.NullHandler())
    forget = False
    try:
        async with asyncio.TaskGroup() as group:
            talk = Talk(client, rest, State(session.user), group)
            screen = Screen(talk)
            talk.changed = screen.draw
            group.create_task(talk.run())
            group.create_task(screen.take_lines())
            talk.start(_begin(talk, channel))
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGHUP):
                loop.add_signal_handler(number, screen.end)
            await screen.app.run_async()
            forget = screen.forget
            talk.tell_read()
            raise _EndError
    except* _EndError:
        pass
    return forget


class _EndError(Exception):
    """Ends a group of tasks."""


async def _begin(talk: Talk, channel: str | None) -> None:
    """Open the channel that was named, or the first one with news."""
    await talk.list_channels()
    if channel is not None:
        await talk.join(channel)
        return
    listed = talk.state.listed()
    if listed:
        await talk.open(next((room for room in listed if room.unread), listed[0]))
    else:
        talk.state.panel = ["you are in no channel yet: /create NAME, /join NAME, /help"]


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Raise what ended a group of tasks as it is."""
    try:
        yield
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
