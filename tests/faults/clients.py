"""The clients of a fault run: they send, listen, lose their sockets and come back.

Owns: what a careful client does (docs/protocol.md): a nonce for each send, kept until an ack or a
final error; cursors; coming back to any pod with full jitter; noticing a dead link. Everything it
does and sees goes into the history. Must never: hide anything from the checker by being clever.
"""

import asyncio
import bisect
import contextlib
import random
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests import documented
from tests.faults.history import History
from tests.people import Person

BACKOFF_BASE_S, BACKOFF_CAP_S = 0.1, 2.0
RETRY_S = 2.0  # a send without an answer is sent again, on the same socket too
QUIET_S, DEAD_S = 1.0, 2.5  # nothing came for so long: ask; for so long: the link is dead
PENDING_MAX = 15  # sends without an answer; then nothing new is said
OPEN_S = 5.0
TEXT_CHARS = 1500
RECEIVE_BYTES = 8192  # small: a client that stops reading is soon felt by its pod

Where = Callable[[], str | None]  # the WebSocket of a pod by lot


class Chatter:
    """One client: one user, one socket at a time, several channels."""

    def __init__(
        self,
        number: int,
        person: Person,
        channels: Sequence[int],
        where: Where,
        history: History,
        rng: random.Random,
    ) -> None:
        self.number = number
        self.person = person
        self.channels = tuple(channels)  # those that it was in at the start
        self.cursors: dict[int, int | None] = dict.fromkeys(channels)
        # By nonce, channel and frame: sent, and not known what became of it.
        self.pending: dict[str, tuple[int, dict[str, Any]]] = {}
        self._sent: dict[str, int] = {}  # every nonce, and its channel
        self._heard: dict[int, int] = {}  # by channel: its latest message
        self._asked: dict[str, dict[int, int | None]] = {}  # by ref of a `sub`: the cursors in it
        self.subscribed: set[int] = set()
        self.former: list[int] = []  # channels that it was removed from
        self.session = 0
        self.reads = asyncio.Event()  # cleared: it stops reading
        self.reads.set()
        self.places: list[tuple[int, str]] = []  # since when (nanoseconds), on which pod
        self._where = where
        self._history = history
        self._rng = rng
        self._socket: ClientConnection | None = None
        self._said = documented.Socket()
        self._last_heard = 0.0
        self._again: dict[str, float] = {}  # by nonce: when it may be sent again
        history.person(number, person.id)

    def place(self, at: int) -> str:
        """The pod that it was on at this moment, in nanoseconds; empty before the first."""
        since = bisect.bisect_right(self.places, at, key=lambda place: place[0])
        return self.places[since - 1][1] if since else ""

    # --- sending

    async def say(self, channel: int, text: str) -> None:
        """Send something new, unless too much is unanswered."""
        nonce = secrets.token_hex(8)
        content = f"{text[:TEXT_CHARS]} #{nonce}"
        await self._send_new(channel, nonce, content, {"t": "send", "content": content})

    async def react(self, channel: int) -> None:
        """React to a message of late, or take that back."""
        if of := self._heard.get(channel):
            emoji, on = self._rng.choice("👍🎉🙂"), self._rng.random() < 0.7
            frame = {"t": "react", "of": of, "emoji": emoji, "on": on}
            await self._send_new(channel, secrets.token_hex(8), emoji, frame)

    async def _send_new(
        self, channel: int, nonce: str, content: str, frame: dict[str, Any]
    ) -> None:
        if len(self.pending) >= PENDING_MAX:
            return
        self.pending[nonce] = channel, {**frame, "ref": nonce, "ch": channel, "nonce": nonce}
        self._sent[nonce] = channel
        self._history.send(self.number, self.person.id, channel, nonce, content, self.session)
        await self._send(nonce)

    async def _send(self, nonce: str) -> None:
        self._again[nonce] = asyncio.get_running_loop().time() + RETRY_S
        await self._write(self.pending[nonce][1])

    async def _write(self, frame: dict[str, Any]) -> None:
        if self._socket is not None and self.session:
            data = orjson.dumps(frame)
            self._said.sent(data)
            with contextlib.suppress(ConnectionClosed):
                await self._socket.send(data, text=True)

    async def _retry(self) -> None:
        now = asyncio.get_running_loop().time()
        for nonce in [n for n, at in self._again.items() if at <= now and n in self.pending]:
            await self._resend(nonce)

    async def _resend(self, nonce: str) -> None:
        if nonce in self.pending:
            self._history.retried(self.number, self.pending[nonce][0], nonce)
            await self._send(nonce)

    # --- the socket

    async def run(self) -> None:
        """Stay connected until cancelled."""
        failures = 0
        while True:
            with contextlib.suppress(OSError, TimeoutError, ConnectionClosed, InvalidHandshake):
                if (url := self._where()) is not None:
                    await self._serve(url)
                    failures = 0
            failures += 1
            pause = min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2 ** min(failures, 10))
            await asyncio.sleep(self._rng.uniform(0, pause))

    async def _serve(self, url: str) -> None:
        headers = self.person.headers
        address = urlsplit(url)
        assert address.port is not None
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        raw.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", address.port))
        except BaseException:
            raw.close()
            raise
        self._socket = await connect(
            url,
            sock=raw,
            proxy=None,
            compression=None,
            additional_headers=headers,
            open_timeout=OPEN_S,
            ping_interval=None,
            close_timeout=0.2,
            max_queue=16,
        )
        self.places.append((time.monotonic_ns(), url))
        self._said = documented.Socket()
        try:
            async with asyncio.TaskGroup() as group:
                watch = group.create_task(self._watch(self._socket))
                await self._read(self._socket)
                watch.cancel()
        except* ConnectionClosed:
            pass
        finally:
            self._socket.transport.abort()
            if self.session:
                self._history.closed(self.number, self.session)
            self._socket, self.session = None, 0
            self._asked.clear()
            self.subscribed.clear()

    async def _read(self, link: ClientConnection) -> None:
        loop = asyncio.get_running_loop()
        self._last_heard = loop.time()
        while True:
            if not self.reads.is_set():
                await self.reads.wait()
            text = await link.recv(decode=False)
            self._last_heard = loop.time()
            frame = orjson.loads(text)
            self._said.received(frame)
            await self._take(frame)

    async def _watch(self, link: ClientConnection) -> None:
        """Notice a dead link; send again what is unanswered."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(0.25)
            silent_s = loop.time() - self._last_heard
            if silent_s > DEAD_S and self.reads.is_set():
                link.transport.abort()
                return
            if silent_s > QUIET_S:
                await self._write({"t": "ping"})
            await self._retry()
            if missing := self.cursors.keys() - self.subscribed:
                await self._subscribe(sorted(missing))

    def cut(self) -> None:
        """Lose the socket."""
        if self._socket is not None:
            self._socket.transport.abort()

    # --- what comes

    async def _take(self, frame: dict[str, Any]) -> None:
        kind = frame["t"]
        if "seq" in frame and kind != "ack":
            self._entry(kind, frame)
        elif kind == "ack":
            self._acked(frame)
        elif kind == "error":
            self._failed(frame)
        elif kind == "ok":
            self._subscribed(frame)
        elif kind == "hello":
            self.session = next_session()
            await self._subscribe(list(self.cursors))
            for nonce in list(self.pending):
                await self._resend(nonce)
        elif kind == "reset":
            self._history.reset(self.number, self.session, frame["ch"], frame["head"])
            self.cursors[frame["ch"]] = frame["head"]
            self.subscribed.discard(frame["ch"])
        elif kind == "removed":
            self._history.left(self.number, self.session, frame["ch"], frame["reason"])
            self._removed(frame["ch"])

    def _removed(self, channel: int) -> None:
        self.subscribed.discard(channel)
        if self.cursors.pop(channel, None) is not None:
            self.former.append(channel)

    async def _subscribe(self, channels: Sequence[int]) -> None:
        ref = f"sub {secrets.token_hex(4)}"
        wanted = self._asked[ref] = {channel: self.cursors[channel] for channel in channels}
        self.subscribed.update(channels)  # asked for; an error takes it back
        cursors = {str(channel): cursor for channel, cursor in wanted.items()}
        await self._write({"t": "sub", "ref": ref, "ch": cursors})

    def _subscribed(self, frame: dict[str, Any]) -> None:
        asked = self._asked.pop(frame["ref"])
        for name, answer in frame["ch"].items():
            channel = int(name)
            if "head" in answer:
                after = asked[channel]
                if after is None:
                    after = self.cursors[channel] = answer["head"]
                self._history.subscribed(self.number, self.session, channel, after)
            elif answer["error"] in ("forbidden", "not_found"):  # removed while it was away
                self._removed(channel)
            else:  # the database is away: asked again until it is back
                self.subscribed.discard(channel)

    def _entry(self, kind: str, frame: dict[str, Any]) -> None:
        channel, seq = frame["ch"], frame["seq"]
        content = frame.get("emoji") or frame.get("content", "")
        self._history.received(
            self.number, self.session, channel, seq, kind, frame["user"], content
        )
        if kind == "msg":
            self._heard[channel] = seq
        self.cursors[channel] = max(seq, self.cursors.get(channel) or 0)

    def _acked(self, frame: dict[str, Any]) -> None:
        nonce = frame["ref"]
        self._history.ack(
            self.number, frame["ch"], nonce, frame["seq"], bool(frame.get("dup", False))
        )
        self._forget(nonce)

    def _failed(self, frame: dict[str, Any]) -> None:
        ref = frame.get("ref")
        if ref in self._asked:
            self.subscribed -= self._asked.pop(ref).keys()
        elif not frame["retry"] and ref in self._sent:
            self._history.refused(self.number, self._sent[ref], ref, frame["code"])
            self._forget(ref)
        elif ref in self.pending:
            wait_s = frame.get("after", 200) / 1000 * self._rng.uniform(1, 1.5)
            self._again[ref] = asyncio.get_running_loop().time() + wait_s

    def _forget(self, nonce: str) -> None:
        self.pending.pop(nonce, None)
        self._again.pop(nonce, None)


_sessions = iter(range(1, 1 << 60))


def next_session() -> int:
    """A number for each socket of a run."""
    return next(_sessions)
