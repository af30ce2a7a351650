"""What a check of a run found: anomalies by their kind, how many, and the counts of the run.

Owns: the list of all kinds, and what each means for users. A run that breaks everything has a
million anomalies; the first of each kind are kept, all are counted.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

KEPT_PER_KIND = 10

LOST, DOUBLED, REORDERED, OTHER = "lost", "doubled", "reordered", "other"

# Kind to what it does to users, and in words. The part before the dash is the promise.
KINDS = {
    "A1-lost": (LOST, "an acked message is not stored"),
    "A1-differs": (OTHER, "another entry is stored where the ack says"),
    "A1-unsent": (OTHER, "an ack for what this client never sent"),
    "A2-seqs": (DOUBLED, "acks of one nonce name different seqs"),
    "D1-hole": (OTHER, "a seq below the last one is not stored"),
    "D1-head": (OTHER, "the channel's head is not its last entry's seq"),
    "D1-seq": (DOUBLED, "two entries of a channel have one seq"),
    "D1-nonce": (DOUBLED, "one nonce of a user is stored twice in a channel"),
    "N1-unsent": (OTHER, "a message is stored that nobody sent"),
    "N1-differs": (OTHER, "a message is stored with other content than was sent"),
    "N1-refused": (OTHER, "a message was refused for good, and is stored"),
    "N1-acked": (OTHER, "a message was refused for good, and acked"),
    "N2-refused": (OTHER, "a member's message was refused for good"),
    "R1-order": (REORDERED, "sent after another's ack, numbered before it"),
    "O1-order": (REORDERED, "sends of one socket are not numbered in their order"),
    "O2-early": (REORDERED, "a message came to its sender before its ack"),
    "S1-gap": (LOST, "an entry was passed over"),
    "S1-duplicate": (DOUBLED, "an entry came again, or was not asked for"),
    "S1-reorder": (REORDERED, "an entry came after a later one"),
    "S1-unasked": (OTHER, "an entry came without a subscription"),
    "S1-reset": (OTHER, "a reset, though the cursor could be resumed"),
    "S2-phantom": (OTHER, "an entry came that is not stored"),
    "S2-differs": (OTHER, "an entry came that is stored otherwise"),
    "S3-cursor": (OTHER, "the test client is wrong about what it holds"),
    "M1-leave": (OTHER, "an entry came behind the user's own leave"),
    "M1-left": (OTHER, "an entry came after the end of the subscription"),
    "M2-stranger": (OTHER, "a message is stored whose author was no member"),
    "L1-tail": (LOST, "after the quiet time a subscriber is behind the head"),
    "L1-ahead": (OTHER, "a subscriber is ahead of the head"),
    "L1-no-end": (OTHER, "a subscriber who should have been there at the end was not"),
    "L2-unanswered": (OTHER, "a send was never answered"),
    "G1-idle": (OTHER, "too little succeeded: such a run proves nothing"),
}


@dataclass(frozen=True, slots=True)
class Anomaly:
    """One broken promise: where, and what was expected instead of what. -1: not known."""

    kind: str
    channel: int = -1
    seq: int = -1
    client: int = -1
    session: int = -1
    expected: str = ""
    found: str = ""
    at: int | None = None  # nanoseconds of the monotonic clock
    number: int = 1  # of entries concerned


class Mark(NamedTuple):
    """Something that happened outside of the clients."""

    at: int
    text: str


class Findings:
    """Collects anomalies, with a bound on what is kept."""

    def __init__(self) -> None:
        self.totals: Counter[str] = Counter()
        self._kept: dict[str, list[Anomaly]] = {}

    def add(self, anomaly: Anomaly) -> None:
        """Count it, and keep it if it is among the first of its kind."""
        self.totals[anomaly.kind] += anomaly.number
        kept = self._kept.setdefault(anomaly.kind, [])
        if len(kept) < KEPT_PER_KIND:
            kept.append(anomaly)

    def first(self) -> list[Anomaly]:
        """What was kept, in the order of time; what has no moment comes first."""
        kept = [anomaly for anomalies in self._kept.values() for anomaly in anomalies]
        return sorted(kept, key=lambda anomaly: anomaly.at or 0)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome: `anomalies` are the first of each kind, `totals` count all of them."""

    anomalies: Sequence[Anomaly]
    totals: dict[str, int]
    counts: dict[str, int]
    marks: Sequence[Mark] = ()
    began: int = 0  # nanoseconds of the monotonic clock: the first event
    harm: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        harm = dict.fromkeys((LOST, DOUBLED, REORDERED, OTHER), 0)
        for kind, number in self.totals.items():
            harm[KINDS[kind][0]] += number
        object.__setattr__(self, "harm", harm)

    @property
    def ok(self) -> bool:
        """Whether every promise was kept."""
        return not self.totals

    @property
    def lost(self) -> int:
        """Messages acked and gone, and deliveries that never came."""
        return self.harm[LOST]

    @property
    def doubled(self) -> int:
        """Entries stored or delivered twice."""
        return self.harm[DOUBLED]

    @property
    def reordered(self) -> int:
        """Entries numbered or delivered in a wrong order."""
        return self.harm[REORDERED]
