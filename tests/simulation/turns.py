"""Time that a test moves by hand: an event loop without a selector, and questions without a server.

Asynchronous code runs here unchanged, and between any two of its steps the test decides what comes
next: a turn of the loop, the passing of time, the reading of what somebody asked for, or, later and
perhaps stale by then, its answer. The same decisions give the same run.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from rtchat.errors import ChatError, Code

T = TypeVar("T")
TURNS_MAX = 3000  # of which code that has come to rest needs a few dozen


class PromiseError(AssertionError):
    """A promise was broken."""


class _Nothing:
    """A selector of no sockets."""

    @staticmethod
    def select(_: float | None) -> list[Any]:
        return []


class TurnLoop(asyncio.BaseEventLoop):
    """A loop whose clock stands still; whatever goes wrong in it is raised where it is driven."""

    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]

    def __init__(self) -> None:
        super().__init__()
        self._selector = _Nothing()
        self._now = 0.0
        self._errors: list[BaseException] = []
        self._over = False
        self.set_exception_handler(self._note)

    def time(self) -> float:
        """The model's clock."""
        return self._now

    def _process_events(self, events: list[Any]) -> None:
        assert not events

    def _note(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.broken(context.get("exception") or PromiseError(context["message"]))

    def broken(self, error: BaseException) -> None:
        """Keep what went wrong for whoever drives the loop."""
        if not self._over:
            self._errors.append(error)

    def finish(self, last: Iterable[Callable[[], object]]) -> None:
        """Do the last things and close; of what goes wrong now nobody wants to know."""
        self._over = True
        self._errors.clear()
        for what in last:
            self.call_soon(what)
        for _ in range(TURNS_MAX):
            if not self.resting:
                self.turn()
        self.close()

    @property
    def resting(self) -> bool:
        """Whether nothing happens before time passes or something is answered."""
        return not self._ready

    def turn(self) -> None:
        """Run what is ready, and nothing of what it makes ready."""
        self.call_soon(self.stop)
        self.run_forever()
        if self._errors:
            raise self._errors[0]

    def settle(self) -> None:
        """Turn until nothing is ready."""
        for _ in range(TURNS_MAX):
            if self.resting:
                return
            self.turn()
        raise PromiseError("it does not come to rest")

    def act(self, what: Callable[..., T], *args: Any) -> T:
        """Let something happen in the loop, in one turn."""
        done: asyncio.Future[T] = self.create_future()

        def do() -> None:
            try:
                done.set_result(what(*args))
            except Exception as error:  # noqa: BLE001  raised below
                done.set_exception(error)

        self.call_soon(do)
        self.turn()
        return done.result()

    def wait(self, seconds: float) -> None:
        """Let time pass, and everything happen that is due meanwhile."""
        end = self._now + seconds
        self.settle()
        while self._scheduled and self._scheduled[0].when() <= end:
            self._now = max(self._now, self._scheduled[0].when())
            self.turn()
            self.settle()
        self._now = end


class ErrorLog(logging.Handler):
    """Makes whatever the package logs as an error break the run."""

    def __init__(self, loop: TurnLoop, ignored: tuple[str, ...] = ()) -> None:
        super().__init__(logging.ERROR)
        self._loop = loop
        self._ignored = ignored
        self._logger = logging.getLogger("rtchat")
        self._logger.addHandler(self)
        self._level = self._logger.level
        self._logger.setLevel(logging.ERROR)  # warnings are what a run is made of

    def emit(self, record: logging.LogRecord) -> None:
        """Raise what was logged in the turn's end."""
        if record.getMessage() in self._ignored:
            return
        error = record.exc_info[1] if record.exc_info else None
        self._loop.broken(error or PromiseError(record.getMessage()))

    def detach(self) -> None:
        """Listen no longer."""
        self._logger.removeHandler(self)
        self._logger.setLevel(self._level)


class Question:
    """Something that somebody waits for. What the answer says is read at a moment of its own."""

    def __init__(self, key: tuple[Any, ...], look: Callable[[], Any]) -> None:
        self.key = key  # says who asks what; orders the questions that are open
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.seen = False
        self._look = look
        self._found: Any = None

    def read(self) -> None:
        """Look, now; not when it has failed already."""
        if not self.future.done():
            self._found, self.seen = self._look(), True

    def answer(self) -> None:
        """Tell what was found, now or when it was read."""
        if self.future.done():
            return
        if not self.seen:
            self.read()
        self.future.set_result(self._found)

    def refuse(self) -> None:
        """Nothing is found out: the database is away."""
        self.fail(ChatError(Code.UNAVAILABLE))

    def fail(self, error: Exception) -> None:
        """Whoever asked gets this instead of an answer."""
        if not self.future.done():
            self.future.set_exception(error)


class Questions:
    """All questions that are open."""

    def __init__(self) -> None:
        self._open: list[Question] = []
        self.asked = 0
        self.at_once = False  # answer without being told to

    def __iter__(self):
        return iter(sorted(self._open, key=lambda q: q.key))

    def __len__(self) -> int:
        return len(self._open)

    async def ask(self, key: tuple[Any, ...], look: Callable[[], T]) -> T:
        """Wait for the answer."""
        self.asked += 1
        question = Question(key, look)
        self._open.append(question)
        if self.at_once:
            asyncio.get_running_loop().call_soon(question.answer)
        try:
            found: T = await question.future
        finally:
            self._open.remove(question)
        return found
