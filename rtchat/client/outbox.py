"""Writes on their way: from the caller to the ack, over as many tries and sockets as it takes.

Owns: the order of a channel's writes, how many are unanswered, and when a refused one goes again.
Decides synchronously and writes at once; no task, one timer at most. Must never: let a channel's
later write overtake an earlier one, resolve a write twice, or come back faster than the server
asks. Lost with the process; a caller that keeps its nonces can ask again.

Order. A channel is a lane, worked off from its front with at most `window` unanswered. With a
window of 1 order holds whatever happens. With more it holds over lost sockets (all unanswered go
again, in order, before newer ones), but a write that is refused for the time being may be overtaken
by those already on their way.

Pace. After a refusal that allows a retry nothing is sent for as long as the server says, then one
write; each ack allows one more in flight, up to 64. After `rate_limited` the known rate is kept as
well, 5 % below it. So refusals stay well below the rate of errors that would close the socket.
"""

import asyncio
import itertools
import random
import time
from collections import deque
from collections.abc import Callable

from rtchat.client.errors import ClosedError, OutcomeUnknownError, RefusedError
from rtchat.client.events import Ack, Error

IN_FLIGHT_MAX = 64  # of one socket; the server's burst of errors before a close (4008) is 100
RETRY_S, RETRY_CAP_S = 0.5, 10.0  # full jitter, where an error names no time
PACE_MARGIN = 1.05
PACE_MEMORY_S = 2.0  # unused for so long, the rate has recovered


class Write:
    """One write, from `add` until `answer` is done."""

    __slots__ = (
        "answer", "channel", "frame", "in_flight", "last", "nonce", "ref", "sent_at", "tries",
    )  # fmt: skip

    def __init__(
        self, channel: int, nonce: str, ref: int, frame: bytes, answer: "asyncio.Future[Ack]"
    ) -> None:
        self.channel = channel
        self.nonce = nonce
        self.ref = ref
        self.frame = frame
        self.answer = answer
        self.tries = 0
        self.sent_at = 0.0
        self.in_flight = False
        self.last = ""  # code of the last answer that allowed a retry

    def unknown(self) -> OutcomeUnknownError:
        """The error for one that is given up."""
        return OutcomeUnknownError(self.channel, self.nonce, written=self.tries > 0, last=self.last)


class _Lane:
    __slots__ = ("held_until", "queue")

    def __init__(self) -> None:
        self.queue: deque[Write] = deque()
        self.held_until = 0.0


class Outbox:
    """The unanswered writes of one client."""

    def __init__(self, window: int = 1) -> None:
        assert window > 0, "nothing could ever be sent"
        self._window = window
        self._loop = asyncio.get_running_loop()
        self._put: Callable[[bytes], None] | None = None  # None: no socket
        self._lanes: dict[int, _Lane] = {}  # of channels with unanswered writes
        self._in_flight: dict[int, Write] = {}  # by ref
        self._allowed = IN_FLIGHT_MAX
        self._starved = False  # some lane waits for a place in flight
        self._resume_at = 0.0
        self._interval = 0.0  # seconds between writes while paced
        self._paced = False
        self._timer: asyncio.Handle | None = None
        self._timer_at = 0.0  # kept here: what uvloop gives for a moment that is now has no `when`
        self.retried: dict[str, int] = {}  # how often each code asked for a retry

    def __len__(self) -> int:
        return sum(len(lane.queue) for lane in self._lanes.values())

    def __repr__(self) -> str:
        return f"<Outbox {len(self)} unanswered, {len(self._in_flight)} in flight>"

    # --- the socket comes and goes

    def opened(self, put: Callable[[bytes], None], sends_per_second: float) -> None:
        """Send everything unanswered again, in order, over a new socket."""
        self.lost()
        self._put = put
        self._interval = PACE_MARGIN / sends_per_second if sends_per_second else 0.0
        self._allowed, self._paced, self._resume_at = IN_FLIGHT_MAX, False, 0.0
        self._pump_all()

    def lost(self) -> None:
        """The socket is gone; what was in flight may be stored or not."""
        self._put = None
        for write in self._in_flight.values():
            write.in_flight = False
        self._in_flight.clear()

    def close(self, error: ClosedError) -> None:
        """Fail everything that is unanswered."""
        self.lost()
        if self._timer is not None:
            self._timer.cancel()
        for lane in self._lanes.values():
            for write in lane.queue:
                if not write.answer.done():
                    failure = write.unknown() if write.tries else _copy(error)
                    write.answer.set_exception(failure)
        self._lanes.clear()

    # --- writes

    def add(self, write: Write) -> None:
        """Take a write, and send it now if it is its turn."""
        lane = self._lanes.get(write.channel)
        if lane is None:
            lane = self._lanes[write.channel] = _Lane()
        lane.queue.append(write)
        self._pump(lane)

    def give_up(self, write: Write) -> None:
        """Forget a write whose caller does not wait any more."""
        self._remove(write)

    def acked(self, ack: Ack) -> bool:
        """Resolve a write. Tells whether the ack was for one of ours."""
        write = self._in_flight.get(ack.ref) if type(ack.ref) is int else None
        if write is None:
            return False
        ack.tries, ack.sent_at = write.tries, write.sent_at
        self._allowed = min(IN_FLIGHT_MAX, self._allowed + 1)
        if not write.answer.done():
            write.answer.set_result(ack)
        self._remove(write)
        return True

    def refused(self, error: Error) -> bool:
        """Fail a write, or send it again later. Tells whether the error was for one of ours."""
        write = self._in_flight.get(error.ref) if type(error.ref) is int else None
        if write is None:
            return False
        if error.retry:
            self._retry_later(write, error)
            return True
        if not write.answer.done():
            refusal = RefusedError(error.code, error.message, field=error.field)
            write.answer.set_exception(refusal)
        self._remove(write)
        return True

    def _remove(self, write: Write) -> None:
        self._in_flight.pop(write.ref, None)
        lane = self._lanes.get(write.channel)
        if lane is None:
            return
        if lane.queue and lane.queue[0] is write:
            lane.queue.popleft()
        elif write in lane.queue:
            lane.queue.remove(write)
        if not lane.queue:
            del self._lanes[write.channel]
        elif not self._starved:
            self._pump(lane)
        else:  # others have waited for longer
            self._lanes[write.channel] = self._lanes.pop(write.channel)
        if self._starved:
            self._pump_all()

    # --- when to send

    def _pump(self, lane: _Lane) -> None:
        """Send what of this lane may be sent now."""
        if self._put is None:
            return
        for write in itertools.islice(lane.queue, self._window):
            if write.in_flight:
                continue
            if not self._may_send(lane):
                return
            write.in_flight = True
            write.tries += 1
            write.sent_at = time.perf_counter()
            self._in_flight[write.ref] = write
            self._put(write.frame)

    def _may_send(self, lane: _Lane) -> bool:
        if len(self._in_flight) >= self._allowed:
            self._starved = True
            return False
        wait_until = max(self._resume_at, lane.held_until)
        if not wait_until:  # nothing was refused lately: no look at the clock
            return True
        now = self._loop.time()
        if now < wait_until:
            self._wake_at(wait_until)
            return False
        lane.held_until = 0.0
        if self._paced:
            self._resume_at += self._interval
        if not self._paced or self._resume_at < now - PACE_MEMORY_S:
            self._resume_at, self._paced = 0.0, False
        return True

    def _retry_later(self, write: Write, error: Error) -> None:
        write.in_flight = False
        write.last = error.code
        del self._in_flight[write.ref]
        self.retried[error.code] = self.retried.get(error.code, 0) + 1
        again_at = self._loop.time() + _delay(error, write.tries)
        if error.code == "internal":  # one write's or one channel's trouble
            self._lanes[write.channel].held_until = again_at
        else:
            self._resume_at = max(self._resume_at, again_at)
            self._allowed, self._starved = 1, True
            self._paced = error.code == "rate_limited" and self._interval > 0
        self._wake_at(again_at)

    def _wake_at(self, when: float) -> None:
        if self._timer is not None:
            if self._timer_at <= when:
                return
            self._timer.cancel()
        self._timer, self._timer_at = self._loop.call_at(when, self._wake), when

    def _wake(self) -> None:
        self._timer = None
        self._pump_all()

    def _pump_all(self) -> None:
        """Give every lane a turn; those that could send go to the end of the round."""
        self._starved = False
        if self._resume_at > self._loop.time():  # asked here once: the first lane goes first
            self._wake_at(self._resume_at)
            return
        for channel, lane in list(self._lanes.items()):
            before = len(self._in_flight)
            self._pump(lane)
            if len(self._in_flight) > before:
                self._lanes[channel] = self._lanes.pop(channel)
            if self._starved:
                return


def _delay(error: Error, tries: int) -> float:
    if error.after is not None:
        return error.after / 1000
    return random.uniform(0, min(RETRY_CAP_S, RETRY_S * 2 ** min(tries, 8)))


def _copy(error: ClosedError) -> ClosedError:
    """An exception of its own for each waiter: raising one adds to its traceback."""
    return ClosedError(error.reason, error.code)
