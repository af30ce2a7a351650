"""The cache of a process that is alone: in memory, gone with it.

Owns: the values and the buckets, within `entries_max` and `bytes_max`. Beyond them the oldest go
first, expired or not. Must never: give out a value after its life.
"""

import time
from collections.abc import Callable

from rtchat.cache import check
from rtchat.limits import Buckets, Limit

ENTRY_BYTES = 300  # what Python takes for an entry besides its value


class MemoryCache:
    """A `Cache` without Redis."""

    def __init__(
        self, entries_max: int, bytes_max: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`clock`: seconds that never go back."""
        self._entries_max = entries_max
        self._bytes_max = bytes_max
        self._clock = clock
        self._values: dict[str, tuple[bytes, float]] = {}  # with the end of its life
        self._bytes = 0
        self._buckets = Buckets(entries_max)

    def __len__(self) -> int:
        return len(self._values)

    async def put(self, key: str, value: bytes, life_s: float) -> None:
        """Keep a value; it never fails."""
        check(key, value)
        now = self._clock()
        self._drop(key)
        self._values[key] = value, now + life_s
        self._bytes += ENTRY_BYTES + len(value)
        while self._values:
            oldest = next(iter(self._values))
            over = len(self._values) > self._entries_max or self._bytes > self._bytes_max
            if not over and self._values[oldest][1] > now:
                return
            self._drop(oldest)

    async def take(self, key: str) -> bytes | None:
        """Get a value and delete it."""
        found = self._drop(key)
        return found[0] if found is not None and found[1] > self._clock() else None

    async def spend(self, key: str, limit: Limit, cost: float = 1.0) -> float:
        """Take from a bucket of this process."""
        check(key)
        return self._buckets.spend(key, limit, self._clock(), cost)

    @property
    def answers(self) -> bool:
        """Always."""
        return True

    async def close(self) -> None:
        """There is nothing to let go of."""

    def _drop(self, key: str) -> tuple[bytes, float] | None:
        found = self._values.pop(key, None)
        if found is not None:
            self._bytes -= ENTRY_BYTES + len(found[0])
        return found
