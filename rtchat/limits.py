"""Token buckets: how often something may happen. Pure; the clock is passed in."""

from collections.abc import Hashable
from typing import NamedTuple
from weakref import WeakValueDictionary


class Bucket:
    """Lets through `per_second` on average, `burst` at once. 0 per second: everything."""

    __slots__ = ("__weakref__", "_burst", "_level", "_rate", "_then")

    def __init__(self, per_second: float, burst: float, now: float) -> None:
        self._rate = per_second
        self._burst = max(burst, 1.0)
        self._level = self._burst
        self._then = now

    def take(self, now: float, cost: float = 1.0) -> float:
        """Take one, or `cost` (of more than the burst: the burst).

        Returns 0.0, or for how many seconds to wait, and then nothing was taken.
        """
        if not self._rate:
            return 0.0
        self._level = min(self._burst, self._level + (now - self._then) * self._rate)
        self._then = now
        if self._level >= cost or self._level >= self._burst:
            self._level = max(0.0, self._level - cost)
            return 0.0
        return (min(cost, self._burst) - self._level) / self._rate

    def full(self, now: float) -> bool:
        """Whether it is as if nothing had ever been taken."""
        return self._level + (now - self._then) * self._rate >= self._burst


class Rate(NamedTuple):
    """`per_second` on average, `burst` at once. 0 per second: everything."""

    per_second: float
    burst: float


# Every rate of a limit must let it through: a short burst and a low rate, say, and a long window.
Limit = tuple[Rate, ...]

# Waits are told in milliseconds, and stored times are rounded to microseconds, so less is none.
TOLERANCE_S = 0.001


class Buckets:
    """Token buckets by key, as many as `entries_max`: full ones are forgotten.

    A bucket is kept as the time at which it will be full again (the generic cell rate algorithm,
    ITU-T I.371), so that a forgotten one and a full one are the same. Where more than `entries_max`
    are not full, those that were not spent from for the longest time are forgotten too.
    """

    def __init__(self, entries_max: int) -> None:
        self._entries_max = entries_max
        self._full_at: dict[Hashable, tuple[float, ...]] = {}

    def __len__(self) -> int:
        return len(self._full_at)

    def spend(self, key: Hashable, limit: Limit, now: float, cost: float = 1.0) -> float:
        """Take `cost` of every rate. Returns 0.0, or for how many seconds to wait: none was taken.

        A negative cost gives back what was taken, and is never refused.
        """
        before = self._full_at.get(key, ())
        after: list[float] = []
        wait = 0.0
        for at, (per_second, burst) in enumerate(limit):
            assert cost <= burst, (key, cost, burst)
            if not per_second:
                after.append(now)
                continue
            span = burst / per_second
            full_at = min(before[at], now + span) if at < len(before) else now
            full_at = max(max(full_at, now) + cost / per_second, now)
            after.append(full_at)
            wait = max(wait, full_at - now - span)
        if cost > 0 and wait > TOLERANCE_S:
            return wait
        self._keep(key, tuple(after), now)
        return 0.0

    def _keep(self, key: Hashable, full_at: tuple[float, ...], now: float) -> None:
        kept = self._full_at
        kept.pop(key, None)  # to stand last
        if max(full_at, default=now) > now:
            kept[key] = full_at
        for _ in range(2):  # so a crowd of full ones goes in time, whoever stands first
            if not kept:
                return
            oldest = next(iter(kept))
            if len(kept) <= self._entries_max and max(kept[oldest]) > now:
                return
            del kept[oldest]


class Held:
    """One `Bucket` a key, the same object for all who hold it: a hot path looks it up once.

    It is forgotten when it is full and nobody holds it. Of those that nobody holds and are not
    full, the ones used last are kept, up to `entries_max`.
    """

    def __init__(self, rate: Rate, entries_max: int) -> None:
        self._rate = rate
        self._entries_max = entries_max
        self._known: WeakValueDictionary[Hashable, Bucket] = WeakValueDictionary()
        self._kept: dict[Hashable, Bucket] = {}

    def __len__(self) -> int:
        return len(self._known)

    def of(self, key: Hashable, now: float) -> Bucket:
        """The bucket of this key, made where there is none."""
        bucket = self._known.get(key)
        if bucket is None:
            bucket = self._known[key] = Bucket(*self._rate, now)
        kept = self._kept
        for _ in range(2):
            oldest = next(iter(kept), None)
            if oldest is None or (len(kept) < self._entries_max and not kept[oldest].full(now)):
                break
            del kept[oldest]
        kept.pop(key, None)  # to stand last
        kept[key] = bucket
        return bucket
