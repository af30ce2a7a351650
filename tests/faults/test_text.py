"""A verdict can be read: what, where, near which fault; and never looks better than it is."""

from pathlib import Path

import pytest

from tests.faults.checker import check
from tests.faults.corruptions import Run, gap
from tests.faults.history import History
from tests.faults.stats import Spread, Stats, Window, stats
from tests.faults.text import HEADER, around, render, replace_in, replaced, row, table
from tests.faults.verdict import Anomaly, Mark, Verdict

SECOND = 1_000_000_000
COUNTS = {"sent": 12_345, "acked": 12_000}


def failed() -> Verdict:
    anomaly = Anomaly(
        "S1-gap", 3, 17, 5, 22, "seqs 17 to 18", "never sent, later ones were", 12 * SECOND, 2
    )
    marks = [Mark(11 * SECOND, "injected pg kill"), Mark(15 * SECOND, "healed pg kill")]
    return Verdict([anomaly], {"S1-gap": 2}, COUNTS, marks, 10 * SECOND)


def figures(recovery_ms: float | None = 812.4) -> Stats:
    spread = Spread(10, 1.5, 20.25, 2345.6)
    none = dict.fromkeys(("all", "quiet", "fault"), Spread())
    window = Window("pg kill", 1, 2.0, recovery_ms)
    return Stats({**none, "all": spread}, {**none, "all": spread}, [window])


def test_an_anomaly_tells_where_what_and_which_faults_were_near():
    text = render(failed())
    assert "FAILED: 2 anomalies; lost 2, doubled 0, reordered 0" in text
    assert "S1-gap: channel 3, seq 17, client 5, session 22\n" in text
    assert "expected seqs 17 to 18; found never sent, later ones were" in text
    assert "at 2.000 s of the run; 1.000 s after “injected pg kill”" in text
    assert "3.000 s before “healed pg kill”" in text


def test_a_good_run_says_so_with_its_counts_and_figures():
    verdict = Verdict([], {}, COUNTS)
    text = render(verdict, figures())
    assert "every promise was kept" in text
    assert "sent 12,345" in text
    assert "p50 1.5, p99 20.2, worst 2,345.6 ms (10)" in text
    assert "pg kill: recovered in 812 ms" in text
    assert "FAILED" not in text


def test_a_run_of_many_anomalies_stays_short():
    run = Run(2)
    run.rows.clear()
    text = render(run.check())
    assert len(text.splitlines()) < 70
    assert "more that were kept" in text


def test_far_marks_are_not_told():
    marks = [Mark(0, "begins"), Mark(100 * SECOND, "injected"), Mark(200 * SECOND, "healed")]
    assert around(101 * SECOND, marks) == ["1.000 s after “injected”"]
    assert around(50 * SECOND, marks) == []


def test_a_row_of_the_fault_table():
    good = row("kill PostgreSQL", Verdict([], {}, COUNTS), figures(), 42)
    assert good == "| kill PostgreSQL | 12,345 | 12,000 | 0 | 0 | 0 | 2,346 | 812 | 42 |"
    assert good.count("|") == HEADER.splitlines()[0].count("|")


def test_a_row_of_a_failed_run_says_that_it_failed():
    assert row("kill", failed(), figures(None), 42) == (
        "| kill **(FAILED: S1-gap 2)** | 12,345 | 12,000 | 2 | 0 | 0 | 2,346 | never | 42 |"
    )


def test_a_row_of_a_run_without_faults_and_deliveries():
    history = History()
    verdict = check(history, [], {}, acked_share=0)
    assert row("none", verdict, stats(history, []), 1) == (
        "| none | 0 | 0 | 0 | 0 | 0 | none delivered | no fault | 1 |"
    )


def test_a_real_failure_renders_with_its_figures():
    run = Run(4)
    gap(run)
    text = render(run.check(), stats(run.history, run.rows))
    assert "S1-gap" in text
    assert "an entry was passed over" in text


def test_the_table_is_put_between_its_markers(tmp_path: Path):
    page = tmp_path / "guarantees.md"
    page.write_text("before\n<!-- faults:begin -->\nold\n<!-- faults:end -->\nbehind é\n")
    replace_in(page, "faults", table(["| a |"]))
    replace_in(page, "faults", table(["| a |"]))
    assert page.read_text() == (
        f"before\n<!-- faults:begin -->\n{HEADER}\n| a |\n<!-- faults:end -->\nbehind é\n"
    )


@pytest.mark.parametrize(
    "page",
    [
        "",
        "<!-- faults:begin -->",
        "<!-- faults:end --><!-- faults:begin -->",
        "<!-- faults:begin --><!-- faults:end --><!-- faults:begin -->",
    ],
)
def test_a_page_without_its_markers_is_left_alone(page: str):
    with pytest.raises(ValueError, match="faults"):
        replaced(page, "faults", "text")


def test_the_page_of_guarantees_has_a_place_for_every_table():
    page = (Path(__file__).parents[2] / "docs" / "guarantees.md").read_text(encoding="utf-8")
    for name in ("faults", "mutants", "matrix"):
        assert "| a table |" in replaced(page, name, "| a table |")
