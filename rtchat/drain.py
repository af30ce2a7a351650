"""The drain: everybody is sent away in good order, each socket in a slot of its own.

Owns: whether this pod drains, the slots, and what happens at one: no further command is taken from
the socket, its accepted writes are answered, then come `bye` and the close. Until its slot a socket
works as ever. The slots are in shuffled order at an even rate, so that the other pods get the
clients one after the other and not as a storm.

The same slots send everybody back who learned of an epoch that is no more, while the pod serves on.

Must never: wait for a client that does not read, or for a write without a bound; whoever retries
with its nonce learns what became of it. A crash here is a close without `bye`.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from rtchat import protocol
from rtchat.config import Config
from rtchat.connection import Connection
from rtchat.connections import Connections
from rtchat.errors import ChatError, Close, Code, spread_ms
from rtchat.reached import Reached
from rtchat.tasks import Tasks

log = logging.getLogger(__name__)

ANSWERS_S = 2.0  # for the accepted writes of a socket, from its slot on
POLL_S = 0.02


def window_s(sockets: int, longest_s: float, per_second: int) -> float:
    """How long so many sockets take: a pod with few of them need not use the whole window."""
    return min(longest_s, sockets / per_second)


class Drain:
    """Sends the sockets of this pod away: for good once, or back as often as the epoch changes."""

    def __init__(
        self, config: Config, connections: Connections, tasks: Tasks, reached: Reached
    ) -> None:
        self._config = config
        self._reached = reached
        self._connections = connections
        self._tasks = tasks
        self._task: asyncio.Task[None] | None = None
        self._entering: set[asyncio.Timeout] = set()
        # What the pre-stop call does; where there are several workers, it drains them all.
        self.everywhere: Callable[[], Awaitable[None]] = self.run

    @property
    def begun(self) -> bool:
        """Whether it has begun: from then on no socket comes in."""
        return self._task is not None

    @property
    def longest_s(self) -> float:
        """How long it takes at most, the loop's own delays (a second) included."""
        return self._config.drain_s + ANSWERS_S + 1.0

    async def run(self) -> None:
        """Begin, or join what has begun; return when everybody is gone."""
        if self._task is None:
            self._task = self._tasks.start(self._run())
            for entering in list(self._entering):
                if not entering.expired():
                    entering.reschedule(0)
        await asyncio.shield(self._task)

    def send_back(self) -> None:
        """Send away, each in its slot, whoever is here now; they may come back here."""
        self._tasks.start(self._slots(list(self._connections)))

    def hurry(self) -> None:
        """Send away at once whoever is still there."""
        for connection in self._connections:
            self._dismiss(connection)

    @asynccontextmanager
    async def entering(self) -> AsyncIterator[None]:
        """Sign a socket in here: the drain interrupts it. Raises ChatError(draining)."""
        if self.begun:
            raise ChatError(Code.DRAINING, after_ms=spread_ms(1000))
        scope = asyncio.timeout(None)
        try:
            async with scope:
                self._entering.add(scope)
                try:
                    yield
                finally:
                    self._entering.discard(scope)
        except TimeoutError:
            if scope.expired():
                raise ChatError(Code.DRAINING, after_ms=spread_ms(1000)) from None
            raise

    def bye(self) -> bytes:
        """The last frame of a socket, with a time of its own to come back."""
        return protocol.bye(Close.DRAINING, random.randint(0, self._config.drain_return_ms))

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        there = list(self._connections)
        began = loop.time()
        await self._slots(there)
        for _ in range(round(ANSWERS_S / POLL_S)):
            if not len(self._connections):
                break
            await asyncio.sleep(POLL_S)
        self.hurry()
        await asyncio.sleep(0)  # the last closes leave in this turn
        log.info("drained", extra={"sockets": len(there), "s": round(loop.time() - began, 2)})

    async def _slots(self, order: list[Connection]) -> None:
        loop = asyncio.get_running_loop()
        random.shuffle(order)
        window = window_s(len(order), self._config.drain_s, self._config.drain_per_second)
        if window < len(order) / self._config.drain_per_second:
            self._reached.count("drain_s")  # once: what is told all of them is no fault of theirs
        log.info("draining", extra={"sockets": len(order), "window_s": round(window, 1)})
        began = loop.time()
        for number, connection in enumerate(order):
            wait_s = began + window * number / len(order) - loop.time()
            if wait_s > 0 and not connection.closed:
                await asyncio.sleep(wait_s)
            self._slot(connection)

    def _slot(self, connection: Connection) -> None:
        connection.leaving = True
        if connection.paused or not connection.unanswered:
            self._dismiss(connection)
            return
        connection.on_answered = lambda: self._dismiss(connection)
        asyncio.get_running_loop().call_later(ANSWERS_S, self._dismiss, connection)

    def _dismiss(self, connection: Connection) -> None:
        if connection.closed:
            return
        if not connection.paused:  # where it is, the close cuts the socket
            connection.write(self.bye())
        connection.close(Close.DRAINING, "draining")
