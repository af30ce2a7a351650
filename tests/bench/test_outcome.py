"""Tables, JSON and thresholds: a threshold that is missed, or that nothing can meet, ends in 99."""

from pathlib import Path
from typing import Any

import click
import orjson
import pytest

from bench.outcome import MISSED, Column, Outcome, Threshold

ROWS: list[dict[str, Any]] = [
    {"in_flight": 1, "per_s": 140_000.0, "p99_ms": 4.0, "ratio": None},
    {"in_flight": 64, "per_s": 3_000_000.0, "p99_ms": 40.0},
]


def outcome() -> Outcome:
    found = Outcome(
        "fanout", "how many", [Column("in_flight", "in flight"), Column("per_s", "deliveries/s")]
    )
    for row in ROWS:
        found.add(dict(row))
    return found


@pytest.mark.parametrize(
    "text",
    [
        "p99_ms<50ms",
        "p99<50ms",
        "p99_ms<0.05s",
        "p99_ms>=4000us",
        "p99_ms <= 40",
        "in_flight=64: per_s > 2.5M",
        "in_flight=1: per_s>=140k",
        "per_s!=0",
    ],
)
def test_a_threshold_that_is_met(text: str) -> None:
    assert Threshold.parse(text).problems(ROWS) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("p99_ms<10ms", "it is 40"),
        ("in_flight=1: per_s > 2.5M", "it is 1.4e+05"),
        ("in_flight=16: per_s > 1", "no row has that"),
        ("p98_ms<50", "no row has that"),
        ("p99<10ms", "p99_ms is 40"),
        ("p99_ms<4500us", "it is 40"),
        ("in_flight=64: p99_ms<0.03s", "it is 40"),
        ("in_flight=1: per_s>1ms", "it is not in ms"),
        ("in_flight=1: p99_ms<50KB", "it is not in KB"),
        ("in_flight=1: ratio>1", "it is not known"),
    ],
)
def test_a_threshold_that_is_missed_says_by_what(text: str, problem: str) -> None:
    (said,) = Threshold.parse(text).problems(ROWS)
    assert said == f"{text}: {problem}"


def test_a_name_stands_for_all_columns_that_end_with_it() -> None:
    row = {"ack_p99_ms": 20.0, "delivery_p99_ms": 60.0, "ack_p999_ms": 90.0}
    assert Threshold.parse("p99<50ms").problems([row]) == ["p99<50ms: delivery_p99_ms is 60"]


@pytest.mark.parametrize("text", ["p99", "p99_ms<fast", "p99_ms<5 parsecs", "", "p99_ms=5"])
def test_what_is_no_threshold_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        Threshold.parse(text)


def test_the_exit_status_tells_of_a_miss(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome().finish(tmp_path / "a.json", [Threshold.parse("p99_ms<50ms")])
    assert "✓ p99_ms<50ms" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        outcome().finish(None, [Threshold.parse("p99_ms<50"), Threshold.parse("p99_ms<10")])
    assert ended.value.code == MISSED
    assert "✗ p99_ms<10" in capsys.readouterr().out


def test_the_figures_are_written_with_what_they_were_seen_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = outcome()
    found.finish(tmp_path / "deep" / "a.json", [])
    written = orjson.loads((tmp_path / "deep" / "a.json").read_bytes())
    assert written["rows"] == ROWS
    assert written["bench"] == "fanout"
    assert written["machine"]["cores"] >= 1
    assert written["versions"]["uvicorn"][0].isdigit()
    assert "   3,000,000" in capsys.readouterr().out


def test_a_load_client_that_was_the_limit_is_told_of() -> None:
    found = outcome()
    found.add({"in_flight": 8, "client_limit": True, "client_cpu": 0.97})
    assert found.notes == [
        "in flight 8: the load client was the limit (97% of its core); the server can do more"
    ]
