"""What the tests of the bus talk about: pods that note what they hear."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from rtchat.bus import Bus
from rtchat.bus.redis import RedisBus
from rtchat.bus.shards import shard_of

QUICK = {"probe_interval_s": 0.05, "probe_silence_s": 0.15, "subscribe_timeout_s": 0.3}


class BusPod:
    """A bus and everything that arrived on it."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.heard: list[bytes] = []
        self.controls: list[bytes] = []
        self.restored = 0
        bus.on_envelope = self.heard.append
        bus.on_control = self.controls.append
        bus.on_restored = self._restored

    def _restored(self) -> None:
        self.restored += 1

    async def hears(self, envelope: bytes, within_s: float = 5) -> None:
        """Wait until this envelope arrived."""
        await until(lambda: envelope in self.heard, within_s)


async def until(condition: Callable[[], bool], within_s: float = 5) -> float:
    """Wait until `condition` holds; returns how long that took."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < within_s, "did not come true in time"
        await asyncio.sleep(0.002)
    return time.monotonic() - start


MakePod = Callable[..., BusPod]


def bus_of(pod: BusPod) -> RedisBus:
    assert isinstance(pod.bus, RedisBus)
    return pod.bus


async def took_s(subscribing: Awaitable[None]) -> float:
    start = time.monotonic()
    await subscribing
    return time.monotonic() - start


def number_of_tasks() -> int:
    return len(asyncio.all_tasks())


def channel_of(shard: int, shards: int = 64) -> int:
    """The first channel of this shard."""
    return next(channel for channel in range(1, 10_000) if shard_of(channel, shards) == shard)
