"""A verdict and its figures for people: for the terminal, and as tables in the guarantees' page.

Owns: wording and layout. A run that failed says so in its row: a table must never look better than
what it tells of.
"""

import bisect
from collections.abc import Sequence
from pathlib import Path

from tests.faults.stats import MS, Spread, Stats
from tests.faults.verdict import KINDS, Anomaly, Mark, Verdict

SHOWN = 12
NEAR_S = 10  # marks within that many seconds of an anomaly are told with it
HEADER = (
    "| fault | sent | acked | lost | doubled | reordered"
    " | worst delivery delay ms | time to recover ms | seed |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def render(verdict: Verdict, stats: Stats | None = None) -> str:
    """Tell the outcome of a run."""
    counts = ", ".join(f"{name} {number:,}" for name, number in verdict.counts.items())
    lines = [f"counts     {counts}"]
    if stats is not None:
        lines += _figures(stats)
    if verdict.ok:
        return "\n".join(
            [*lines, "verdict    every promise was kept: lost 0, doubled 0, reordered 0"]
        )
    number = sum(verdict.totals.values())
    lines.append(
        f"verdict    FAILED: {number:,} anomalies; lost {verdict.lost:,},"
        f" doubled {verdict.doubled:,}, reordered {verdict.reordered:,}"
    )
    for kind, total in sorted(verdict.totals.items()):
        lines.append(f"  {kind:<13}{total:>9,}  {KINDS[kind][1]}")
    for anomaly in verdict.anomalies[:SHOWN]:
        lines += describe(anomaly, verdict)
    if len(verdict.anomalies) > SHOWN:
        lines.append(f"… and {len(verdict.anomalies) - SHOWN} more that were kept")
    return "\n".join(lines)


def describe(anomaly: Anomaly, verdict: Verdict) -> list[str]:
    """Tell of one anomaly: where, what, and which faults were near."""
    places = {
        "channel": anomaly.channel,
        "seq": anomaly.seq,
        "client": anomaly.client,
        "session": anomaly.session,
    }
    where = ", ".join(f"{name} {number}" for name, number in places.items() if number >= 0)
    lines = [
        f"{anomaly.kind}: {where or 'the run'}",
        f"    expected {anomaly.expected}; found {anomaly.found}",
    ]
    if anomaly.at is not None:
        near = "; ".join(around(anomaly.at, verdict.marks))
        at = f"    at {_seconds(anomaly.at - verdict.began)} of the run"
        lines.append(f"{at}; {near}" if near else at)
    return lines


def around(at: int, marks: Sequence[Mark]) -> list[str]:
    """Tell the last two marks before a moment and the next one, if they are near."""
    place = bisect.bisect_right([mark.at for mark in marks], at)
    before = [
        f"{_seconds(at - mark.at)} after “{mark.text}”"
        for mark in marks[max(0, place - 2) : place]
        if at - mark.at <= NEAR_S * 1000 * MS
    ]
    after = [
        f"{_seconds(mark.at - at)} before “{mark.text}”"
        for mark in marks[place : place + 1]
        if mark.at - at <= NEAR_S * 1000 * MS
    ]
    return before + after


def _seconds(nanoseconds: float) -> str:
    return f"{nanoseconds / MS / 1000:.3f} s"


def _figures(stats: Stats) -> list[str]:
    lines = [f"ack        {_spreads(stats.ack)}", f"delivery   {_spreads(stats.delivery)}"]
    for window in stats.windows:
        recovery = _recovery(window.recovery_ms)
        lines.append(
            f"fault      {window.name}: recovered in {recovery} ms;"
            f" ack {_spread(window.ack)}; delivery {_spread(window.delivery)}"
        )
    return lines


def _spreads(spreads: dict[str, Spread]) -> str:
    return "\n           ".join(f"{name}: {_spread(spread)}" for name, spread in spreads.items())


def _spread(spread: Spread) -> str:
    if spread.n == 0:
        return "none"
    return (
        f"p50 {spread.p50:,.1f}, p99 {spread.p99:,.1f}, worst {spread.worst:,.1f} ms ({spread.n:,})"
    )


def _recovery(ms: float | None) -> str:
    return "never" if ms is None else f"{ms:,.0f}"


def row(fault: str, verdict: Verdict, stats: Stats, seed: int | str) -> str:
    """Make a run's row of the fault table."""
    if not verdict.ok:
        kinds = ", ".join(f"{kind} {number}" for kind, number in sorted(verdict.totals.items()))
        fault = f"{fault} **(FAILED: {kinds})**"
    cells = [
        fault.replace("|", "\\|"),
        f"{verdict.counts['sent']:,}",
        f"{verdict.counts['acked']:,}",
        f"{verdict.lost:,}",
        f"{verdict.doubled:,}",
        f"{verdict.reordered:,}",
        f"{stats.delivery['all'].worst:,.0f}" if stats.delivery["all"].n else "none delivered",
        _recovery(stats.recovery_ms) if stats.windows else "no fault",
        str(seed),
    ]
    return f"| {' | '.join(cells)} |"


def table(rows: Sequence[str]) -> str:
    """Make the fault table of its rows."""
    return "\n".join([HEADER, *rows])


def replaced(document: str, name: str, text: str) -> str:
    """Put `text` between the markers `<!-- NAME:begin -->` and `<!-- NAME:end -->`.

    Raises ValueError if each does not stand there once, in that order.
    """
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    if document.count(begin) != 1 or document.count(end) != 1:
        raise ValueError(f"the document must hold {begin} and {end} once each")
    before, _, rest = document.partition(begin)
    if end not in rest:
        raise ValueError(f"{end} comes before {begin}")
    after = rest.partition(end)[2]
    return f"{before}{begin}\n{text.strip()}\n{end}{after}"


def replace_in(path: Path, name: str, text: str) -> None:
    """Put `text` between the markers `name` of a file."""
    path.write_text(replaced(path.read_text(encoding="utf-8"), name, text), encoding="utf-8")
