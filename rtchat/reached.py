"""How often each limit was reached: a plain counter a setting, read when metrics are asked for.

Owns: which settings are counted (those at whose limit an error code or a close code is told), and
their counts. All are there from the start, with 0, so that an alert can name each. Must never: cost
anything where no limit is reached, or be asked to count a name that is no such setting. Lost in a
crash, and at every start: the counts; whoever scrapes them takes a lower value for a new start.
"""

import re
from collections import Counter

from rtchat.settings import NAMES, meta

_CODE = re.compile(r"`\w+`|close \d+")  # as `config.kinds.number` has it


def counted() -> list[str]:
    """The settings that are counted, in the order of the list."""
    return [name for name in NAMES if _CODE.search((meta(name).extra or {}).get("at", ""))]


class Reached:
    """The counts of one process."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys(counted(), 0)
        self.connections_max = 0  # what the server found to fit; 0: it has no limit, or is another
        # What the server itself refused, by error code: requests that never reached the app.
        self.refused: Counter[str] = Counter()

    def count(self, *limits: str) -> None:
        """One answer or close told of these limits: mostly one, two where two make one limit."""
        for limit in limits:
            assert limit in self.counts, f"{limit} is no setting with a code at its limit"
            self.counts[limit] += 1
