"""What the clients of a run did and saw, and the log as the database holds it in the end.

Owns: the events of a run, in memory, in the order in which they were noted, with the moment by the
machine's monotonic clock, taken here. Processes of one machine share that clock, so real-time order
can be checked. Must never: write or count anything during a run (it would disturb the timing), or
judge. A crash of the harness loses the history; nothing of the run is worth anything without it.

An event is a tuple: its tag, nanoseconds, the client, then the method's arguments in their order.
"""

import gzip
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import asyncpg
import orjson

from rtchat.model import Kind

Event = tuple[Any, ...]

PERSON, SEND, RETRIED, ACK, REFUSED = "person", "send", "retried", "ack", "refused"
SUBSCRIBED, RECEIVED, LEFT, RESET = "subscribed", "received", "left", "reset"
CLOSED, END, MARK = "closed", "end", "mark"

# A mark that begins with one of these opens or closes a window of time, in which figures are taken.
INJECTED, HEALED = "injected", "healed"


@dataclass(frozen=True, slots=True)
class Row:
    """An entry of the log, as stored. `kind` is the `t` of its frame (`drop` has none)."""

    channel: int
    seq: int
    kind: str
    user: int  # who did it
    nonce: str
    content: str
    target: int | None = None  # the user who joined or left, the seq that it is about
    ts: int = 0  # milliseconds since 1970, by the database's clock
    changed: bool = False  # edited or deleted since: it may be received as it was, or as it is


class History:
    """The events of a run. Every method notes one; none looks at what it is told."""

    def __init__(self, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self.events: list[Event] = []
        self.rows: list[Row] = []  # as loaded with a kept run
        self.heads: dict[int, int] = {}
        self._note = self.events.append
        self._clock = clock
        self._texts: dict[str, str] = {}  # a text received a thousand times is kept once

    def person(self, client: int, user: int) -> None:
        """Tell whose client this is; needed only for a client that never sends."""
        self._note((PERSON, self._clock(), client, user))

    def send(
        self, client: int, user: int, channel: int, nonce: str, content: str, session: int = 0
    ) -> None:
        """Before the first write of a message; its retries are not sends.

        With the `session` of the socket, the order among its sends is checked, too (O1).
        """
        content = self._texts.setdefault(content, content)
        self._note((SEND, self._clock(), client, user, channel, nonce, content, session))

    def retried(self, client: int, channel: int, nonce: str) -> None:
        """It was written again: its place among the sends of its socket is open now."""
        self._note((RETRIED, self._clock(), client, channel, nonce))

    def ack(self, client: int, channel: int, nonce: str, seq: int, dup: bool) -> None:
        """The ack of a message came."""
        self._note((ACK, self._clock(), client, channel, nonce, seq, dup))

    def refused(self, client: int, channel: int, nonce: str, code: str) -> None:
        """An error with `retry: false` came: not stored, and it never will be."""
        self._note((REFUSED, self._clock(), client, channel, nonce, code))

    def subscribed(self, client: int, session: int, channel: int, after: int) -> None:
        """The `ok` came: the entries behind `after` must follow.

        `session` names the socket, once in the run. With a null cursor, `after` is the `ok`'s head.
        """
        self._note((SUBSCRIBED, self._clock(), client, session, channel, after))

    def received(
        self, client: int, session: int, channel: int, seq: int, kind: str, user: int, content: str
    ) -> None:
        """An entry came. `kind` is its `t`; `content` the content, name or emoji, or empty.

        Every frame is noted, even one at or below the client's cursor: that is what is checked.
        """
        content = self._texts.setdefault(content, content)
        kind = sys.intern(kind)
        self._note((RECEIVED, self._clock(), client, session, channel, seq, kind, user, content))

    def left(self, client: int, session: int, channel: int, reason: str) -> None:
        """A `removed` came, or the `ok` of an `unsub`: nothing of the channel may follow.

        `reason` is the frame's, or `unsub`, after which the client keeps its cursor.
        """
        self._note((LEFT, self._clock(), client, session, channel, reason))

    def reset(self, client: int, session: int, channel: int, head: int) -> None:
        """A `reset` came: the subscription has ended, the next one may begin anywhere."""
        self._note((RESET, self._clock(), client, session, channel, head))

    def closed(self, client: int, session: int) -> None:
        """The socket is gone."""
        self._note((CLOSED, self._clock(), client, session))

    def end(self, client: int, session: int, channel: int, cursor: int) -> None:
        """Still subscribed at the end of the run, after the quiet time, with this cursor."""
        self._note((END, self._clock(), client, session, channel, cursor))

    def mark(self, text: str) -> None:
        """Something outside the clients: a fault `injected …`, `healed …`, a phase of the run."""
        self._note((MARK, self._clock(), -1, text))

    def save(
        self, path: Path, rows: Iterable[Row] = (), heads: Mapping[int, int] | None = None
    ) -> None:
        """Keep the run, to check it again: an event a line, then the log."""
        with gzip.open(path, "wb", compresslevel=1) as file:
            for event in self.events:
                file.write(orjson.dumps(event) + b"\n")
            for row in rows:
                file.write(orjson.dumps(("row", *astuple(row))) + b"\n")
            for channel, head in (heads or {}).items():
                file.write(orjson.dumps(("head", channel, head)) + b"\n")

    @classmethod
    def load(cls, path: Path) -> "History":
        """Read a kept run, with its log in `rows` and `heads`."""
        history = cls()
        with gzip.open(path, "rb") as file:
            for line in file:
                tag, *fields = orjson.loads(line)
                if tag == "row":
                    history.rows.append(Row(*fields))
                elif tag == "head":
                    history.heads[fields[0]] = fields[1]
                else:
                    history.events.append((sys.intern(tag), *fields))
        return history


FRAMES = {
    Kind.MESSAGE: "msg",
    Kind.EDIT: "edit",
    Kind.DELETE: "del",
    Kind.REACT: "react",
    Kind.UNREACT: "react",
    Kind.JOIN: "join",
    Kind.LEAVE: "leave",
    Kind.RENAME: "chan",
    Kind.DROP: "drop",
}


async def read_log(database_url: str) -> tuple[list[Row], dict[int, int]]:
    """Read every entry and every channel's head, in one snapshot, when all is quiet."""
    connection = await asyncpg.connect(database_url, timeout=10)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            entries = await connection.fetch(
                "SELECT channel_id, seq, kind, user_id, nonce, content, target,"
                " (extract(epoch FROM timestamp) * 1000)::bigint AS ts,"
                " edited_at IS NOT NULL OR deleted_at IS NOT NULL AS changed"
                " FROM messages ORDER BY channel_id, seq",
                timeout=120,
            )
            heads = await connection.fetch("SELECT id, last_seq FROM channels", timeout=30)
    finally:
        await connection.close(timeout=10)
    rows = [
        Row(ch, seq, FRAMES[Kind(kind)], user, nonce, content or "", target, ts, changed)
        for ch, seq, kind, user, nonce, content, target, ts, changed in entries
    ]
    return rows, dict(heads)
