"""The cache: what all pods must know for a short time, and may forget.

What a cache promises, whichever it is:
- **May be forgotten at any moment.** A restart of Redis, or too little memory, and it is gone.
  Nothing that was acknowledged is kept here, only what can be asked for again: single-use codes,
  and how often something was tried.
- **Taken once.** Of all who `take` a key, on any pod, one at most gets its value.
- **Bounded.** In entries, in bytes, in life, and in the time that a caller waits for it.
- **Never open.** Without Redis there are no codes (`unavailable`), and each pod limits for itself,
  stricter than all do together. Back on Redis it goes by itself.
"""

from typing import Protocol

from rtchat.limits import Limit

KEY_MAX_CHARS = 200
VALUE_MAX_BYTES = 16_384


class Cache(Protocol):
    """Values that are taken once, and limits that hold over all pods."""

    async def put(self, key: str, value: bytes, life_s: float) -> None:
        """Keep a value for `life_s` seconds at most, in place of one that has this key.

        Raises ChatError(unavailable).
        """

    async def take(self, key: str) -> bytes | None:
        """Get a value and delete it. None: unknown, expired, or taken already.

        Raises ChatError(unavailable); then it may be gone.
        """

    async def spend(self, key: str, limit: Limit, cost: float = 1.0) -> float:
        """Take `cost` from a key's token bucket, by all its rates. Never raises.

        Returns 0.0, or for how many seconds to wait, and then nothing was taken. A negative cost
        gives back. `cost` is no more than the smallest burst.
        """

    @property
    def answers(self) -> bool:
        """Whether whoever keeps it answered when last asked."""

    async def close(self) -> None:
        """Let go of connections."""


def check(key: str, value: bytes = b"") -> None:
    """Assert that key and value are of a size that a cache takes: both are made by this server."""
    assert 0 < len(key) <= KEY_MAX_CHARS, key
    assert len(value) <= VALUE_MAX_BYTES, (key, len(value))
