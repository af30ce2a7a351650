"""`rtchat chat` without a terminal: each line of the input is a message, each message a line.

Owns: the order (a line is sent when the one before it is stored), and the end: when the input ends,
once all of it is stored and was printed; with `follow` only when the client ends. A line is sent as
it is: there are no commands here. Must never: go on behind a line that was not stored. Lost in a
crash: what was read and not acknowledged, one line at most.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from datetime import datetime
from typing import BinaryIO

from rtchat.client import (
    Client,
    ClientError,
    ClosedError,
    Entry,
    Msg,
    Removed,
    Reset,
    Rest,
    UnknownEntry,
)
from rtchat.operate.terminal import printable
from rtchat.terminal.state import millis

LINE_MAX_BYTES = 65_536  # of the input; what the server takes is less
SEND_S = 120.0


class NotTextError(Exception):
    """The input cannot be sent."""


class Piped:
    """One channel, in and out."""

    def __init__(
        self, client: Client, rest: Rest, channel: int, show: Callable[[str], object]
    ) -> None:
        self._client = client
        self._rest = rest
        self._channel = channel
        self._show = show
        self._names: dict[int, str] = {client.hello.user.id: client.hello.user.name}
        self._stored = self._printed = 0  # the last seq of one's own, and the last one printed
        self._moved = asyncio.Event()

    async def run(self, source: BinaryIO, *, follow: bool) -> None:
        """Talk. Raises what `Client.send` raises, ClosedError, and NotTextError."""
        heads = await self._client.subscribe([self._channel])
        self._stored = self._printed = heads[self._channel]
        async with asyncio.TaskGroup() as group:
            printing = group.create_task(self._print())
            await self._send(source)
            if not follow:
                printing.cancel()

    async def _send(self, source: BinaryIO) -> None:
        lines: asyncio.Queue[bytes] = asyncio.Queue(1)
        loop = asyncio.get_running_loop()

        def read() -> None:
            """In a thread that does not hold up the end of the process."""
            while True:
                line = source.readline(LINE_MAX_BYTES)
                put = lines.put(line)
                try:
                    asyncio.run_coroutine_threadsafe(put, loop).result()
                except (RuntimeError, CancelledError):  # the loop has ended, or is about to
                    put.close()
                    return
                if not line:
                    return

        threading.Thread(target=read, name="input", daemon=True).start()
        number = 0
        while line := await lines.get():
            number += 1
            if content := _text(line, number):
                ack = await self._client.send(self._channel, content, timeout_s=SEND_S)
                self._stored = ack.seq
        while self._printed < self._stored:
            self._moved.clear()
            await self._moved.wait()

    async def _print(self) -> None:
        async for event in self._client.events():
            if isinstance(event, Removed):
                raise ClosedError("no member of the channel any more")
            if isinstance(event, Msg) and not event.deleted:
                await self._print_message(event.seq, event.user, event.ts, event.content)
            if isinstance(event, Entry | UnknownEntry):
                self._printed = event.seq
            elif isinstance(event, Reset):
                await self._go_on_behind(event.last_seq)
            self._moved.set()

    async def _go_on_behind(self, last_seq: int | None) -> None:
        """The log has another history: live entries begin behind `last_seq`, which may be less than
        what was printed, and what is stored no more is not waited for."""
        if last_seq is None:
            raise ClosedError("the channel's log cannot be followed any more")
        if last_seq > self._printed:
            async for message in self._rest.messages(self._channel, after=self._printed):
                if message.seq <= last_seq and message.deleted_at is None:
                    ts = millis(message.timestamp)
                    await self._print_message(message.seq, message.user_id, ts, message.content)
        self._printed, self._stored = last_seq, min(self._stored, last_seq)

    async def _print_message(self, seq: int, user: int, ts: int, content: str) -> None:
        if user not in self._names:
            with contextlib.suppress(ClientError):  # the message is what must not be lost
                self._names |= {u.id: u.name for u in await self._rest.users([user])}
        name = self._names.get(user) or f"user {user}"
        time = datetime.fromtimestamp(ts / 1000).astimezone().isoformat(timespec="seconds")
        self._show(f"{time}  {seq}  {printable(name)}: {printable(content)}")


def _text(line: bytes, number: int) -> str:
    """A line without its end; empty where there is nothing in it."""
    try:
        text = line.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise NotTextError(f"line {number} of the input is no UTF-8") from None
    if "\0" in text:
        raise NotTextError(f"line {number} of the input has a NUL")
    return text if text.strip() else ""
