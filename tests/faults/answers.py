"""Checks the answers: that each send got one, that a refusal had a reason, that acks came first.

L2  in the end every send was answered     N2  who was refused for good was no member any more
O2  on its socket, a message's ack came before its `msg`
"""

from collections.abc import Iterable, Sequence

from tests.faults.history import RECEIVED, Event, Row
from tests.faults.stored import NONCE_TAKEN, Book, Said
from tests.faults.verdict import Anomaly, Findings

NOT_A_MEMBER = ("forbidden", "not_found")


def check_answered(book: Book, found: Findings) -> None:
    """L2: none of the sends is still open. Only for runs that waited for the answers."""
    for said in book.said.values():
        if not said.acks and not said.refusals:
            _note(found, "L2-unanswered", said, "an ack or a refusal", "neither", said.at)


def check_refusals(book: Book, rows: Sequence[Row], found: Findings) -> None:
    """N2: for runs in which a removal is the one reason to refuse a send for good."""
    out = {(row.channel, row.target or row.user) for row in rows if row.kind == "leave"}
    for said in book.said.values():
        for at, _, code in said.refusals:
            taken = code == NONCE_TAKEN and len(set(said.contents)) > 1
            removed = code in NOT_A_MEMBER and (said.channel, said.user) in out
            if not taken and not removed:
                _note(found, "N2-refused", said, "no refusal without a reason", code, at)
                break


def check_acks_first(book: Book, events: Iterable[Event], found: Findings) -> None:
    """O2: for what was sent once, on one socket, and came back on it."""
    own = {
        (said.session, said.channel, said.row.seq): said
        for said in book.said.values()
        if said.session and said.acks and said.row is not None and not said.retried
    }
    for event in events:
        if event[0] == RECEIVED:
            said = own.get((event[3], event[4], event[5]))
            if said is not None and event[1] < said.acks[0].at:
                _note(found, "O2-early", said, "the ack first", "its msg", event[1])


def _note(found: Findings, kind: str, said: Said, expected: str, what: str, at: int) -> None:
    seq = said.row.seq if said.row is not None else -1
    found.add(
        Anomaly(
            kind, said.channel, seq, said.client, said.session,
            expected=expected, found=what, at=at,
        )
    )  # fmt: skip
