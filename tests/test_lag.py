"""The lateness of the loop is what its tasks wait, and nothing when there is nothing to do."""

import asyncio
import time

from rtchat.lag import EVERY_S, Lag

BLOCKED_S = 0.6


async def until(lag: Lag, looks: int) -> None:
    async with asyncio.timeout(20):
        while lag.seconds.count < looks:
            await asyncio.sleep(0.01)


async def test_a_loop_that_is_held_up_is_late():
    lag = Lag()
    lag.start()
    await until(lag, 1)
    before = lag.seconds.total
    looks = lag.seconds.count
    time.sleep(EVERY_S + BLOCKED_S)  # what must never happen in a loop  # noqa: ASYNC251
    await until(lag, looks + 1)
    assert lag.seconds.total - before >= BLOCKED_S
    await lag.close()


async def test_it_stops():
    lag = Lag()
    lag.start()
    await lag.close()
    looks = lag.seconds.count
    await asyncio.sleep(2 * EVERY_S)
    assert lag.seconds.count == looks
