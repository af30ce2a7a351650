"""Runs several workers on one port, and holds them together: `rtchat serve --workers N`.

Owns: the port, the workers' processes and the links to them, who is started again and when
(`restarts` decides), and how all end. Must never: have a thread or an event loop (it forks), serve
a client, or wait for anything but its workers. Lost in its crash: nothing; the workers learn of it
by their links and, on Linux, by a signal, drain and end.

Workers are pods that share a port: each has a loop, database connections and limits of its own, and
hears of the others through Redis. Forked, they serve after 0.1 s instead of a second, and what was
made up for them (a private database's URL) need not be written anywhere.
"""

import contextlib
import logging
import os
import random
import selectors
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn

from rtchat import logs
from rtchat.config import Config
from rtchat.server import worker
from rtchat.server.launch import end_with_parent
from rtchat.server.listeners import bind_for
from rtchat.server.restarts import Life, Restarts
from rtchat.server.run import App

log = logging.getLogger(__name__)

STOPS = (signal.SIGTERM, signal.SIGINT)
INTERRUPTED = [128 + number for number in STOPS]  # by us, before it could serve
# Beyond `shutdown_s`, in which a worker ends by itself or by its watchdog; then SIGKILL.
KILL_AFTER_S = 0.5


@dataclass(eq=False)
class Place:
    """Where one worker is, or will be again."""

    number: int
    listeners: list[socket.socket]
    restarts: Restarts = field(default_factory=Restarts)
    pid: int = 0  # 0: nobody is here
    link: socket.socket | None = None
    began: float = 0.0
    served: bool = False
    gone: bool = False  # its sockets are, in a drain
    due: float | None = None  # when the next one starts


def run(
    make: Callable[[], App],
    config: Config,
    count: int,
    on_serving: Callable[[int], None] = lambda port: None,
) -> int:
    """Serve with so many workers until a signal; returns the exit status.

    `on_serving`: told the port, once all of them serve. Raises StartError where a port cannot be
    had.
    """
    assert threading.active_count() == 1, "a fork takes one thread along"
    supervisor = Supervisor(make, config, count, on_serving)
    try:
        return supervisor.run()
    finally:
        supervisor.close()


class Supervisor:
    """Starts the workers, waits for what happens to them, and ends with them."""

    def __init__(
        self,
        make: Callable[[], App],
        config: Config,
        count: int,
        on_serving: Callable[[int], None],
    ) -> None:
        self._make = make
        self._config = config
        self._on_serving = on_serving
        listeners = bind_for(config, count)
        self._port: int = listeners[0][0].getsockname()[1]
        self._places = [Place(number, mine) for number, mine in enumerate(listeners, 1)]
        self._selector = selectors.DefaultSelector()
        self._told = False  # that all serve
        self._draining = False
        self._stopping = False
        self._kill_at: float | None = None  # who is still there then
        self._status = 0

    def run(self) -> int:
        """Serve until a signal, or until it is given up; returns the exit status."""
        signals, woken = socket.socketpair()
        signals.setblocking(False)
        woken.setblocking(False)
        before = {number: signal.signal(number, lambda *_: None) for number in STOPS}
        signal.set_wakeup_fd(woken.fileno())
        self._selector.register(signals, selectors.EVENT_READ, None)
        try:
            for place in self._places:
                self._start(place)
            while any(place.pid or place.due is not None for place in self._places):
                for key, _ in self._selector.select(self._wait_s()):
                    if key.data is None:
                        for number in signals.recv(64):
                            if number in STOPS:
                                self._stop()
                    else:
                        self._hear(key.data)
                self._on_time()
        finally:
            signal.set_wakeup_fd(-1)
            for number, handler in before.items():
                signal.signal(number, handler)
            signals.close()
            woken.close()
        return self._status

    def close(self) -> None:
        """Let go of the port, and of workers that an exception left behind."""
        for place in self._places:
            if place.pid:
                os.kill(place.pid, signal.SIGKILL)
                os.waitpid(place.pid, 0)
        self._let_go()
        self._selector.close()

    # --- what happens

    def _wait_s(self) -> float | None:
        times = [place.due for place in self._places if place.due is not None]
        if self._kill_at is not None:
            times.append(self._kill_at)
        return max(0.0, min(times) - time.monotonic()) if times else None

    def _on_time(self) -> None:
        now = time.monotonic()
        for place in self._places:
            if place.due is not None and place.due <= now:
                self._start(place)
        if self._kill_at is not None and self._kill_at <= now:
            self._kill_at = None
            for place in self._places:
                if place.pid:
                    log.error("worker does not end", extra={"worker": place.number})
                    os.kill(place.pid, signal.SIGKILL)

    def _hear(self, place: Place) -> None:
        assert place.link is not None
        try:
            words = place.link.recv(64)
        except ConnectionError:
            words = b""
        if not words:
            self._ended(place)
        if worker.SERVES in words:
            place.served = True
            if not self._told and all(place.served for place in self._places):
                self._told = True
                self._on_serving(self._port)
        if worker.DRAIN in words and not self._draining:
            self._draining = True
            self._let_go()
            self._say_all(worker.DRAIN)
        if worker.GONE in words:
            place.gone = True
        if self._draining and all(place.gone for place in self._places if place.pid):
            self._say_all(worker.GONE)

    def _ended(self, place: Place) -> None:
        """A worker has ended: learn how, and let go of it."""
        status = os.waitstatus_to_exitcode(os.waitpid(place.pid, 0)[1])
        assert place.link is not None
        self._selector.unregister(place.link)
        place.link.close()
        place.pid, place.link = 0, None
        self._over(place, 128 - status if status < 0 else status)

    def _over(self, place: Place, status: int) -> None:
        """Nobody is in this place: start another, now or later, or give up, or go on stopping."""
        life = Life(status, place.served, time.monotonic() - place.began)
        place.served = place.gone = False
        about = {"worker": place.number, "status": status, "after_s": round(life.lasted_s, 1)}
        if self._stopping or self._draining:  # nobody new is taken, so nobody new is needed
            log.info("worker ended", extra=about)
            self._status = self._status or (0 if status in INTERRUPTED else status)
        elif (delay_s := place.restarts.ended(life, random.random())) is None:
            log.error("worker ended, and is given up", extra=about)
            self._status = status or 1
            self._stop()
        else:
            log.error("worker ended", extra={**about, "again_in_s": round(delay_s, 1)})
            place.due = time.monotonic() + delay_s

    def _stop(self) -> None:
        """Let all drain and end; the second time: at once."""
        # Two signals of one kind may become one on their way.
        number = signal.SIGINT if self._stopping else signal.SIGTERM
        if not self._stopping:
            self._stopping = True
            self._kill_at = time.monotonic() + self._config.shutdown_s + KILL_AFTER_S
            self._let_go()
        for place in self._places:
            if place.pid:
                os.kill(place.pid, number)

    def _let_go(self) -> None:
        """Leave the port to the workers that are there: where they stop listening, it is over."""
        for place in self._places:
            place.due = None
            for listener in place.listeners:
                listener.close()

    def _say_all(self, word: bytes) -> None:
        for place in self._places:
            if place.link is not None:
                with contextlib.suppress(ConnectionError):  # it has just ended
                    place.link.send(word)

    # --- a worker's start

    def _start(self, place: Place) -> None:
        place.began, place.due = time.monotonic(), None
        try:
            place.link = self._fork(place)
        except OSError as error:  # no process or descriptor is left now; the others serve on
            log.error("worker not started", extra={"worker": place.number, "reason": str(error)})
            self._over(place, 1)
            return
        self._selector.register(place.link, selectors.EVENT_READ, place)
        log.info("worker started", extra={"worker": place.number, "pid": place.pid})

    def _fork(self, place: Place) -> socket.socket:
        """Make the worker's process; returns our end of the link. Raises OSError."""
        ours, theirs = socket.socketpair()
        end_with_us = end_with_parent(worker.ORPHANED)
        sys.stdout.flush()  # or what waits there would be written twice
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        try:
            place.pid = os.fork()
            if not place.pid:
                ours.close()
                self._be_worker(place, theirs, end_with_us, blocked)
        except OSError:
            ours.close()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            theirs.close()
        ours.setblocking(False)
        return ours

    def _be_worker(
        self,
        place: Place,
        end: socket.socket,
        end_with_us: Callable[[], None] | None,
        blocked: set[int | signal.Signals],
    ) -> NoReturn:
        """Behind the fork: shed what is the supervisor's, serve, and end without going back."""
        status = 1
        try:
            if end_with_us is not None:
                end_with_us()
            os.setsid()  # a terminal's Ctrl+C is for the supervisor, who tells us
            signal.set_wakeup_fd(-1)
            for number in STOPS:
                signal.signal(number, signal.SIG_DFL)
            signal.signal(worker.ORPHANED, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            for other in self._places:
                if other.link is not None:
                    other.link.close()  # held here, it would hide the supervisor's end from others
                for listener in other.listeners:
                    if listener not in place.listeners:
                        listener.close()  # held here, it would take connects that nobody answers
            logs.configure(self._config.log_level, self._config.log_format, place.number)
            worker.serve(self._make(), self._config, place.number, place.listeners, end)
            status = 0
        except SystemExit as over:
            status = over.code if isinstance(over.code, int) else 1
        except BaseException:
            log.exception("worker failed")
        finally:
            os._exit(status)
