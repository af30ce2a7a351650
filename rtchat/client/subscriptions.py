"""Which channels a client follows, and how far it has come in each.

Owns: the cursor of each followed channel (the last seq that was taken in), all of one epoch, and
the way back after a `reset`. Must never: let an entry through twice or past a hole, or resume a
cursor in another history than its own. Lost with the process; users keep `Client.cursors()` and
`Client.epoch` if they want to go on from there.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from rtchat.client.backoff import Backoff
from rtchat.client.connection import Link, LinkLostError
from rtchat.client.errors import ClientError, ClosedError, RefusedError, UnreachableError
from rtchat.client.events import (
    AnyEntry,
    AnyEvent,
    Limits,
    Ok,
    Removed,
    Reset,
    Standing,
    UnknownEntry,
)
from rtchat.client.wire import AGAIN_S, TryAgainError, Wire

CHANNELS_MAX = 1000  # of one `sub`
FRAME_BYTES = 512  # of its frame, besides the channels
# What may be answered for a channel and says nothing of it: asked again (contract §4, "retry").
RETRIED = frozenset({"rate_limited", "overloaded", "unavailable", "draining", "internal"})

LastSeq = Callable[[int], Awaitable[int]]  # a channel's last seq, from REST


class GapError(ClientError):
    """The server left something out; whoever sees this comes back and resumes from the cursor."""


class Subscriptions:
    """The followed channels of one client. `last_seq` None: a channel that was reset stays out."""

    def __init__(
        self, wire: Wire, emit: Callable[[AnyEvent], None], last_seq: LastSeq | None
    ) -> None:
        self._wire = wire
        self._emit = emit
        self._last_seq = last_seq
        self._cursors: dict[int, int] = {}
        self._resetting: dict[int, asyncio.Task[None]] = {}
        self._backoff = Backoff()  # of what was not resumed, on the link of the moment
        self.epoch: str | None = None  # of all cursors; None before the first link
        self.repeated = 0  # entries at or below their cursor, and of channels that are left
        self.gaps = 0

    def __len__(self) -> int:
        return len(self._cursors)

    def cursors(self) -> dict[int, int]:
        """Channel to the last seq that was taken in."""
        return self._cursors.copy()

    # --- what the user wants

    async def subscribe(self, wanted: Mapping[int, int | None], epoch: str | None) -> Ok:
        """Follow these, over as many links and refusals as it takes."""
        await self._wire.linked()
        return await self._subscribe(wanted, epoch or self.epoch, _nothing)

    def unsubscribe(self, channels: Iterable[int]) -> None:
        """Follow these no longer."""
        self._wire.require_open()
        gone = list(channels)
        self._leave(gone)
        for channel in gone:
            if (task := self._resetting.pop(channel, None)) is not None:
                task.cancel()
        if self._wire.link is not None:  # a next link will not know of them
            # At the answer once more: a `sub` of these may be on its way before it.
            command = {"t": "unsub", "ch": gone}
            self._wire.post(self._wire.link, command, lambda _: self._leave(gone), _nothing)

    async def close(self) -> None:
        """Give up what is on its way back."""
        tasks = list(self._resetting.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _subscribe(
        self, wanted: Mapping[int, int | None], epoch: str | None, before: Callable[[Ok], None]
    ) -> Ok:
        """Ask until there is an answer for each; `before` runs ahead of the entries that follow."""

        def begin(ok: Ok) -> None:
            if not all(standing.error in RETRIED for standing in ok.ch.values()):
                before(ok)
            for channel, standing in ok.ch.items():
                cursor = wanted.get(channel)
                if standing.head is None:
                    continue
                if cursor is None:  # from where it is, or from the head on
                    self._cursors.setdefault(channel, standing.head)
                else:
                    self._cursors[channel] = cursor

        answered: dict[int, Standing] = {}
        left, backoff = dict(wanted), Backoff()
        while left:
            link = await self._wire.linked()
            part = next(parts(left, link.hello.limits))
            try:
                ok = await self._wire.ask(_sub(part, epoch), begin)
            except LinkLostError:
                continue
            except TryAgainError as error:
                await asyncio.sleep(backoff.delay(hint_s=error.after_s))
                continue
            again = {c: part[c] for c in part if c in ok.ch and ok.ch[c].error in RETRIED}
            answered |= {c: s for c, s in ok.ch.items() if c not in again}
            left = {c: cursor for c, cursor in left.items() if c not in part} | again
            if again:
                await asyncio.sleep(backoff.delay(hint_s=AGAIN_S))
        return Ok(ch=answered)

    # --- what the server sends

    def resume(self, link: Link) -> None:
        """A new link: ask for everything from its cursor on."""
        before, self.epoch = self.epoch, link.hello.epoch
        epoch = self.epoch
        if before not in (None, epoch):  # another history: no cursor means anything there
            for channel in list(self._cursors):
                self.on_reset(Reset(ch=channel, head=0, epoch=epoch))
        self._backoff = Backoff()
        self._resume(link, self._cursors)

    def _resume(self, link: Link, channels: Iterable[int]) -> None:
        """Ask for these, unless they or the link are gone."""
        if self._wire.link is not link:
            return
        wanted = {c: self._cursors[c] for c in channels if c in self._cursors}
        for part in parts(wanted, link.hello.limits):
            self._wire.post(
                link,
                _sub(part, link.hello.epoch),
                partial(self._resumed, link),
                partial(self._not_resumed, link, part),
            )

    def _resumed(self, link: Link, ok: Ok) -> None:
        again = []
        for channel, standing in ok.ch.items():
            if standing.error in RETRIED:
                again.append(channel)
            elif standing.error is not None and channel in self._cursors:
                self.on_removed(Removed(ch=channel, reason="refused"))
        if again:
            self._resume_later(link, again, AGAIN_S)

    def _not_resumed(self, link: Link, part: Iterable[int], error: ClientError) -> None:
        """In the reader: ask again later, or not at all. A lost link's channels have the next."""
        if isinstance(error, TryAgainError):
            self._resume_later(link, part, error.after_s)
        elif isinstance(error, RefusedError):
            raise ClosedError(f"subscriptions not resumed: {error}")

    def _resume_later(self, link: Link, channels: Iterable[int], after_s: float) -> None:
        delay_s = self._backoff.delay(hint_s=after_s)
        asyncio.get_running_loop().call_later(delay_s, self._resume, link, list(channels))

    def on_entry(self, entry: AnyEntry | UnknownEntry) -> None:
        """Hand out the next entry of a channel. Raises GapError for one that comes too early."""
        cursor = self._cursors.get(entry.ch)
        if entry.seq - 1 == cursor:
            self._cursors[entry.ch] = entry.seq
            self._emit(entry)
        elif cursor is None or entry.seq <= cursor:
            self.repeated += 1
        else:
            self.gaps += 1
            raise GapError(f"channel {entry.ch}: {entry.seq} came after {cursor}")

    def on_removed(self, removed: Removed) -> None:
        """A membership has ended."""
        self._leave([removed.ch])
        self._emit(removed)

    def on_reset(self, reset: Reset) -> None:
        """A cursor is void: start over, or leave that to the user."""
        if reset.ch not in self._cursors:  # left meanwhile, or on its way back already
            return
        self._leave([reset.ch])
        if self._last_seq is None:
            self._emit(reset)
        elif reset.ch not in self._resetting:
            work = self._start_over(reset, self._last_seq)
            self._resetting[reset.ch] = asyncio.get_running_loop().create_task(work)

    def _leave(self, channels: Iterable[int]) -> None:
        for channel in channels:
            self._cursors.pop(channel, None)

    async def _start_over(self, reset: Reset, last_seq: LastSeq) -> None:
        """Follow from REST's `lastSeq` on; the event comes out ahead of the entries."""
        found = 0

        def surface(ok: Ok) -> None:
            del self._resetting[reset.ch]  # from here on it may be reset again
            standing = ok.ch.get(reset.ch)
            if standing is not None and standing.head is not None:
                reset.last_seq = found
            self._emit(reset)

        while True:
            # Before the question: an answer of a later history is reset again. The socket may be
            # of an older one still, and about to be closed for that.
            epoch = reset.epoch or self.epoch
            try:
                found = await last_seq(reset.ch)
                await self._subscribe({reset.ch: found}, epoch, surface)
                return
            except UnreachableError:
                await asyncio.sleep(AGAIN_S)
            except ClosedError:
                return
            except RefusedError as error:
                if error.retry:
                    await asyncio.sleep(max(AGAIN_S, error.retry_after_s or 0.0))
                    continue
                del self._resetting[reset.ch]
                self._emit(reset)
                return


def parts(wanted: Mapping[int, int | None], limits: Limits) -> Iterator[dict[int, int | None]]:
    """Cut a wish into what fits a frame each."""
    room = limits.frame_bytes - FRAME_BYTES
    part: dict[int, int | None] = {}
    size = 0
    for channel, cursor in wanted.items():
        more = len(f'"{channel}":{cursor},')
        if part and (len(part) >= CHANNELS_MAX or size + more > room):
            yield part
            part, size = {}, 0
        part[channel] = cursor
        size += more
    if part:
        yield part


def _sub(wanted: Mapping[int, int | None], epoch: str | None) -> dict[str, Any]:
    ch = {str(channel): cursor for channel, cursor in wanted.items()}
    return {"t": "sub", "ch": ch, "epoch": epoch}


def _nothing(_: object) -> None:
    pass
