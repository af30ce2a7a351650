"""The report: one page and one document, made of the figures in the files and of nothing else."""

import re
from pathlib import Path
from xml.etree import ElementTree

import click
import orjson
import pytest
from click.testing import CliRunner
from hdrh.histogram import HdrHistogram

from bench import report
from bench.__main__ import COMMANDS, main
from bench.all import RUNS
from bench.fanout import COLUMNS
from bench.latency import COLUMNS as LATENCY_COLUMNS
from bench.outcome import Outcome
from bench.plot import Axis, Bar, Line, bar_plot, line_plot, short


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    fanout = Outcome("fanout", "deliveries <a second>", COLUMNS)
    for members in (10, 500):
        for in_flight in (1, 64):
            fanout.add(
                {
                    "members": members,
                    "in_flight": in_flight,
                    "delivered_per_s": members * 123.0 * in_flight,
                }
            )
    fanout.notes.append("seen & noted")
    histogram = HdrHistogram(1, 60_000_000, 3)
    for n in range(1, 2000):
        histogram.record_value(n)
    latency = Outcome("latency", "milliseconds", LATENCY_COLUMNS)
    encoded = histogram.encode().decode()
    latency.add({"wanted_per_second": 100.0, "ack_p99_ms": 1.98, "ack_hdr": encoded})
    for outcome in (fanout, latency):
        path = tmp_path / f"{outcome.name}.json"
        path.write_bytes(orjson.dumps(outcome.as_json()))
    (tmp_path / "other.json").write_text('{"rows": 1}')
    return tmp_path


def test_the_page_has_every_figure_and_loads_nothing(directory: Path) -> None:
    done = CliRunner().invoke(report.main, [str(directory)])
    assert done.exit_code == 0, done.output
    page = (directory / "report.html").read_text()
    assert all(figure in page for figure in ("3,936,000", "1,230", "1.98", "seen &amp; noted"))
    assert "deliveries &lt;a second&gt;" in page
    assert page.count("<svg") == 2
    assert "prefers-color-scheme:dark" in page
    outside = re.sub(r'xmlns="[^"]*"', "", page)
    assert not re.search(r"https?://|<script|@import|url\(", outside)


def test_the_document_keeps_what_was_written_by_hand(directory: Path, tmp_path: Path) -> None:
    path = tmp_path / "benchmarks.md"
    path.write_text(f"# By hand\n{report.BEGIN}\nold\n{report.END}\nand below\n")
    found = report.read(directory)
    report.write_docs(found, path)
    first = path.read_text()
    report.write_docs(found, path)
    assert path.read_text() == first
    assert first.startswith("# By hand\n")
    assert first.endswith("\nand below\n")
    assert "old" not in first
    assert "| 500 | 64 | 3,936,000 |" in first
    for name in re.findall(r"\]\(([^)]*\.svg)\)", first):
        ElementTree.parse(tmp_path / name)


def test_a_document_without_a_place_for_figures_is_left_alone(
    directory: Path, tmp_path: Path
) -> None:
    path = tmp_path / "benchmarks.md"
    path.write_text("# By hand\n")
    with pytest.raises(click.ClickException, match="no place"):
        report.write_docs(report.read(directory), path)
    assert path.read_text() == "# By hand\n"


def test_a_directory_without_outcomes_is_an_error(tmp_path: Path) -> None:
    done = CliRunner().invoke(report.main, [str(tmp_path)])
    assert done.exit_code == 1
    assert "no outcome" in done.output


def test_lines_are_drawn_where_their_values_are() -> None:
    lines = [Line("a", [(1, 10), (10, 1000)]), Line("b", [(10, 10)])]
    svg = ElementTree.fromstring(line_plot("t", lines, Axis("x", log=True), Axis("y", log=True)))
    circles = [e for e in svg.iter() if e.tag.endswith("circle")]
    x, y = ([float(c.attrib[k]) for c in circles] for k in ("cx", "cy"))
    assert x[0] < x[1] == x[2]
    assert y[1] < y[0] == y[2]
    assert [e.text for e in svg.iter() if e.text in ("a", "b")] == ["b", "a"][::-1]


def test_bars_begin_at_zero_and_are_as_long_as_their_values() -> None:
    svg = ElementTree.fromstring(
        bar_plot("t", [Bar("b", 50.0), Bar("a", 100.0, 90.0, 110.0, ours=True)], Axis("1/s"))
    )
    widths = [float(e.attrib["width"]) for e in svg.iter() if e.tag.endswith("rect")]
    assert widths[0] == pytest.approx(2 * widths[1], rel=0.01)


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.418, "0.418"), (999, "999"), (20_400, "20.4 k"), (3e6, "3 M")]
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert short(value) == text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_bench_explains_itself(name: str) -> None:
    done = CliRunner().invoke(main, [name, "--help"])
    assert done.exit_code == 0, done.output
    assert "Usage:" in done.output


def test_all_runs_commands_that_there_are() -> None:
    assert {command.split()[0] for command in RUNS.values()} <= COMMANDS.keys()
