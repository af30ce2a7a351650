"""A bridge between two channels, of one server or of two: what is said in one is said in the other.

    export BRIDGE_EMAIL=bridge@example.org BRIDGE_PASSWORD='correct horse'   # an account on both
    python bridge.py bridge.db http://localhost:8000 general http://chat.example.org lounge

Messages go over both ways, with their author's name before them; edits and deletions follow. How
each is carried over exactly once, although this process and both servers may die at any moment:

- A copy's nonce is made of the side and of the epoch, channel and seq that it is a copy of (after a
  restored backup other messages have the same seqs). The server stores a nonce once, for ever: to
  send it again finds the copy, and its seq. So no two bridges share an account and a channel.
- A database file has, for each side, the cursor and which copy belongs to which message. Both are
  written in one transaction, after the copy is acknowledged. After a crash the entry comes again,
  is sent again under its nonce, and the copy is known again.
- A message that was edited between the two tries has other content by then: `nonce_conflict`, and
  the copy is looked up by its nonce, which history shows to its author. One that was deleted
  meanwhile is looked up the same way; if there is no copy, none is made.
- No loops: what the bridge has said itself is not carried back.
- Each side's entries are carried over one after the other, so their order stays.

What it does not do: carry back what somebody does to a copy, reactions, or who joins. Where a
server is away for longer than the client tries (30 s) it ends, for whoever runs it to start it
again.
"""

import asyncio
import os
import sqlite3
import sys
from dataclasses import dataclass
from pathlib import Path

from rtchat.client import (
    Channel,
    Client,
    Del,
    Edit,
    Entry,
    Msg,
    RefusedError,
    Renewing,
    Reset,
    Rest,
)

LOOK_BACK = 10_000  # messages of its own that are looked through for a copy


class Ledger:
    """What has been carried over, in a file; one transaction an entry."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.executescript(
            "PRAGMA synchronous = FULL;"
            "CREATE TABLE IF NOT EXISTS places (side PRIMARY KEY, epoch, seq);"
            "CREATE TABLE IF NOT EXISTS copies (side, seq, copy, PRIMARY KEY (side, seq));"
        )

    def place(self, side: str) -> tuple[str | None, int | None]:
        """The epoch and the cursor of a side."""
        found = self._db.execute("SELECT epoch, seq FROM places WHERE side = ?", (side,))
        return found.fetchone() or (None, None)

    def copy_of(self, side: str, seq: int) -> int | None:
        """The copy of a message."""
        query = "SELECT copy FROM copies WHERE side = ? AND seq = ?"
        found = self._db.execute(query, (side, seq)).fetchone()
        return None if found is None else int(found[0])

    def done(self, side: str, epoch: str | None, seq: int, copy: int | None = None) -> None:
        """An entry is carried over."""
        self._db.execute("BEGIN")
        if copy is not None:
            self._db.execute("REPLACE INTO copies VALUES (?, ?, ?)", (side, seq, copy))
        self._db.execute("REPLACE INTO places VALUES (?, ?, ?)", (side, epoch, seq))
        self._db.execute("COMMIT")

    def another_history(self, side: str, epoch: str | None, last_seq: int) -> None:
        """A side's log ends earlier than it did."""
        self._db.execute("DELETE FROM copies WHERE side = ? AND seq > ?", (side, last_seq))
        self.done(side, epoch, last_seq)


@dataclass
class Side:
    """One end of the bridge."""

    name: str
    client: Client
    rest: Rest
    channel: int


class Lane:
    """What is said on one side, carried to the other."""

    def __init__(self, source: Side, target: Side, ledger: Ledger) -> None:
        self._source = source
        self._target = target
        self._ledger = ledger
        self._names: dict[int, str] = {}
        self._epoch = ""  # of what comes out of the source's client, until a Reset does

    async def run(self) -> None:
        """Carry over, until the client ends."""
        source, ledger = self._source, self._ledger
        epoch, seq = ledger.place(source.name)
        heads = await source.client.subscribe({source.channel: seq}, epoch=epoch)
        self._epoch = source.client.hello.epoch
        if seq is None:
            ledger.done(source.name, self._epoch, heads[source.channel])
        print(f"{source.name} ready", flush=True)
        async for event in source.client.events():
            if isinstance(event, Reset) and event.last_seq is not None:
                self._epoch = event.epoch or source.client.hello.epoch
                ledger.another_history(source.name, self._epoch, event.last_seq)
            elif isinstance(event, Entry):
                copy = await self._carry(event)
                ledger.done(source.name, self._epoch, event.seq, copy)

    async def _carry(self, entry: Entry) -> int | None:
        """Do on the other side what was done here. Returns the copy of a message."""
        nonce = f"{self._source.name}:{self._epoch[:8]}:{entry.ch}:{entry.seq}"
        if isinstance(entry, Msg) and entry.user != self._source.client.hello.user.id:
            return await self._copy(entry, nonce)
        if isinstance(entry, Edit | Del):
            copy = self._ledger.copy_of(self._source.name, entry.of)
            if copy is not None:
                await self._change(entry, copy, nonce)
        return None

    async def _copy(self, msg: Msg, nonce: str) -> int | None:
        if msg.deleted:
            return await self._find(nonce)
        content = await self._text(msg.user, msg.content)
        try:
            return (await self._target.client.send(self._target.channel, content, nonce)).seq
        except RefusedError as error:
            if error.code != "nonce_conflict":
                raise
            return await self._find(nonce)

    async def _change(self, entry: Edit | Del, copy: int, nonce: str) -> None:
        client, channel = self._target.client, self._target.channel
        try:
            if isinstance(entry, Del):
                await client.delete(channel, copy, nonce)
            elif entry.content:  # else it was deleted since, and that follows
                author = (await self._source.rest.message(entry.ch, entry.of)).user_id
                await client.edit(channel, copy, await self._text(author, entry.content), nonce)
        except RefusedError as error:
            if error.code not in ("nonce_conflict", "not_found"):  # done before, or copy deleted
                raise

    async def _find(self, nonce: str) -> int | None:
        looked = 0
        async for message in self._target.rest.messages_back(self._target.channel):
            if message.nonce == nonce:
                return message.seq
            if (looked := looked + 1) == LOOK_BACK:
                break
        return None

    async def _text(self, user: int, content: str) -> str:
        if user not in self._names:
            self._names |= {u.id: u.name for u in await self._source.rest.users([user])}
        text = f"{self._names.get(user, 'somebody')}: {content}"
        most = self._target.client.hello.limits.content_chars
        return text if len(text) <= most else f"{text[: most - 1]}…"


async def channel_called(rest: Rest, name: str) -> Channel:
    """A public channel, joined."""
    async for channel in rest.all_channels("public"):
        if channel.name == name:
            return await rest.join(channel.id)
    raise SystemExit(f"there is no public channel {name}")


async def run(path: Path, ends: list[tuple[str, str]]) -> None:
    """Carry over both ways."""
    async with Rest(ends[0][0]) as a, Rest(ends[1][0]) as b:
        renewing = []
        for rest in (a, b):
            email, password = os.environ["BRIDGE_EMAIL"], os.environ["BRIDGE_PASSWORD"]
            tokens = Renewing(rest, await rest.login(email, password))
            rest.token = tokens.at_hand
            renewing.append(tokens)
        async with (
            Client(ends[0][0], tokens=renewing[0]) as client_a,
            Client(ends[1][0], tokens=renewing[1]) as client_b,
        ):
            first = Side("a", client_a, a, (await channel_called(a, ends[0][1])).id)
            second = Side("b", client_b, b, (await channel_called(b, ends[1][1])).id)
            ledger = Ledger(path)
            async with asyncio.TaskGroup() as group:
                group.create_task(Lane(first, second, ledger).run())
                group.create_task(Lane(second, first, ledger).run())


if __name__ == "__main__":
    _, file, url_a, name_a, url_b, name_b = sys.argv
    asyncio.run(run(Path(file), [(url_a, name_a), (url_b, name_b)]))
