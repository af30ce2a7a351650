"""What every bench ends with: a table, JSON beside it, and thresholds that set the exit status.

Owns: how figures are shown, written and judged; `bench_options` gives each command the options for
it. Exit status: 0 all is well; 99 a threshold was missed; 1 the bench could not be done; 2 the
command line is wrong.
"""

import contextlib
import operator
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import click
import orjson

from bench import machine
from bench.load.process import LoadFailedError
from rtchat.server.launch import LaunchError
from tests.pods import PodError

MISSED = 99
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
    "<": operator.lt, ">": operator.gt,
}  # fmt: skip
# By what a number is multiplied; times and sizes, besides, by what their column is kept in.
_UNITS = {"": 1.0, "%": 0.01, "k": 1e3, "M": 1e6, "x": 1.0}
_MEASURES = {"us": ("time", 1.0), "µs": ("time", 1.0), "ms": ("time", 1e3), "s": ("time", 1e6),
             "KB": ("size", 1.0), "MB": ("size", 1024.0)}  # fmt: skip
_KEPT_IN = {"us": "us", "ms": "ms", "kb": "KB", "mb": "MB"}  # words of a column's key
_THRESHOLD = re.compile(
    r"^\s*(?:(?P<where>[^:]*):)?\s*(?P<what>\w+)\s*(?P<how><=|>=|==|!=|<|>)\s*"
    r"(?P<number>-?[0-9.]+)\s*(?P<unit>\D*)$"
)
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table: a row's key, its title, and how its values look."""

    key: str
    title: str
    form: str = "{:,.0f}"

    def cell(self, row: dict[str, Any]) -> str:
        """A row's value, as text."""
        value = row.get(self.key)
        if value is None:
            return ""
        return value if isinstance(value, str) else self.form.format(value)


@dataclass(slots=True)
class Threshold:
    """`p99<50ms`, or of some rows only: `in_flight=64: delivered_per_s > 2.5M`.

    A column goes by its key, or by the end of it without its unit: `p99` is ack_p99_ms as well as
    delivery_p99_ms. A unit is that of the number, whatever the column is kept in.
    """

    text: str
    where: dict[str, str]
    what: str
    how: str
    number: float
    unit: str = ""

    @classmethod
    def parse(cls, text: str) -> "Threshold":
        """Read one. Raises click.BadParameter."""
        match = _THRESHOLD.match(text)
        unit = match["unit"].strip() if match else ""
        if match is None or unit not in {*_UNITS, *_MEASURES}:
            raise click.BadParameter(f"{text!r} is not like 'p99<50ms'")
        where = dict(
            part.strip().split("=", 1) for part in (match["where"] or "").split(",") if "=" in part
        )
        number = float(match["number"]) * _UNITS.get(unit, 1.0)
        return cls(text, where, match["what"], match["how"], number, unit)

    def problems(self, rows: Sequence[dict[str, Any]]) -> list[str]:
        """Which rows miss it; a threshold that no row can meet or miss is missed."""
        mine = [row for row in rows if all(str(row.get(k)) == v for k, v in self.where.items())]
        found = [(key, row[key]) for row in mine for key in self._keys(row)]
        if not found:
            return [f"{self.text}: no row has that"]
        told = (self._problem(key, value) for key, value in found)
        return [f"{self.text}: {problem}" for problem in told if problem]

    def _keys(self, row: dict[str, Any]) -> list[str]:
        if self.what in row:
            return [self.what]
        ends = tuple(f"_{self.what}_{word}" for word in _KEPT_IN)
        return [key for key in row if f"_{key}".endswith(ends)]

    def _problem(self, key: str, value: Any) -> str | None:
        name = "it" if key == self.what else key
        number = self.number
        if self.unit in _MEASURES:
            kept_in = next((_KEPT_IN[word] for word in key.split("_") if word in _KEPT_IN), "")
            kind, size = _MEASURES[self.unit]
            if kept_in not in _MEASURES or _MEASURES[kept_in][0] != kind:
                return f"{name} is not in {self.unit}"
            number *= size / _MEASURES[kept_in][1]
        if not isinstance(value, int | float):
            return f"{name} is not known"
        return None if _COMPARE[self.how](value, number) else f"{name} is {value:,.4g}"


@dataclass(slots=True)
class Outcome:
    """The rows that a bench found."""

    name: str
    question: str
    columns: Sequence[Column]
    rows: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=machine.about)

    def add(self, row: dict[str, Any]) -> None:
        """Take one row in."""
        self.rows.append(row)
        if row.get("client_limit"):
            self.notes.append(
                f"{_named(row, self.columns)}: the load client was the limit"
                f" ({row['client_cpu']:.0%} of its core); the server can do more"
            )

    def table(self) -> list[str]:
        """The rows as lines."""
        cells = [[column.cell(row) for column in self.columns] for row in self.rows]
        widths = [
            max(len(column.title), *(len(line[n]) for line in cells), 0)
            for n, column in enumerate(self.columns)
        ]
        lines = ["  ".join(c.title.rjust(w) for c, w in zip(self.columns, widths, strict=True))]
        lines += [
            "  ".join(c.rjust(w) for c, w in zip(line, widths, strict=True)) for line in cells
        ]
        return lines

    def as_json(self) -> dict[str, Any]:
        """Everything, by name."""
        return {
            "bench": self.name,
            "question": self.question,
            **self.about,
            "columns": [[c.key, c.title, c.form] for c in self.columns],
            "rows": self.rows,
            "notes": self.notes,
        }

    def finish(self, json_path: Path | None, thresholds: Sequence[Threshold]) -> None:
        """Print, write and judge; ends the process where a threshold is missed."""
        print(f"\n{self.name}: {self.question}")
        print("\n".join(self.table()))
        for note in self.notes:
            print(f"note: {note}")
        if json_path is not None:
            json_path.parent.mkdir(parents=True, exist_ok=True)
            json_path.write_bytes(orjson.dumps(self.as_json(), option=orjson.OPT_INDENT_2) + b"\n")
            print(f"written: {json_path}")
        judge(self.rows, thresholds)


def judge(rows: Sequence[dict[str, Any]], thresholds: Sequence[Threshold]) -> None:
    """Tell what became of each threshold; ends the process where one is missed."""
    missed = False
    for threshold in thresholds:
        problems = threshold.problems(rows)
        print(f"{'✗' if problems else '✓'} {threshold.text}")
        for problem in problems:
            print(f"    {problem}")
        missed |= bool(problems)
    if missed:
        sys.exit(MISSED)


def _named(row: dict[str, Any], columns: Sequence[Column]) -> str:
    return ", ".join(f"{c.title} {c.cell(row)}" for c in columns[:3] if row.get(c.key) is not None)


def _thresholds(_: click.Context, __: click.Parameter, texts: Sequence[str]) -> list[Threshold]:
    return [Threshold.parse(text) for text in texts]


def bench_options(command: F) -> F:
    """Give a command `--json FILE` and `--assert THRESHOLD`."""
    command = click.option(
        "--assert",
        "thresholds",
        multiple=True,
        callback=_thresholds,
        help="A threshold, like 'p99<50ms' or 'in_flight=64: delivered_per_s>2.5M'; may be"
        f" given again. Where one is missed the exit status is {MISSED}.",
    )(command)
    return click.option(
        "--json", "json_path", type=click.Path(dir_okay=False, path_type=Path),
        help="Write all figures to this file.",
    )(command)  # fmt: skip


@contextlib.contextmanager
def failures_told() -> Iterator[None]:
    """Let what cannot be measured end in one line and status 1, instead of a traceback."""
    try:
        yield
    except (LoadFailedError, LaunchError, PodError) as error:
        print(f"the bench could not be done: {error}", file=sys.stderr)
        sys.exit(1)


def say(text: str) -> None:
    """A line of progress."""
    print(f"  {time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)
