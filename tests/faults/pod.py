"""A pod that can be made to die, stop or stall at a chosen point of a batch, or to be wrong.

`python -m tests.faults.pod serve` is `rtchat serve` with hooks around its own functions, so that
what ships has none. A point is armed by a signal (`signal_of`); the next batch that comes by it
strikes. `RTCHAT_TEST_MUTANT` names a change that breaks a promise (`mutants`).
"""

import asyncio
import logging
import os
import signal
import time
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any

from rtchat.bus.redis import RedisBus
from rtchat.store.log import LogWriter
from rtchat.writer import Writer

log = logging.getLogger(__name__)

STALL_S = 3.0


class Point(Enum):
    """Where a batch is: before or behind each step that matters."""

    AFTER_LOCK = "after_lock"
    AFTER_COPY = "after_copy"
    BEFORE_COMMIT = "before_commit"
    AFTER_COMMIT = "after_commit"
    BEFORE_PUBLISH = "before_publish"
    AFTER_PUBLISH = "after_publish"


class Act(Enum):
    """What happens there."""

    DIE = "die"
    STOP = "stop"
    STALL = "stall"


_COMBINED = [(point, act) for act in Act for point in Point]


def signal_of(point: Point, act: Act) -> int:
    """The signal that arms it."""
    return signal.SIGRTMIN + 1 + _COMBINED.index((point, act))


class Hooks:
    """What is armed in this process."""

    def __init__(self) -> None:
        self._armed: dict[Point, Act] = {}

    def install(self) -> None:
        """Take the signals, and stand at the points."""
        for point, act in _COMBINED:
            signal.signal(signal_of(point, act), lambda *_, p=point, a=act: self._arm(p, a))
        _behind(LogWriter, "_lock", lambda: self.reached(Point.AFTER_LOCK))
        _behind(LogWriter, "_copy", lambda: self.reached(Point.AFTER_COPY))
        _before(LogWriter, "_commit", lambda: self.reached(Point.BEFORE_COMMIT))
        _behind(LogWriter, "_commit", lambda: self.reached(Point.AFTER_COMMIT))
        deliver, publish = Writer._deliver, RedisBus.publish

        def delivering(writer: Writer, decision: Any) -> None:
            if decision.entries:
                self.reached(Point.BEFORE_PUBLISH)  # the acks are written, nothing is published
            deliver(writer, decision)

        def publishing(bus: RedisBus, channel: int, envelope: bytes) -> None:
            publish(bus, channel, envelope)
            # Two turns on: the envelope has left with the end of this one.
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, self.reached, Point.AFTER_PUBLISH)

        setattr(Writer, "_deliver", delivering)  # noqa: B010 mypy refuses to see a method replaced
        setattr(RedisBus, "publish", publishing)  # noqa: B010

    def _arm(self, point: Point, act: Act) -> None:
        self._armed[point] = act

    def reached(self, point: Point) -> None:
        """Strike, if armed."""
        act = self._armed.pop(point, None)
        if act is Act.DIE:
            os.kill(os.getpid(), signal.SIGKILL)
        elif act is Act.STOP:
            os.kill(os.getpid(), signal.SIGSTOP)
        elif act is Act.STALL:
            time.sleep(STALL_S)
            log.info("stalled")  # for whoever waits for it


def _behind(owner: type, name: str, reached: Callable[[], None]) -> None:
    step: Callable[..., Awaitable[Any]] = getattr(owner, name)

    async def hooked(*args: Any, **kwargs: Any) -> Any:
        result = await step(*args, **kwargs)
        reached()
        return result

    setattr(owner, name, hooked)


def _before(owner: type, name: str, reached: Callable[[], None]) -> None:
    step: Callable[..., Awaitable[Any]] = getattr(owner, name)

    async def hooked(*args: Any, **kwargs: Any) -> Any:
        reached()
        return await step(*args, **kwargs)

    setattr(owner, name, hooked)


def main() -> None:
    """Serve, hooked."""
    from rtchat import cli

    Hooks().install()
    if name := os.environ.get("RTCHAT_TEST_MUTANT"):
        from tests.faults.mutants import MUTANTS

        MUTANTS[name].apply()
    cli.main()


if __name__ == "__main__":
    main()
