"""When to come back, and whether: the contract's table of close codes (§4), and full jitter.

Pure; randomness is passed in by default only. Must never: bring a crowd back at one moment. After a
restart of the server thousands of clients decide at once, each by itself, so every delay is drawn
from an interval that begins at 0 ("full jitter"). A wait that the server names comes on top: who is
told the same time again and again backs off all the same.
"""

import random
from enum import Enum, auto

BASE_S = 0.5
CAP_S = 30.0
LIVED_S = 10.0  # a connection that lasted for this long ends a series of failures


class Verdict(Enum):
    """What a close means for the client."""

    GIVE_UP = auto()  # 40xx: not as you are
    BACK_OFF = auto()  # 41xx, and whatever is not in the table
    AT_ONCE = auto()  # 42xx, with jitter
    RENEW = auto()  # 4202: with a new token, then at once


# The ones outside the hundreds. 1012 is a restart (RFC 6455's registry): as 4201.
_SINGLE = {4202: Verdict.RENEW, 1012: Verdict.AT_ONCE}
_HUNDREDS = {40: Verdict.GIVE_UP, 41: Verdict.BACK_OFF, 42: Verdict.AT_ONCE}


def judge(close_code: int | None) -> Verdict:
    """Read a close code; None or 1006: the link broke."""
    code = close_code or 1006
    return _SINGLE.get(code) or _HUNDREDS.get(code // 100, Verdict.BACK_OFF)


class Backoff:
    """The delays of one series of failures, which goes on until a connection has lived."""

    def __init__(self, base_s: float = BASE_S, cap_s: float = CAP_S) -> None:
        self._base_s = base_s
        self._cap_s = cap_s
        self._failures = 0

    def delay(self, verdict: Verdict = Verdict.BACK_OFF, hint_s: float | None = None) -> float:
        """How long to wait, in seconds, after one more failure; not less than the server asks.

        "At once" is one step behind: the first two in a series are, the third grows like the rest.
        """
        at_once = verdict in (Verdict.AT_ONCE, Verdict.RENEW)
        exponent = min(max(0, self._failures - at_once), 16)
        self._failures += 1
        jitter_s = random.uniform(0, min(self._cap_s, self._base_s * 2**exponent))
        return (hint_s or 0.0) + jitter_s

    def lived(self, seconds: float) -> None:
        """Learn how long a connection lasted; a short one is no success."""
        if seconds >= LIVED_S:
            self._failures = 0
