"""The checker lets every valid run pass, and finds each seeded corruption under its name."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings, strategies as st

from tests.faults.checker import check
from tests.faults.corruptions import CORRUPTIONS, Run, gap
from tests.faults.history import History, Row
from tests.faults.synthetic import World
from tests.faults.verdict import KEPT_PER_KIND, KINDS, Verdict

ANN, BOB = 0, 1  # clients
ANN_ID, BOB_ID = 100, 101  # their users
CH = 1


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("corrupt", CORRUPTIONS, ids=lambda corrupt: corrupt.__name__)
def test_a_corruption_is_found_under_its_name(corrupt: Callable[[Run], None], seed: int):
    run = Run(seed)
    corrupt(run)
    told = run.check().totals.keys()
    must, may = CORRUPTIONS[corrupt]
    assert must <= told <= must | may


def test_there_is_a_corruption_for_every_kind_of_anomaly():
    seeded = set[str]().union(*(told.must for told in CORRUPTIONS.values()))
    of_their_own = {"G1-idle", "M2-stranger", "L2-unanswered", "N2-refused", "O2-early"}
    assert KINDS.keys() - of_their_own == seeded


@pytest.mark.parametrize("seed", range(5))
def test_the_same_run_without_a_corruption_passes(seed: int):
    verdict = Run(seed).check()
    assert verdict.totals == {}
    assert verdict.ok
    assert (verdict.lost, verdict.doubled, verdict.reordered) == (0, 0, 0)


@settings(deadline=None, max_examples=150)
@given(seed=st.integers(0, 2**32), steps=st.integers(0, 800))
def test_valid_runs_pass(seed: int, steps: int):
    world = World(seed).run(steps)
    verdict = check(world.history, world.rows, world.heads, acked_share=0)
    assert verdict.anomalies == []


def talk(number: int) -> tuple[History, list[Row], dict[int, int]]:
    """Ann says things one after the other, and Bob hears them; all is well, and Bob stays."""
    history = History()
    history.person(BOB, BOB_ID)
    history.subscribed(BOB, 7, CH, 0)
    rows = []
    for seq in range(1, number + 1):
        history.send(ANN, ANN_ID, CH, f"n{seq}", f"text {seq}")
        history.ack(ANN, CH, f"n{seq}", seq, dup=False)
        history.received(BOB, 7, CH, seq, "msg", ANN_ID, f"text {seq}")
        rows.append(Row(CH, seq, "msg", ANN_ID, f"n{seq}", f"text {seq}"))
    return history, rows, {CH: number}


def finished(number: int) -> tuple[History, list[Row], dict[int, int]]:
    history, rows, heads = talk(number)
    history.end(BOB, 7, CH, number)
    return history, rows, heads


def test_it_counts():
    history, rows, _ = talk(3)
    for nonce in ("stored", "absent", "refused"):
        history.send(ANN, ANN_ID, CH, nonce, nonce)
    history.refused(ANN, CH, "refused", "too_long")
    rows.append(Row(CH, 4, "msg", ANN_ID, "stored", "stored"))
    history.received(BOB, 7, CH, 4, "msg", ANN_ID, "stored")
    history.end(BOB, 7, CH, 4)
    verdict = check(history, rows, {CH: 4})
    assert verdict.counts == {
        "sent": 6,
        "acked": 3,
        "refused": 1,
        "stored": 4,
        "unknown_stored": 1,
        "unknown_absent": 1,
        "received": 4,
        "subscriptions": 1,
        "resumes": 0,
        "resets": 0,
    }
    assert verdict.ok


@pytest.mark.parametrize("acked", [0, 4])
def test_a_run_in_which_little_succeeds_fails(acked: int):
    history, rows, heads = finished(acked)
    for number in range(5):
        history.send(ANN, ANN_ID, CH, f"unanswered {number}", "?")
    assert check(history, rows, heads).totals == {"G1-idle": 1}
    assert check(history, rows, heads, acked_share=0.4 if acked else 0).ok


def test_a_run_without_a_send_fails():
    assert check(History(), [], {}).totals == {"G1-idle": 1}


def test_many_missing_entries_are_one_anomaly_and_counted_each():
    history, rows, heads = finished(100)
    history.events = [
        event for event in history.events if event[0] != "received" or event[5] not in range(10, 60)
    ]
    verdict = check(history, rows, heads)
    assert verdict.totals == {"S1-gap": 50}
    (anomaly,) = verdict.anomalies
    assert (anomaly.channel, anomaly.seq, anomaly.client, anomaly.session) == (CH, 10, BOB, 7)
    assert anomaly.expected == "seqs 10 to 59"
    assert verdict.lost == 50


def test_a_broken_run_is_counted_in_full_and_kept_in_part():
    history, _, heads = finished(1000)
    verdict = check(history, [], heads)
    assert verdict.totals["A1-lost"] == 1000
    kept = [anomaly for anomaly in verdict.anomalies if anomaly.kind == "A1-lost"]
    assert len(kept) == KEPT_PER_KIND


def test_a_far_phantom_costs_no_memory():
    history, rows, heads = talk(3)
    history.received(BOB, 7, CH, 10**15, "msg", ANN_ID, "?")
    history.end(BOB, 7, CH, 3)
    assert check(history, rows, heads).totals == {"S2-phantom": 1}


def ends_of(history: History, rows: list[Row], heads: dict[int, int], ends) -> Verdict:
    return check(history, rows, heads, ends=ends)


def test_everybody_expected_must_be_there_in_the_end():
    run = finished(3)
    assert ends_of(*run, {(BOB, CH)}).ok
    assert ends_of(*run, 1).ok
    assert ends_of(*run, {(BOB, CH), (ANN, CH)}).totals == {"L1-no-end": 1}
    assert ends_of(*run, 3).totals == {"L1-no-end": 2}
    assert ends_of(*run, None).ok


def test_who_is_subscribed_when_the_history_stops_is_expected():
    assert check(*talk(3)).totals == {"L1-no-end": 1}
    history, rows, heads = talk(3)
    history.closed(BOB, 7)
    assert check(history, rows, heads).ok


def test_who_joins_again_may_read_the_own_old_leave():
    history, rows, _ = talk(1)
    history.closed(BOB, 7)
    rows.append(Row(CH, 2, "leave", BOB_ID, "\x7f1", "", BOB_ID))
    history.send(ANN, ANN_ID, CH, "away", "away")
    history.ack(ANN, CH, "away", 3, dup=False)
    rows.append(Row(CH, 3, "msg", ANN_ID, "away", "away"))
    rows.append(Row(CH, 4, "join", ANN_ID, "\x7f2", "", BOB_ID))
    history.subscribed(BOB, 8, CH, 1)
    history.received(BOB, 8, CH, 2, "leave", BOB_ID, "")
    history.received(BOB, 8, CH, 3, "msg", ANN_ID, "away")
    history.received(BOB, 8, CH, 4, "join", BOB_ID, "")
    history.end(BOB, 8, CH, 4)
    assert check(history, rows, {CH: 4}).anomalies == []


def test_after_a_reset_a_client_may_begin_anywhere_where_resets_have_reasons():
    history, rows, heads = talk(5)
    history.reset(BOB, 7, CH, 5)
    history.subscribed(BOB, 7, CH, 2)
    for seq in (3, 4, 5):
        history.received(BOB, 7, CH, seq, "msg", ANN_ID, f"text {seq}")
    history.end(BOB, 7, CH, 5)
    assert check(history, rows, heads, resets=True).ok
    assert check(history, rows, heads).totals == {"S1-reset": 1}


def test_a_cursor_may_be_moved_back_on_a_live_subscription():
    history, rows, heads = talk(3)
    history.subscribed(BOB, 7, CH, 2)
    history.received(BOB, 7, CH, 3, "msg", ANN_ID, "text 3")
    history.end(BOB, 7, CH, 3)
    assert check(history, rows, heads).ok


@pytest.mark.parametrize(("reason", "told"), [("removed", set()), ("unsub", {"S3-cursor"})])
def test_who_was_removed_may_begin_anew_and_who_unsubscribed_goes_on(reason: str, told: set[str]):
    history, rows, heads = talk(5)
    history.left(BOB, 7, CH, reason)
    history.subscribed(BOB, 7, CH, 3)
    for seq in (4, 5):
        history.received(BOB, 7, CH, seq, "msg", ANN_ID, f"text {seq}")
    history.end(BOB, 7, CH, 5)
    assert check(history, rows, heads).totals.keys() == told


def test_a_nonce_used_for_another_text_is_refused_and_that_is_well():
    history, rows, heads = talk(1)
    history.send(ANN, ANN_ID, CH, "n1", "another text")
    history.refused(ANN, CH, "n1", "nonce_conflict")
    history.end(BOB, 7, CH, 1)
    assert check(history, rows, heads).ok


def test_an_edited_message_may_come_as_it_was_or_as_it_is():
    history, rows, heads = finished(2)
    rows[0] = Row(CH, 1, "msg", ANN_ID, "n1", "edited", changed=True)
    assert check(history, rows, heads).ok
    rows[0] = Row(CH, 1, "msg", ANN_ID, "n1", "edited")
    assert check(history, rows, heads).totals.keys() == {"A1-differs", "N1-differs", "S2-differs"}


def test_one_user_on_two_clients_writes_each_nonce_once():
    """The same message from two devices: one entry, and both acks name it."""
    history, rows, _ = talk(0)
    phone = 2
    history.send(ANN, ANN_ID, CH, "same", "same")
    history.send(phone, ANN_ID, CH, "same", "same")
    history.ack(phone, CH, "same", 1, dup=False)
    history.ack(ANN, CH, "same", 1, dup=True)
    history.received(BOB, 7, CH, 1, "msg", ANN_ID, "same")
    history.end(BOB, 7, CH, 1)
    rows.append(Row(CH, 1, "msg", ANN_ID, "same", "same"))
    assert check(history, rows, {CH: 1}).ok
    history.ack(phone, CH, "same", 2, dup=True)
    assert check(history, rows, {CH: 1}).totals.keys() == {"A1-differs", "A2-seqs"}


def test_an_anomaly_keeps_the_marks_of_the_run():
    run = Run(3)
    gap(run)
    verdict = run.check()
    assert [mark.text for mark in verdict.marks][-1] == "healed"
    assert verdict.anomalies[0].at is not None
    assert verdict.began <= verdict.anomalies[0].at
