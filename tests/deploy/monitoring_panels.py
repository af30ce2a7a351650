"""The words in which the dashboard's table is written: rows of panels, and what each asks.

Owns: the forms; the rows are in `monitoring_rows_store` and `monitoring_rows_edge`, and
`monitoring_board` makes Grafana's JSON of them. Every expression is narrowed to the pods and jobs
that are picked above the board, so none says so itself. `[W]` is the window that Grafana reckons
from the picture's width.
"""

from typing import NamedTuple

S, PER_S, BYTES, SHARE, COUNT = "s", "ops", "bytes", "percentunit", "short"
BYTES_PER_S = "binBps"


class Ask(NamedTuple):
    """One expression, and what its lines are called."""

    expression: str
    legend: str


class Panel(NamedTuple):
    """One picture."""

    title: str
    good: str  # what it shows, and what good looks like
    unit: str
    asks: tuple[Ask, ...]
    kind: str = "timeseries"
    width: int = 8
    stacked: bool = False
    red: float | None = None  # from here on an alert is near


class Row(NamedTuple):
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]
    closed: bool = False


def quantiles(histogram: str, by: str = "") -> tuple[Ask, ...]:
    """The median and the 99th percentile over what is picked, or the latter of each."""
    grouped = f"by (le, {by})" if by else "by (le)"
    rates = f"sum {grouped} (rate({histogram}_bucket[W]))"
    if by:
        return (Ask(f"histogram_quantile(0.99, {rates})", f"{{{{{by}}}}}"),)
    return (
        Ask(f"histogram_quantile(0.5, {rates})", "p50"),
        Ask(f"histogram_quantile(0.99, {rates})", "p99"),
    )


def each(metric: str) -> Ask:
    """A number of each pod."""
    return Ask(f"sum by (instance) ({metric})", "{{instance}}")


def stat(
    title: str, good: str, unit: str, *asks: Ask, width: int = 4, red: float | None = None
) -> Panel:
    """A number, now."""
    return Panel(title, good, unit, asks, kind="stat", width=width, red=red)
