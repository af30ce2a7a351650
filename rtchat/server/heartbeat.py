"""Pings, and what becomes of sockets that do not answer them.

Owns: when a socket is pinged, whether its pong has come, and who is gone. Must never: keep a socket
that has ended, or take one for gone while it is we who do not read.

uvicorn has a timer of the loop for each ping and each pong. 10,000 idle sockets then wake the loop
for one of them at a time, at 4.4 % of a core. Here one timer serves those of a tenth of a second
together, and their pongs come together too: 1.8 %.
"""

import asyncio
import logging
import random
from typing import Any, Protocol

from websockets.frames import Frame
from websockets.protocol import State

from rtchat.reached import Reached
from rtchat.server import tcp
from rtchat.server.upgrade import UpgradedProtocol

log = logging.getLogger(__name__)

TICKS_PER_SECOND = 10
PING_HEAD = b"\x89\x04"  # a whole frame, four bytes of payload
FIRST_LOOK_S = 1.0  # after a ping: where the pong is there by then, the kernel need not be asked
LATE_PONGS_MAX = 3


class Watched(Protocol):
    """What a wheel holds."""

    def look(self) -> None:
        """The time has come that was asked for."""


class Wheel:
    """Looks at many things at times of their own with one timer, up to a tick late."""

    def __init__(self) -> None:
        self._slots: dict[int, set[Watched]] = {}  # by tick of the loop's clock
        self._turned = 0  # the last tick whose slot was emptied
        self._timer: asyncio.TimerHandle | None = None  # there while there are slots

    def add(self, it: Watched, after_s: float) -> set[Watched]:
        """Look at it in so many seconds. It is not, once it is discarded from the set returned."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._timer is None:
            self._turned = int(now * TICKS_PER_SECOND)
            self._timer = loop.call_later(1 / TICKS_PER_SECOND, self._turn, loop)
        tick = max(int((now + after_s) * TICKS_PER_SECOND), self._turned) + 1
        slot = self._slots.get(tick)
        if slot is None:
            slot = self._slots[tick] = set()
        slot.add(it)
        return slot

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        until = int(loop.time() * TICKS_PER_SECOND)
        while self._turned < until:
            self._turned += 1
            slot = self._slots.pop(self._turned, None)
            while slot:
                try:
                    slot.pop().look()
                except Exception:  # one's trouble must not cost the others their look
                    log.exception("looking at a socket failed")
        again = bool(self._slots)
        self._timer = loop.call_later(1 / TICKS_PER_SECOND, self._turn, loop) if again else None


class HeartbeatProtocol(UpgradedProtocol):
    """A WebSocket that is pinged, in place of uvicorn's keepalive."""

    reached: Reached  # of the class that is made
    wheel = Wheel()

    ping_every_s = 25.0
    pong_within_s = 20.0

    __slots__ = ("_awaited", "_late_pongs", "_pinged_at", "_slot", "_taken")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._slot: set[Watched] | None = None  # where the wheel has it
        self._pinged_at = 0.0
        self._awaited: bytes | None = None  # what the pong has to say; None: it has come
        self._late_pongs = 0
        # What the client's kernel had taken when it was last asked; None: not since the last ping.
        self._taken: int | None = None

    def start_keepalive(self) -> None:
        self._pinged_at = self.loop.time()
        self._look_in(self.ping_every_s)

    def stop_keepalive(self) -> None:
        if self._slot is not None:
            self._slot.discard(self)
            self._slot = None

    def _look_in(self, seconds: float) -> None:
        self._slot = self.wheel.add(self, seconds)

    def look(self) -> None:
        """Ping, or see whether the pong has come."""
        if self.close_sent or self.transport.is_closing() or self.conn.state is not State.OPEN:
            return
        silent_s = self.loop.time() - self._pinged_at
        if self._awaited is None:
            if silent_s < self.ping_every_s:
                self._look_in(self.ping_every_s - silent_s)
            else:
                self.send_keepalive_ping()
        elif self._taken is None:  # also where we were late ourselves: its pong may lie unread
            told = tcp.told(self.transport)
            self._taken = 0 if told is None else told.taken
            self._look_in(max(0.0, min(self.ping_every_s, self.pong_within_s - silent_s)))
        elif silent_s < self.pong_within_s:
            self._look_in(min(self.ping_every_s, self.pong_within_s - silent_s))
        else:
            self.keepalive_timeout()

    def send_keepalive_ping(self) -> None:
        self._awaited = payload = random.getrandbits(32).to_bytes(4)
        self._pinged_at = self.loop.time()
        self._taken = None
        self._look_in(min(FIRST_LOOK_S, self.pong_within_s / 2))
        self.transport.write(PING_HEAD + payload)

    def take_pong(self, payload: bytes) -> None:
        """Only the one that answers the last ping says that the client hears us."""
        self._late_pongs = 0
        if payload == self._awaited:
            self._awaited = None

    def handle_pong(self, event: Frame) -> None:
        self.take_pong(bytes(event.data))

    def keepalive_timeout(self) -> None:
        """No pong in time. Where bytes wait for the client, the ping may wait behind them.

        Whether a paused client takes enough is for the sweep to judge (`connections`); one below
        the mark is given a little longer, as long as its kernel takes bytes or says that it has no
        room. Then it is dropped, not closed and waited for. While it is we who do not read, its
        pong cannot be seen; what holds us back has a time of its own.
        """
        told = tcp.told(self.transport)
        assert self._taken is not None
        there = told is None or told.shut or told.taken > self._taken
        waiting = self.transport.get_write_buffer_size() > 0 or (told is not None and told.shut)
        forgiven = self.read_paused or (there and not self.writable.is_set())
        late = there and waiting and self._late_pongs < LATE_PONGS_MAX
        if forgiven or late:
            self._taken = 0 if told is None else told.taken
            self._late_pongs += not forgiven
            self._look_in(self.pong_within_s)
            return
        self.reached.count("heartbeat_timeout_s")
        super().keepalive_timeout()
        if self.transport.get_write_buffer_size():
            self.drop()
