"""A pod whose clock is wrong, or steps while it runs.

`python -m tests.faults.clock serve` is `rtchat serve` with every reading of the wall clock shifted
by `RTCHAT_TEST_CLOCK_S` seconds. SIGUSR1 shifts it back by an hour. Monotonic time goes on as ever.
"""

import os
import signal
import time
from datetime import datetime, tzinfo
from typing import Self

from jwt import api_jwt

STEP_S = 3600.0


class Shifted(datetime):
    """What PyJWT asks for the time."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        return cls.fromtimestamp(time.time(), tz)


def shift(offset_s: float) -> None:
    """Let the wall clock be wrong from now on, and step at SIGUSR1."""
    real, offsets = time.time, [offset_s]
    setattr(time, "time", lambda: real() + sum(offsets))  # noqa: B010 mypy refuses to see it
    setattr(api_jwt, "datetime", Shifted)  # noqa: B010
    signal.signal(signal.SIGUSR1, lambda *_: offsets.append(-STEP_S))


def main() -> None:
    """Serve by that clock."""
    from rtchat import cli

    shift(float(os.environ["RTCHAT_TEST_CLOCK_S"]))
    cli.main()


if __name__ == "__main__":
    main()
