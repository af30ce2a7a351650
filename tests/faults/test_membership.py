"""A message behind its author's removal is found in the log."""

from tests.faults.history import Row
from tests.faults.membership import check_members
from tests.faults.verdict import Findings


def log(*entries: tuple[str, int, int | None]) -> list[Row]:
    return [
        Row(7, seq, kind, user, f"n{seq}", "", target)
        for seq, (kind, user, target) in enumerate(entries, start=1)
    ]


def strangers(rows: list[Row], *members: int) -> list[int]:
    found = Findings()
    check_members(rows, {7: members}, found)
    assert set(found.totals) <= {"M2-stranger"}
    return [anomaly.seq for anomaly in found.first()]


def test_members_may_speak():
    assert strangers(log(("msg", 1, None), ("join", 2, 2), ("msg", 2, None)), 1) == []


def test_nobody_speaks_before_joining():
    assert strangers(log(("msg", 2, None), ("join", 2, 2)), 1) == [1]


def test_nobody_speaks_behind_a_removal():
    rows = log(
        ("msg", 2, None), ("leave", 1, 2), ("msg", 2, None), ("join", 1, 2), ("msg", 2, None)
    )
    assert strangers(rows, 1, 2) == [3]


def test_the_order_of_rows_does_not_matter():
    rows = log(("leave", 1, 2), ("msg", 2, None))
    assert strangers(rows[::-1], 1, 2) == [2]


def test_who_is_there_at_the_end_is_told():
    rows = log(("leave", 1, 2), ("join", 3, 3), ("leave", 3, 3), ("join", 1, 4))
    assert check_members(rows, {7: (1, 2)}, Findings()) == {7: {1, 4}}
