"""Token buckets: how often something may happen. Pure; the clock is passed in."""


class Bucket:
    """Lets through `per_second` on average, `burst` at once. 0 per second: everything."""

    __slots__ = ("_burst", "_level", "_rate", "_then")

    def __init__(self, per_second: float, burst: float, now: float) -> None:
        self._rate = per_second
        self._burst = max(burst, 1.0)
        self._level = self._burst
        self._then = now

    def take(self, now: float) -> float:
        """Take one. Returns 0.0, or for how many seconds to wait, and then nothing was taken."""
        if not self._rate:
            return 0.0
        self._level = min(self._burst, self._level + (now - self._then) * self._rate)
        self._then = now
        if self._level >= 1.0:
            self._level -= 1.0
            return 0.0
        return (1.0 - self._level) / self._rate
