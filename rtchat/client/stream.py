"""The queue between the socket's reader and whoever iterates over the events.

Owns: at most `limit` events that were not taken yet. At the limit the reader waits, so the socket
is read no further and the server notices (a reader that stays away for longer than the server's
deadline is closed with 4102, and resumes by cursor). Hints and ephemeral events are dropped, and
counted, from half of the limit on: they alone can never stop a client that reads no events. Must
never: drop or reorder anything else. Its content is lost with the process; cursors that are to
outlive it come from `first_waiting`.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Self

from rtchat.client.errors import ClosedError
from rtchat.client.events import ENTRIES, KEPT, AnyEvent


class Events:
    """An asynchronous iterator over events, for one consumer at a time.

    With `direct` each event goes to that function instead, in the reader. The iteration ends when
    the client is closed by its user, and raises ClosedError when the server does not want it back;
    what was received before comes first.
    """

    def __init__(self, limit: int, direct: Callable[[AnyEvent], None] | None = None) -> None:
        assert limit > 1, "a queue without room"
        self.direct = direct is not None
        # Where events go: into the queue, or straight to a function; then nothing ever waits here.
        self.put: Callable[[AnyEvent], None] = direct or self._put
        self._limit = limit
        self._queue: deque[AnyEvent] = deque()
        self._taker: asyncio.Future[None] | None = None
        self._putter: asyncio.Future[None] | None = None
        self._ended = False
        self._error: ClosedError | None = None
        self.dropped = 0  # hints and ephemeral events, for want of room

    def __repr__(self) -> str:
        return f"<Events {len(self._queue)}/{self._limit}, {self.dropped} dropped>"

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def full(self) -> bool:
        """Whether the reader should wait in `room`."""
        return len(self._queue) >= self._limit

    def _put(self, event: AnyEvent) -> None:
        """Add an event, over the limit too: it is the reader's part to look at `full`."""
        if len(self._queue) >= self._limit // 2 and type(event) not in KEPT:
            self.dropped += 1
            return
        self._queue.append(event)
        if self._taker is not None and not self._taker.done():
            self._taker.set_result(None)

    async def room(self) -> None:
        """Wait until half of the queue is taken, so that reader and consumer work in runs."""
        while len(self._queue) > self._limit // 2:
            self._putter = asyncio.get_running_loop().create_future()
            try:
                await self._putter
            finally:
                self._putter = None

    def end(self, error: ClosedError | None = None) -> None:
        """Nothing follows what is there."""
        self._ended, self._error = True, error
        if self._taker is not None and not self._taker.done():
            self._taker.set_result(None)

    def first_waiting(self) -> dict[int, int]:
        """The lowest seq that was not taken yet, for each channel that has one."""
        first: dict[int, int] = {}
        for event in self._queue:
            if isinstance(event, ENTRIES):
                first.setdefault(event.ch, event.seq)
        return first

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AnyEvent:
        while not self._queue:
            if self._ended:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            assert self._taker is None, "events are taken by one consumer at a time"
            self._taker = asyncio.get_running_loop().create_future()
            try:
                await self._taker
            finally:
                self._taker = None
        event = self._queue.popleft()
        if self._putter is not None and not self._putter.done() and len(self) <= self._limit // 2:
            self._putter.set_result(None)
        return event
