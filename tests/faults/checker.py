"""Checks a run: what clients sent, were told and received, against the log. Offline, and pure.

    A1  an acked message is stored as the ack says      A2  all acks of a nonce name one seq
    D1  seqs are 1..n, the head is n, nonces unique     N1  what is stored was sent, and not refused
    R1  acked before sent: numbered before              O1  a socket's sends are numbered in order
    S1  a subscription gets after + 1, then + 1 each    S2  what came is what is stored
    S3  cursors are what the client held                M1  nothing behind a leave or an unsub
    M2  authors are members
    L1  in the end everybody is at the head             L2  every send was answered
    N2  only who was removed is refused for good        O2  an ack comes before its message
    G1  enough succeeded to prove anything

Each check looks at one promise from one side, so one fault often shows in several. A kept run is
checked again with `python -m tests.faults.checker FILE`.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.faults.answers import check_acks_first, check_answered, check_refusals
from tests.faults.delivered import Delivery, Ends
from tests.faults.history import MARK, History, Row
from tests.faults.membership import Members, check_members
from tests.faults.stored import SENT, Book, check_stored
from tests.faults.text import render
from tests.faults.verdict import Anomaly, Findings, Mark, Verdict

ACKED_SHARE_MIN = 0.5


def check(
    history: History,
    rows: Sequence[Row],
    heads: Mapping[int, int],
    *,
    ends: Ends = None,
    acked_share: float = ACKED_SHARE_MIN,
    resets: bool = False,
    members: Members | None = None,
    answered: bool = False,
) -> Verdict:
    """Check a run.

    `ends`: who must be there at the end, as (client, channel) pairs or their number; without it,
    whoever is subscribed when the history stops. `acked_share`: with fewer acks the run fails; 0
    allows a run without any. `resets`: whether the run gave reasons for a `reset`. `members`:
    of each channel before its first entry, where that is known; then a removal is the one reason to
    refuse a send for good. `answered`: whether the run waited for every answer.
    """
    found = Findings()
    book = Book(history.events, rows, found)
    check_stored(book, rows, heads, found)
    if members is not None:
        check_members(rows, members, found)
        check_refusals(book, rows, found)
    if answered:
        check_answered(book, found)
    check_acks_first(book, history.events, found)
    delivery = Delivery(book, rows, heads, found, resets=resets)
    delivery.run(history.events)
    delivery.check_ends(ends)
    counts = {**_counts(book, rows), **delivery.counts()}
    _guard(counts, acked_share, found)
    marks = [Mark(event[1], event[3]) for event in history.events if event[0] == MARK]
    began = history.events[0][1] if history.events else 0
    return Verdict(found.first(), dict(found.totals), counts, marks, began)


def _counts(book: Book, rows: Sequence[Row]) -> dict[str, int]:
    """Count messages by their nonces; `unknown` had no answer, and may be stored or not."""
    said = book.said.values()
    unknown = [one for one in said if not one.acks and not one.refusals]
    stored = sum(one.row is not None for one in unknown)
    return {
        "sent": len(said),
        "acked": sum(bool(one.acks) for one in said),
        "refused": sum(bool(one.refusals) for one in said),
        "stored": sum(row.kind in SENT for row in rows),
        "unknown_stored": stored,
        "unknown_absent": len(unknown) - stored,
    }


def _guard(counts: Mapping[str, int], share: float, found: Findings) -> None:
    """G1: a run in which nothing works breaks no other promise."""
    sent, acked = counts["sent"], counts["acked"]
    if share > 0 and (sent == 0 or acked < share * sent):
        expected = f"at least {share:.0%} of what is sent acked, and something sent"
        found.add(Anomaly("G1-idle", expected=expected, found=f"{acked} of {sent}"))


def main() -> int:
    """Check a kept run again."""
    history = History.load(Path(sys.argv[1]))
    verdict = check(history, history.rows, history.heads)
    print(render(verdict))  # noqa: T201
    return 0 if verdict.ok else 1


if __name__ == "__main__":
    sys.exit(main())
