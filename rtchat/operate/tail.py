"""`rtchat tail`: a channel's log as an operator follows it, straight from the database.

Owns: the way from one page to the next, and what an entry looks like in a line. Must never: skip
an entry, ask more often than `interval_s`, or let a control character through to a terminal.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

from asyncpg import exceptions as pg

from rtchat.errors import StartError
from rtchat.model import Kind, rfc3339
from rtchat.operate.places import meant
from rtchat.operate.terminal import printable
from rtchat.store import following, once
from rtchat.store.database import UNAVAILABLE, AnyConnection
from rtchat.store.following import Line
from rtchat.store.operator import Place

AGAIN_S = 1.0  # between tries while the database is away
_WORDS = {
    Kind.MESSAGE: "message",
    Kind.EDIT: "edit",
    Kind.DELETE: "delete",
    Kind.REACT: "react",
    Kind.UNREACT: "unreact",
    Kind.JOIN: "join",
    Kind.LEAVE: "leave",
    Kind.RENAME: "rename",
    Kind.DROP: "drop",
}


class Note(str):
    """Something to tell that is no entry."""

    __slots__ = ()


class From(NamedTuple):
    """Where to begin: with entry `start`, or `last` entries before the head; else at the head."""

    start: int | None = None
    last: int | None = None

    def after(self, head: int) -> int:
        """The entry behind which that is."""
        if self.start is not None:
            return self.start - 1
        return max(0, head - (self.last or 0))


class Tail:
    """One channel's log, from a place on."""

    def __init__(
        self, url: str, which: str, begin: From, interval_s: float, *, once_only: bool
    ) -> None:
        """`once_only`: it ends at the head, and with the database."""
        self._url = url
        self._which = which
        self._begin = begin
        self._interval_s = interval_s
        self._once_only = once_only
        self._after = 0
        self._head = 0  # the last that was seen

    async def show(self, print_it: Callable[[Line | Note], object]) -> None:
        """`follow`, and hand on each."""
        async for item in self.follow():
            print_it(item)

    async def follow(self) -> AsyncIterator[Line | Note]:
        """Each entry from where to begin on.

        Ends also when the channel's log is gone. Raises UnknownError; StartError where the database
        is not there at the start, or lets this role not read.
        """
        async with once.connected(self._url) as connection:
            place = await _asked(meant(connection, self._which))
        self._head = place.last_seq
        self._after = self._begin.after(self._head)
        away = False
        while True:
            try:
                async with once.connected(self._url) as connection:
                    if away:
                        yield Note("the database is there again")
                        away = False
                    async for item in self._entries(connection, place.id):
                        yield item
                    return
            except (StartError, *UNAVAILABLE, pg.PostgresError) as error:
                mended_by_waiting = isinstance(error, (StartError, *UNAVAILABLE))
                if self._once_only or not mended_by_waiting:  # a right is missing, …
                    raise StartError(f"reading the log failed: {once.said(error)}") from error
                if not away:
                    yield Note(f"the database is away ({once.said(error)}); trying again")
                away = True
                await asyncio.sleep(max(self._interval_s, AGAIN_S))

    async def _entries(self, connection: AnyConnection, channel: int) -> AsyncIterator[Line | Note]:
        while True:
            state = await following.state(connection, channel)
            if state is None:
                yield Note("the channel's log is gone: it was deleted")
                return
            if state.head < self._head:
                went = f"from {self._head} to {state.head}"
                yield Note(f"the log went back {went}: a backup was restored?")
                if self._after <= self._head:  # else it is told to begin with what is to come
                    self._after = min(self._after, state.head)
            self._head = state.head
            lines = await following.page(connection, channel, self._after)
            for line in lines:
                self._after = line.seq
                self._head = max(self._head, line.seq)  # committed since the look at the head
                yield line
            if lines and self._after < state.head:
                continue
            if state.deleted or self._once_only:
                return
            await asyncio.sleep(self._interval_s)


async def _asked(question: Awaitable[Place]) -> Place:
    try:
        return await question
    except (*UNAVAILABLE, pg.PostgresError) as error:
        raise StartError(f"looking for the channel failed: {once.said(error)}") from error


def as_text(line: Line) -> str:
    """One entry as a line for people: when, its seq, what, who, and what it says now."""
    who = f"{line.user_id} {printable(line.name)}" if line.name else str(line.user_id)
    head = f"{rfc3339(line.timestamp)}  {line.seq:>6}  {_WORDS[line.kind]:<7}  {who}"
    return f"{head}  {_said(line)}".rstrip()


def _said(line: Line) -> str:
    content = printable(line.content or "")
    if line.kind is Kind.MESSAGE:
        if line.deleted_at:
            return f"[deleted {rfc3339(line.deleted_at)}]"
        return f"{content}  [edited {rfc3339(line.edited_at)}]" if line.edited_at else content
    if line.kind is Kind.EDIT:
        return f"of {line.target}: {content or '[deleted]'}"
    if line.kind in (Kind.DELETE, Kind.REACT, Kind.UNREACT):
        return f"of {line.target} {content}".rstrip()
    if line.kind in (Kind.JOIN, Kind.LEAVE):
        return f"user {line.target}"
    return content


def as_json(line: Line, *, ascii_only: bool) -> str:
    """One entry as JSON, its content exactly as it is stored."""
    value = {
        "channel": line.channel_id,
        "seq": line.seq,
        "kind": _WORDS[line.kind],
        "user": line.user_id,
        "name": line.name,
        "target": line.target,
        "content": line.content,
        "timestamp": rfc3339(line.timestamp),
        "editedAt": line.edited_at and rfc3339(line.edited_at),
        "deletedAt": line.deleted_at and rfc3339(line.deleted_at),
    }
    return json.dumps(value, ensure_ascii=ascii_only)
