"""The figures of a run mean what their definitions say."""

import pytest

from tests.faults.history import History, Row
from tests.faults.stats import Spread, Stats, stats, windows
from tests.faults.verdict import Mark

ANN, BOB, CAT = 0, 1, 2
CH = 1
MS = 1_000_000


class Talk:
    """Ann talks, Bob and Cat hear; the test says when, in milliseconds."""

    def __init__(self) -> None:
        self.now_ms = 0.0
        self.history = History(clock=lambda: int(self.now_ms * MS))
        self.rows: list[Row] = []
        for client in (BOB, CAT):
            self.history.subscribed(client, client, CH, 0)

    def mark(self, at_ms: float, text: str) -> None:
        self.now_ms = at_ms
        self.history.mark(text)

    def say(self, at_ms: float, acked_ms: float | None, **heard_ms: float) -> None:
        """A message: its moment, then how long its ack and its deliveries took."""
        seq = len(self.rows) + 1
        self.now_ms = at_ms
        self.history.send(ANN, 100, CH, f"n{seq}", "text")
        self.rows.append(Row(CH, seq, "msg", 100, f"n{seq}", "text"))
        if acked_ms is not None:
            self.now_ms = at_ms + acked_ms
            self.history.ack(ANN, CH, f"n{seq}", seq, dup=False)
        for name, delay_ms in heard_ms.items():
            client = {"bob": BOB, "cat": CAT}[name]
            self.now_ms = at_ms + delay_ms
            self.history.received(client, client, CH, seq, "msg", 100, "text")

    def stats(self, **options) -> Stats:
        return stats(self.history, self.rows, **options)


def test_a_spread_is_made_of_values_that_occurred():
    assert Spread.of(n * MS for n in range(1, 101)) == Spread(100, 51.0, 100.0, 100.0)
    assert Spread.of([]) == Spread()


def test_ack_and_delivery_run_from_the_send():
    talk = Talk()
    talk.say(0, 5, bob=7, cat=9)
    figures = talk.stats()
    assert figures.ack["all"] == Spread(1, 5, 5, 5)
    assert figures.delivery["all"] == Spread(2, 9, 9, 9)
    assert figures.delivery["live"] == figures.delivery["all"]
    assert figures.windows == []
    assert figures.recovery_ms is None


def test_what_touches_a_fault_is_not_quiet():
    talk = Talk()
    talk.say(0, 5, bob=5)
    talk.say(95, 40, bob=50)  # under way when the fault came
    talk.mark(100, "injected pause")
    talk.say(110, 20, bob=30)
    talk.mark(200, "healed pause")
    talk.say(300, 6, bob=6)
    figures = talk.stats()
    assert figures.ack["quiet"] == Spread(2, 6, 6, 6)
    assert figures.ack["fault"] == Spread(2, 40, 40, 40)
    (window,) = figures.windows
    assert (window.name, window.ack.n, window.delivery.worst) == ("pause", 2, 50)


def test_history_from_before_a_subscription_has_no_delay():
    talk = Talk()
    talk.say(0, 5)
    talk.now_ms = 1000
    talk.history.subscribed(3, 33, CH, 0)
    talk.history.received(3, 33, CH, 1, "msg", 100, "text")
    assert talk.stats().delivery["all"].n == 0


def test_a_delay_across_sockets_is_resumed_and_a_second_delivery_none():
    talk = Talk()
    talk.say(10, 5)
    talk.now_ms = 500
    talk.history.closed(BOB, BOB)
    talk.history.subscribed(BOB, 44, CH, 0)
    for _ in range(2):
        talk.history.received(BOB, 44, CH, 1, "msg", 100, "text")
    delivery = talk.stats().delivery
    assert delivery["resumed"] == Spread(1, 490, 490, 490)
    assert delivery["live"].n == 0


def test_overlapping_faults_make_one_window():
    marks = [
        Mark(1, "injected a"), Mark(2, "injected b"), Mark(3, "healed a"), Mark(4, "a word"),
        Mark(5, "healed b"), Mark(6, "injected c"), Mark(7, "healed"), Mark(8, "injected d"),
    ]  # fmt: skip
    found = [(window.name, window.begins, window.ends) for window in windows(marks)]
    assert found == [("a + b", 1, 5), ("c", 6, 7), ("d", 8, float("inf"))]


Says = tuple[float, float | None, float | None]


def recovery(*says: Says) -> float | None:
    """The time to recover from a fault that ends at 1000 ms."""
    talk = Talk()
    talk.mark(100, "injected pause")
    talk.mark(1000, "healed pause")
    for at_ms, acked_ms, heard_ms in says:
        heard = {} if heard_ms is None else {"bob": heard_ms}
        talk.say(at_ms, acked_ms, **heard)
    return talk.stats(within_ms=100, steady_ms=500).recovery_ms


FAST = 10.0, 10.0


@pytest.mark.parametrize(
    ("says", "expected"),
    [
        pytest.param([(1010, *FAST)], 0, id="nothing was disturbed"),
        pytest.param([(900, 400, 10), (1400, *FAST)], 300, id="a message waited for its ack"),
        pytest.param([(900, 10, 700), (1700, *FAST)], 600, id="or for its delivery"),
        pytest.param([(1050, 300, 10), (1200, 400, 9), (1700, *FAST)], 600, id="the last counts"),
        pytest.param([(1010, *FAST), (1400, 300, 9), (1800, *FAST)], 700, id="not yet steady"),
        pytest.param([(1010, *FAST), (1600, 300, 9)], 0, id="slow after a steady while"),
        pytest.param([(900, 400, 10)], None, id="no send proves it"),
        pytest.param([(900, None, None), (1700, *FAST)], None, id="a message never came through"),
        pytest.param([(1010, 10, None)], 0, id="an ack is enough where nobody else is"),
    ],
)
def test_the_time_to_recover(says: list[Says], expected: float | None):
    assert recovery(*says) == expected


def test_a_message_refused_for_good_does_not_delay_recovery():
    talk = Talk()
    talk.mark(100, "injected pause")
    talk.history.send(ANN, 100, CH, "refused", "text")
    talk.mark(1000, "healed pause")
    talk.history.refused(ANN, CH, "refused", "too_long")
    talk.say(1100, 10, bob=10)
    assert talk.stats(within_ms=100).recovery_ms == 0


def test_a_fault_that_never_ends_is_never_recovered_from():
    talk = Talk()
    talk.mark(100, "injected pause")
    talk.say(200, 10, bob=10)
    assert talk.stats().recovery_ms is None
    assert talk.stats().ack["fault"].n == 1


def test_pods_split_deliveries_and_recovery_waits_for_the_other_pod():
    talk = Talk()
    talk.mark(100, "injected bus cut")
    talk.mark(1000, "healed bus cut")
    talk.say(1010, 5, bob=6, cat=900)
    talk.say(2000, 5, bob=6, cat=8)

    def pods(client: int, at: int) -> str:
        return "second" if client == CAT else "first"

    figures = talk.stats(within_ms=100, pods=pods)
    assert figures.delivery["same pod"] == Spread(2, 6, 6, 6)
    assert figures.delivery["cross pod"].worst == 900
    assert figures.recovery_ms == 910
    assert talk.stats(within_ms=100).recovery_ms == 0
