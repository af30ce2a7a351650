"""How late the event loop is: the one number that says whether a process has too much to do.

Owns: a task that sleeps and looks by how much it overslept. All that a process does shares its
loop, so this is what every message waits besides its own work. Must never: be work itself; four
looks a second cost 0.01 % of a core.
"""

import asyncio
import time

from rtchat.measures import WAIT_S, Histogram
from rtchat.tasks import Tasks

EVERY_S = 0.25


class Lag:
    """Measures the lateness of the loop that it is started in."""

    def __init__(self) -> None:
        self.seconds = Histogram(WAIT_S)
        self._tasks = Tasks("lag")

    def start(self) -> None:
        """Begin to look."""
        self._tasks.start(self._look())

    async def close(self) -> None:
        """Stop."""
        await self._tasks.close()

    async def _look(self) -> None:
        while True:
            due = time.perf_counter() + EVERY_S  # the loop's own clock has whole milliseconds
            await asyncio.sleep(EVERY_S)
            self.seconds.observe(max(0.0, time.perf_counter() - due))
