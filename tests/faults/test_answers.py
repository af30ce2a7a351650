"""What the answers of a run are held to."""

import itertools

from tests.faults.checker import check
from tests.faults.history import History, Row

ANN, BOB = 1, 2
CHANNEL, SOCKET = 7, 100


def history() -> History:
    ticks = itertools.count(1)
    made = History(clock=lambda: next(ticks))
    made.subscribed(ANN, SOCKET, CHANNEL, 0)
    return made


def message(seq: int, user: int = ANN, kind: str = "msg", target: int | None = None) -> Row:
    return Row(CHANNEL, seq, kind, user, f"n{seq}", "hi" if kind == "msg" else "", target)


def kinds(made: History, *rows: Row) -> set[str]:
    heads = {CHANNEL: len(rows)}
    members = {CHANNEL: (ANN, BOB)}
    return set(
        check(made, rows, heads, members=members, answered=True, acked_share=0, ends=0).totals
    )


def test_an_ack_and_then_the_message_is_right():
    made = history()
    made.send(ANN, ANN, CHANNEL, "n1", "hi", SOCKET)
    made.ack(ANN, CHANNEL, "n1", 1, dup=False)
    made.received(ANN, SOCKET, CHANNEL, 1, "msg", ANN, "hi")
    made.closed(ANN, SOCKET)
    assert kinds(made, message(1)) == set()


def test_a_message_before_its_ack_is_told():
    made = history()
    made.send(ANN, ANN, CHANNEL, "n1", "hi", SOCKET)
    made.received(ANN, SOCKET, CHANNEL, 1, "msg", ANN, "hi")
    made.ack(ANN, CHANNEL, "n1", 1, dup=False)
    made.closed(ANN, SOCKET)
    assert kinds(made, message(1)) == {"O2-early"}


def test_a_send_without_an_answer_is_told():
    made = history()
    made.send(ANN, ANN, CHANNEL, "n1", "hi", SOCKET)
    made.closed(ANN, SOCKET)
    assert kinds(made) == {"L2-unanswered"}


def refused(code: str, *rows: Row) -> set[str]:
    made = history()
    made.closed(ANN, SOCKET)
    made.send(BOB, BOB, CHANNEL, "new", "hi")
    made.refused(BOB, CHANNEL, "new", code)
    return kinds(made, *rows)


def test_who_was_removed_may_be_refused():
    out = message(1, ANN, "leave", BOB)
    assert refused("forbidden", out) == set()
    assert refused("not_found", out) == set()
    assert refused("bad_field", out) == {"N2-refused"}


def test_a_member_may_not_be_refused():
    assert refused("forbidden") == {"N2-refused"}


def test_a_retry_is_no_conflict_with_itself():
    """The same content again under its nonce: the answer is the first one's ack."""
    assert refused("nonce_conflict") == {"N2-refused"}
    made = history()
    made.closed(ANN, SOCKET)
    made.send(BOB, BOB, CHANNEL, "n1", "hi")
    made.refused(BOB, CHANNEL, "n1", "nonce_conflict")
    assert kinds(made, message(1, BOB)) == {"N1-refused", "N2-refused"}


def test_other_content_under_a_nonce_is_a_conflict():
    made = history()
    made.closed(ANN, SOCKET)
    made.send(BOB, BOB, CHANNEL, "n1", "hi")
    made.ack(BOB, CHANNEL, "n1", 1, dup=False)
    made.send(BOB, BOB, CHANNEL, "n1", "other")
    made.refused(BOB, CHANNEL, "n1", "nonce_conflict")
    assert kinds(made, message(1, BOB)) == set()
