"""Log lines for what may happen a hundred thousand times a second.

Owns: when each message was logged last, and how often it was held back since. Lost in a crash: a
count.
Must never: hold back a first occurrence.
"""

import logging
import time
from collections.abc import Callable


class Seldom:
    """Logs each message at most once every `every_s` seconds, with the number of those left out.

    Messages are constants; what varies goes into `extra`, so what is kept here stays small.
    """

    def __init__(
        self,
        log: logging.Logger,
        every_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._every_s = every_s
        self._clock = clock
        self._due: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def warning(self, message: str, *, error: BaseException | None = None, **extra: object) -> None:
        """Log a warning, with the traceback of `error`, unless its like was logged just now."""
        now = self._clock()
        if now < self._due.get(message, now):
            self._left_out[message] = self._left_out.get(message, 0) + 1
            return
        self._due[message] = now + self._every_s
        extra["left_out"] = self._left_out.pop(message, 0)
        self._log.warning(message, exc_info=error, extra=extra)
