"""When a worker that ended is started again, and when that is given up.

Decides only: the clock and the dice are passed in. What a worker's life was counts, not its number
of deaths: one that served for a while and crashed is back at once, one that keeps ending soon after
its start waits longer each time, and in the end the whole ends with its exit status, so that
whoever runs us sees what one worker would have shown. Everything here is gone with the supervisor.
"""

from dataclasses import dataclass

QUICK_S = 10.0  # a shorter life is a failure; a start takes one second
FAILURES_MAX = 5  # quick failures in a row, and then it is given up: after 2 to 6 s of waiting
FIRST_DELAY_S = 0.1
# The command line, a setting (2), the database or the port (3): trying again does not mend these.
HOPELESS = frozenset({2, 3})


@dataclass(frozen=True, slots=True)
class Life:
    """How one process went."""

    status: int  # as a shell has it: 128 and the number of the signal that ended it
    served: bool  # it listened
    lasted_s: float


class Restarts:
    """The record of one worker's place."""

    def __init__(self) -> None:
        self.failures = 0  # quick ones, in a row
        self._ever_served = False

    def ended(self, life: Life, lot: float) -> float | None:
        """Return after how many seconds to start again; None: give up. `lot`: from 0 to 1."""
        self._ever_served |= life.served
        if not self._ever_served and life.status in HOPELESS:
            return None
        quick = not life.served or life.lasted_s < QUICK_S
        self.failures = self.failures + 1 if quick else 0
        if self.failures >= FAILURES_MAX:
            return None
        return FIRST_DELAY_S * 3.0 ** max(0, self.failures - 1) * (0.5 + lot)
