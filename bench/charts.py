"""Which plots each bench's outcome is shown with."""

from collections.abc import Callable
from typing import Any

from hdrh.histogram import HdrHistogram

from bench.plot import Axis, Bar, Line, bar_plot, line_plot

Found = dict[str, Any]
Charts = list[tuple[str, str]]


def _by(rows: list[Found], name: str, x: str, y: str) -> list[Line]:
    """A line for each value of `name`, over x."""
    groups: dict[Any, list[tuple[float, float]]] = {}
    for row in rows:
        if row.get(x) is not None and row.get(y) is not None:
            groups.setdefault(row.get(name), []).append((row[x], row[y]))
    return [Line(str(key), sorted(points)) for key, points in groups.items()]


def _fanout(found: Found) -> Charts:
    title = "Deliveries a second against the size of the room"
    lines = [
        Line(f"{line.name} in flight", line.points)
        for line in _by(found["rows"], "in_flight", "members", "delivered_per_s")
    ]
    x, y = Axis("members of the room", log=True), Axis("deliveries a second", log=True)
    return [(title, line_plot(title, lines, x, y))]


def _latency(found: Found) -> Charts:
    title = "Latency by percentile, from when a message is due"
    lines = []
    for row in found["rows"]:
        for what in ("ack", "delivery"):
            encoded = row.get(f"{what}_hdr")
            if encoded:
                rate = f"{row['wanted_per_second']:,.0f}/s"
                lines.append(Line(f"{what}, {rate}", _percentiles(encoded)))
    x, y = Axis("1 / (1 - percentile): 10 is p90, 1 k is p99.9", log=True), Axis("ms")
    return [(title, line_plot(title, lines[:6], x, y))]


def _percentiles(encoded: str) -> list[tuple[float, float]]:
    histogram = HdrHistogram.decode(encoded)
    points = []
    for nines in (1, 2, 4, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000):
        if nines <= histogram.get_total_count():
            value = histogram.get_value_at_percentile(100 * (1 - 1 / nines))
            points.append((float(nines), max(value, 1) / 1000))
    return points


def _ingest(found: Found) -> Charts:
    charts = []
    for by, over, told in (
        ("channels", "in_flight", "messages in flight of each sender"),
        ("in_flight", "channels", "channels"),
    ):
        lines = _by(found["rows"], by, over, "acked_per_s")
        if any(len(line.points) > 1 for line in lines):
            title = f"Stored and acked a second against {told}"
            named = [Line(f"{line.name} {by.replace('_', ' ')}", line.points) for line in lines]
            x, y = Axis(told, log=True), Axis("acked a second")
            charts.append((title, line_plot(title, named, x, y)))
    return charts


def _profile(found: Found) -> Charts:
    charts = []
    for work in dict.fromkeys(row["work"] for row in found["rows"]):
        bars = [Bar(r["slice"], r["share"] * 100) for r in found["rows"] if r["work"] == work]
        title = f"Where the time goes: {work}"
        charts.append((title, bar_plot(title, bars, Axis("% of the samples"))))
    return charts


def _compare(found: Found) -> Charts:
    charts = []
    for work in dict.fromkeys(row["work"] for row in found["rows"]):
        bars = [
            Bar(row["server"], row["per_s"], row["low"], row["high"], row["server"] == "rtchat")
            for row in found["rows"]
            if row["work"] == work
        ]
        title, axis = f"{work}: rtchat and others, median and range", Axis("a second")
        charts.append((title, bar_plot(title, bars, axis)))
    return charts


def _idle(found: Found) -> Charts:
    title = "Memory against connections, authenticated and subscribed"
    lines = [
        Line(f"{line.name} channels each", line.points)
        for line in _by(found["rows"], "subs", "connections", "rss_mb")
    ]
    x, y = Axis("connections", log=True), Axis("RSS of the server, MB")
    return [(title, line_plot(title, lines, x, y))]


def _writer(found: Found) -> Charts:
    title = "Rows a second into the log against the size of a batch"
    lines = _by(found["rows"], "variant", "batch", "rows_per_s")
    return [(title, line_plot(title, lines, Axis("rows a batch", log=True), Axis("rows a second")))]


def _scale(found: Found) -> Charts:
    def part(name: str) -> list[Found]:
        return [row for row in found["rows"] if row.get("part") == name]

    def drawn(name: str, title: str, x: str, told: str, y: str, unit: str) -> Charts:
        lines = [
            Line(f"{line.name} in flight" if line.name != "None" else "one server", line.points)
            for line in _by(part(name), "in_flight", x, y)
        ]
        return [(title, line_plot(title, lines, Axis(told, log=True), Axis(unit)))] if lines else []

    return [
        *drawn(
            "room", "The cost of a delivery against the size of the room",
            "members", "members of the room", "us_per_delivery", "server µs a delivery",
        ),
        *drawn(
            "channels", "The cost of a message against the number of channels",
            "channels", "channels", "us_per_message", "server µs a message",
        ),
        *drawn(
            "pods", "The cost of a message on all pods together",
            "pods", "pods", "us_per_message", "server µs a message",
        ),
    ]  # fmt: skip


CHARTS: dict[str, Callable[[Found], Charts]] = {
    "compare": _compare,
    "fanout": _fanout,
    "ingest": _ingest,
    "idle": _idle,
    "latency": _latency,
    "profile": _profile,
    "scale": _scale,
    "writer": _writer,
}
