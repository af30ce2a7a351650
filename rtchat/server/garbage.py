"""When Python looks for garbage: among the young often, among all that lives hardly ever.

Owns: the collector's thresholds, what it is told to leave alone, and the time of a pass over all.

What a connection is lives as long as it does and leaves no cycle behind, so a pass over all of them
finds nothing, and stops the loop meanwhile. As Python has it, 6,000 clients that came in a storm
cost eight such passes, 1.6 s, the last of them 0.38 s. Here whatever outlives the passes over the
young is set aside (`gc.freeze`), and still freed by its count of references; only if it becomes
part of a cycle later does it wait for the pass over all, every `FULL_S`.

Must never: be needed for what comes and goes with clients (tests/server/test_websocket.py).
"""

import gc
import logging
import time
from typing import Any

log = logging.getLogger(__name__)

# A pass after so many more objects than went, 1 ms; after two of these one over what they left,
# 5 ms, which is then set aside. The third number counts those and is never reached.
THRESHOLDS = (5000, 2, 1000)
FULL_S = 600.0  # between passes over all: 0.2 s and more with 10,000 connections
ELDER = 1  # the generation whose survivors are set aside


class Garbage:
    """The policy, from `start` to `stop`; then it is Python's own again."""

    def __init__(self) -> None:
        self._before = gc.get_threshold()
        self._full_at = 0.0

    def start(self, now_s: float) -> None:
        """Set aside all that the start has made."""
        gc.set_threshold(*THRESHOLDS)
        gc.callbacks.append(_set_aside)
        self._full_at = now_s
        gc.collect()
        gc.freeze()

    def stop(self) -> None:
        """Give it back."""
        if _set_aside in gc.callbacks:
            gc.callbacks.remove(_set_aside)
            gc.unfreeze()
        gc.set_threshold(*self._before)

    def tick(self, now_s: float) -> None:
        """Look at all that lives, if it is time to; call it now and then."""
        if now_s - self._full_at < FULL_S:
            return
        self._full_at = now_s
        began = time.perf_counter()
        gc.unfreeze()
        found = gc.collect()
        gc.freeze()
        took_ms = round((time.perf_counter() - began) * 1000)
        log.info("looked for garbage", extra={"found": found, "ms": took_ms})


def _set_aside(phase: str, info: dict[str, Any]) -> None:
    if phase == "stop" and info["generation"] == ELDER:
        gc.freeze()
