"""What may be typed behind a slash: one table, and what each does.

Owns: how a line is understood. `//` begins a message that begins with a slash. Must never: guess
what was meant and do it; a slip of the pen changes nothing.
"""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from rtchat.terminal.finding import WrongError
from rtchat.terminal.lines import cells
from rtchat.terminal.state import Room, Said
from rtchat.terminal.talk import Talk


class Command(NamedTuple):
    """`usage` is what stands behind its name; `takes` of what kind that is, for completion."""

    usage: str
    words: str
    run: Callable[[Talk, str], Awaitable[None]]
    takes: str = ""


def is_command(text: str) -> bool:
    """Whether a line is one, and no message."""
    return text.startswith("/") and not text.startswith("//")


def message_of(text: str) -> str:
    """What a line that is no command says."""
    return text[1:] if text.startswith("//") else text


async def run(talk: Talk, text: str) -> None:
    """Do what a line says. Raises WrongError, or what the server answers."""
    name, _, rest = text[1:].partition(" ")
    if (command := COMMANDS.get(name.lower())) is None:
        raise WrongError(f"there is no /{cells(name)}: /help has the list")
    rest = rest.strip()
    if not rest and command.usage and not command.usage.startswith("["):
        raise WrongError(f"/{name} {command.usage}: {command.words}")
    talk.state.panel = []
    await command.run(talk, rest)


def _room(talk: Talk) -> Room:
    if talk.state.room is None:
        raise WrongError("no channel is open: /join, /dm or /create one")
    return talk.state.room


async def _join(talk: Talk, text: str) -> None:
    await talk.join(text)


async def _dm(talk: Talk, text: str) -> None:
    people = [await talk.person(name) for name in filter(None, map(str.strip, text.split(",")))]
    channel = await talk.rest.create_channel(None, "dm", people)
    await talk.follow(channel)
    await talk.open(talk.state.rooms[channel.id])


async def _create(talk: Talk, text: str) -> None:
    private = text.startswith("&")
    name = text.lstrip("#&").strip()
    channel = await talk.rest.create_channel(name, "private" if private else "public")
    await talk.follow(channel)
    await talk.open(talk.state.rooms[channel.id])


async def _leave(talk: Talk, _: str) -> None:
    await talk.rest.leave(_room(talk).id)


async def _rename(talk: Talk, text: str) -> None:
    await talk.rest.rename_channel(_room(talk).id, text)


async def _invite(talk: Talk, text: str) -> None:
    await talk.rest.add_member(_room(talk).id, await talk.person(text))


async def _remove(talk: Talk, text: str) -> None:
    await talk.rest.remove_member(_room(talk).id, await talk.person(text))


async def _members(talk: Talk, _: str) -> None:
    members = [member async for member in talk.rest.all_members(_room(talk).id)]
    talk.state.names |= {member.user.id: member.user.name for member in members}
    talk.state.panel = [
        f"{'●' if talk.state.is_online(m.user.id) or m.user.id == talk.state.me.id else ' '}"
        f" {m.user.name}{'' if m.role == 'member' else f' ({m.role})'}"
        for m in members
    ]


async def _channels(talk: Talk, _: str) -> None:
    mine = [
        f"{talk.state.label(room)}{f' {room.unread} unread' if room.unread else ''}"
        for room in talk.state.listed()
    ]
    public = await talk.rest.channels("public", limit=50)
    others = [f"#{c.name}  /join it" for c in public.items if c.id not in talk.state.rooms]
    talk.state.panel = [*mine, *others] or ["there is no channel yet: /create one"]


async def _react(talk: Talk, text: str) -> None:
    said, emoji = await _said(talk, text, mine=False)
    on = talk.state.me.id not in said.reactions.get(emoji, ())
    await talk.client.react(_room(talk).id, said.seq, emoji, on=on)


async def _edit(talk: Talk, text: str) -> None:
    said, content = await _said(talk, text, mine=True)
    await talk.client.edit(_room(talk).id, said.seq, content)


async def _delete(talk: Talk, text: str) -> None:
    said, rest = await _said(talk, text, mine=True, alone=True)
    if rest:
        raise WrongError("/delete [NUMBER]: your last message, or that one")
    await talk.client.delete(_room(talk).id, said.seq)


async def _said(talk: Talk, text: str, *, mine: bool, alone: bool = False) -> tuple[Said, str]:
    """The message that a command is about (`#17`, or else the last one), and what follows."""
    room = _room(talk)
    await talk.settled(room)
    first, _, rest = text.partition(" ")
    number = first.removeprefix("#")
    if (first.startswith("#") or alone) and number.isascii() and number.isdecimal():
        item = room.items.get(int(number))
        if not isinstance(item, Said):
            raise WrongError(f"message {number} is not here; /numbers shows which are")
        return item, rest.strip()
    if (last := room.last(mine=mine)) is None:
        raise WrongError("there is no message to do that with")
    return last, text


async def _numbers(talk: Talk, _: str) -> None:
    talk.state.numbers = not talk.state.numbers


async def _retry(talk: Talk, _: str) -> None:
    _some_failed(talk)
    talk.retry()


async def _discard(talk: Talk, _: str) -> None:
    _some_failed(talk)
    talk.discard()


def _some_failed(talk: Talk) -> None:
    if not talk.failed():
        raise WrongError("nothing has failed here")


async def _name(talk: Talk, text: str) -> None:
    talk.state.me = await talk.rest.update_me(name=text)
    talk.state.names[talk.state.me.id] = talk.state.me.name


async def _help(talk: Talk, _: str) -> None:
    talk.state.panel = [
        *(f"/{name} {c.usage}".rstrip() + f": {c.words}" for name, c in COMMANDS.items()),
        *KEYS,
    ]


async def _quit(talk: Talk, _: str) -> None:
    _leave_nothing(talk, "/quit")
    raise QuitError


async def _logout(talk: Talk, _: str) -> None:
    _leave_nothing(talk, "/logout")
    raise QuitError(forget=True)


def _leave_nothing(talk: Talk, again: str) -> None:
    if talk.unsent and not talk.leaving:
        talk.leaving = True
        raise WrongError(f"{talk.unsent} messages are not stored yet; {again} again leaves them")


class QuitError(Exception):
    """The end was asked for. `forget`: the session, too."""

    def __init__(self, *, forget: bool = False) -> None:
        super().__init__("quit")
        self.forget = forget


KEYS = (
    "Enter sends, Alt+Enter begins a line, PageUp and PageDown scroll, End is the newest;",
    "Ctrl+N and Ctrl+P: the next channel and the one before; Ctrl+G: the next with news;",
    "Tab completes, Esc closes this, Ctrl+D ends.",
)

COMMANDS = {
    "join": Command("CHANNEL", "open a channel, join a public one", _join, "channel"),
    "dm": Command("PERSON[, PERSON]", "a conversation among few", _dm, "person"),
    "create": Command("NAME", "a public channel; with & before its name a private one", _create),
    "leave": Command("", "leave this channel", _leave),
    "rename": Command("NAME", "give this channel another name", _rename),
    "invite": Command("PERSON", "make somebody a member here", _invite, "person"),
    "remove": Command("PERSON", "end a membership here", _remove, "person"),
    "members": Command("", "who is here", _members),
    "channels": Command("", "your channels, and public ones", _channels),
    "react": Command("[#NUMBER] EMOJI", "to the last message or that one; again: back", _react),
    "edit": Command("[#NUMBER] TEXT", "your last message, or that one", _edit),
    "delete": Command("[#NUMBER]", "your last message, or that one", _delete),
    "numbers": Command("", "show or hide the messages' numbers", _numbers),
    "retry": Command("", "send again what failed here", _retry),
    "discard": Command("", "forget what failed here", _discard),
    "name": Command("NAME", "what you are called", _name),
    "help": Command("", "this list", _help),
    "logout": Command("", "end, and sign in anew next time", _logout),
    "quit": Command("", "end; the next start signs you in by itself", _quit),
}
