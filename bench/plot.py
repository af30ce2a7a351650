"""Plots as SVG: lines over an axis, and bars. Small, without scripts, readable in light and dark.

Owns: scales, ticks, labels and colours. Must never: draw what it was not given; an axis of a bar
begins at zero, a logarithmic one says so.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 720, 360
LEFT, RIGHT, TOP, BOTTOM = 70, 150, 32, 48  # room for labels; lines are named at their ends
BAR, GAP, LABEL = 20, 10, 230
TICKS_MAX = 9  # values of x that are named each
COLOURS = 6  # classes c0 … c5 of STYLE; more lines than that are too many for one plot
STYLE = """
.plot{--ink:#1d2433;--soft:#5b6475;--grid:#dfe3ea;--c0:#1f6feb;--c1:#c2410c;--c2:#0f766e;
--c3:#7c3aed;--c4:#a16207;--c5:#be185d;font:12px system-ui,sans-serif}
@media (prefers-color-scheme:dark){.plot{--ink:#e6e9ef;--soft:#a3acbd;--grid:#333b4a;--c0:#6ea8ff;
--c1:#fb923c;--c2:#2dd4bf;--c3:#c4a5ff;--c4:#eab308;--c5:#f472b6}}
.plot text{fill:var(--ink)}.plot .soft{fill:var(--soft)}.plot .grid{stroke:var(--grid)}
.plot .c0{stroke:var(--c0);fill:var(--c0)}.plot .c1{stroke:var(--c1);fill:var(--c1)}
.plot .c2{stroke:var(--c2);fill:var(--c2)}.plot .c3{stroke:var(--c3);fill:var(--c3)}
.plot .c4{stroke:var(--c4);fill:var(--c4)}.plot .c5{stroke:var(--c5);fill:var(--c5)}
.plot path{fill:none!important;stroke-width:2}.plot .range{stroke:var(--ink);stroke-width:1.5}
.plot text.c0,.plot text.c1,.plot text.c2,.plot text.c3,.plot text.c4,.plot text.c5{stroke:none}
""".replace("\n", "")


@dataclass(frozen=True, slots=True)
class Line:
    """A named series of points."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Bar:
    """A named value, with the range in which it was seen."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    ours: bool = False


@dataclass(frozen=True, slots=True)
class Axis:
    """What an axis shows."""

    title: str
    log: bool = False


def short(value: float) -> str:
    """A number as people say it: 1.5 M, 20 k, 0.42."""
    for limit, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:.3g}"


class _Scale:
    """Values to places."""

    def __init__(
        self, values: Sequence[float], axis: Axis, start: float, end: float, *, tight: bool = False
    ) -> None:
        positive = [v for v in values if v > 0]
        self._log = axis.log and bool(positive)
        self._start, self._end = start, end
        few = sorted(set(positive))
        self._seen = few if tight and self._log and 1 < len(few) <= TICKS_MAX else []
        if self._seen:
            self._low, self._high = self._seen[0], self._seen[-1]
        elif self._log:
            self._low = 10 ** math.floor(math.log10(min(positive)))
            self._high = 10 ** math.ceil(math.log10(max(positive) * 1.0001))
        else:
            self._low, self._high = 0.0, _nice(max(values, default=1.0) or 1.0)

    def at(self, value: float) -> float:
        if self._log:
            share = math.log(max(value, self._low) / self._low) / math.log(self._high / self._low)
        else:
            share = (value - self._low) / (self._high - self._low)
        return self._start + share * (self._end - self._start)

    def ticks(self) -> list[float]:
        if self._seen:
            return self._seen
        if not self._log:
            return [self._high * n / 5 for n in range(6)]
        decades = round(math.log10(self._high / self._low))
        return [self._low * 10**n for n in range(decades + 1)]


def _nice(value: float) -> float:
    """The next round number above."""
    base: float = 10 ** math.floor(math.log10(value))
    return next(step * base for step in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if step * base >= value)


def line_plot(title: str, lines: Sequence[Line], x: Axis, y: Axis) -> str:
    """Lines with a mark at each point that was measured, named at their ends."""
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    across = _Scale([px for line in lines for px, _ in line.points], x, LEFT, right, tight=True)
    up = _Scale([py for line in lines for _, py in line.points], y, bottom, TOP)
    parts = []
    for value in up.ticks():
        at = up.at(value)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(_text(LEFT - 8, at + 4, short(value), "end", "soft"))
    parts += [
        _text(across.at(value), bottom + 18, short(value), "middle", "soft")
        for value in across.ticks()
    ]
    for n, line in enumerate(lines):
        colour = f"c{n % COLOURS}"
        places = [(across.at(px), up.at(py)) for px, py in line.points]
        path = " ".join(
            f"{'L' if i else 'M'}{px:.1f} {py:.1f}" for i, (px, py) in enumerate(places)
        )
        parts.append(f'<path class="{colour}" d="{path}"/>')
        for (px, py), (vx, vy) in zip(places, line.points, strict=True):
            told = escape(f"{line.name}: {short(vy)} at {short(vx)}")
            mark = (
                f'<circle class="{colour}" cx="{px:.1f}" cy="{py:.1f}" r="3"><title>{told}</title>'
            )
            parts.append(f"{mark}</circle>")
    ends = [(up.at(line.points[-1][1]), n) for n, line in enumerate(lines) if line.points]
    for at, n in _apart(ends):
        parts.append(_text(right + 10, at + 4, lines[n].name, "start", f"c{n % COLOURS}"))
    scale = " (logarithmic)"
    parts.append(
        _text((LEFT + right) / 2, HEIGHT - 8, x.title + (scale if x.log else ""), "middle", "soft")
    )
    parts.append(_text(4, TOP - 16, y.title + (scale if y.log else ""), "start", "soft"))
    return _svg(title, HEIGHT, parts)


def _apart(ends: Sequence[tuple[float, int]]) -> list[tuple[float, int]]:
    """Labels at their places, moved down where they would cover each other."""
    placed: list[tuple[float, int]] = []
    for at, n in sorted(ends):
        placed.append((max(at, placed[-1][0] + 15) if placed else at, n))
    return placed


def bar_plot(title: str, bars: Sequence[Bar], axis: Axis) -> str:
    """Bars from zero, the longest first, with their ranges and values."""
    bars = sorted(bars, key=lambda bar: -bar.value)
    scale = _Scale([bar.high or bar.value for bar in bars], axis, LABEL, WIDTH - 90)
    height = len(bars) * (BAR + GAP) + 44
    parts = []
    for n, bar in enumerate(bars):
        top = n * (BAR + GAP) + 12
        end = scale.at(bar.value)
        told = f"{bar.name}: {short(bar.value)} {axis.title}"
        parts.append(_text(LABEL - 8, top + 14, bar.name, "end", ""))
        parts.append(
            f'<rect class="{"c0" if bar.ours else "c1"}" x="{LABEL}" y="{top}" height="{BAR}"'
            f' width="{max(1.0, end - LABEL):.1f}"><title>{escape(told)}</title></rect>'
        )
        if bar.low is not None and bar.high is not None:
            low, high = scale.at(bar.low), scale.at(bar.high)
            middle = top + BAR / 2
            parts.append(
                f'<line class="range" x1="{low:.1f}" x2="{high:.1f}" y1="{middle}" y2="{middle}"/>'
            )
            end = max(end, high)
        parts.append(_text(end + 8, top + 14, short(bar.value), "start", "soft"))
    scale_told = " (logarithmic)" if axis.log else ""
    parts.append(_text(LABEL, height - 8, axis.title + scale_told, "start", "soft"))
    return _svg(title, height, parts)


def _text(x: float, y: float, text: str, anchor: str, kind: str) -> str:
    marked = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{marked}>{escape(text)}</text>'


def _svg(title: str, height: int, parts: Sequence[str]) -> str:
    told = escape(title)
    return (
        f'<svg class="plot" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
        f' role="img" aria-label="{told}"><title>{told}</title><style>{STYLE}</style>'
        + "".join(parts)
        + "</svg>"
    )
