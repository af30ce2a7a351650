"""`rtchat stat`: what people and programs see of each look. Pure.

Owns: the table for a terminal, the line for a log, and the record for programs. Must never: show
what was not seen as 0.
"""

import json
from collections.abc import Sequence
from enum import Enum
from typing import Any

from rtchat.operate.stat import Delta, Row, row, total

# Each pod's name, with what it did since the look before; why there is no answer; or None, where
# there was no look before.
Looks = Sequence[tuple[str, Delta | str | None]]

HEADS = {
    "connections": "conn",
    "live": "live",
    "catching_up": "catchup",
    "sends": "sends/s",
    "acks": "acks/s",
    "ack_p50_ms": "p50 ms",
    "ack_p99_ms": "p99 ms",
    "deliveries": "deliv/s",
    "queue_rows": "queue",
    "lag_p99_ms": "lag ms",
    "errors": "err/s",
    "bus": "bus",
}
assert tuple(HEADS) == Row._fields
WIDTH = 6
FIRST = "seen for the first time"


HOME, TO_END_OF_LINE, TO_END = "\x1b[H", "\x1b[K", "\x1b[J"
CLEAR = "\x1b[2J"


class Style(Enum):
    """Who looks at it."""

    SCREEN = 1  # a table in the place of the one before
    TABLE = 2
    LINE = 3
    JSON = 4


def shown(looks: Looks, style: Style, moment: float, clock: str) -> str:
    """What one look is printed as; `moment`: seconds since 1970, `clock`: the same for people."""
    if style is Style.JSON:
        return json.dumps({"time": round(moment, 3), **record(looks)})
    if style is Style.LINE:
        return f"{clock}  {line(looks)}"
    if style is Style.TABLE:
        return "\n".join(table(looks))
    return HOME + "\n".join(f"{one}{TO_END_OF_LINE}" for one in table(looks)) + TO_END


def answered(looks: Looks) -> list[Delta]:
    """What can be shown in numbers."""
    return [seen for _, seen in looks if isinstance(seen, Delta)]


def table(looks: Looks) -> list[str]:
    """A line a pod, or why it has none; and one for all where there are several."""
    rows: list[tuple[str, Row | str]] = [
        (pod, row(seen) if isinstance(seen, Delta) else seen or FIRST) for pod, seen in looks
    ]
    there = answered(looks)
    if len(there) > 1:
        rows.append((f"all {len(there)}", row(total(there))))
    first = max(len("pod"), *(len(pod) for pod, _ in rows))
    widths = [max(len(head), WIDTH) for head in HEADS.values()]
    lines = [_line("pod".ljust(first), list(HEADS.values()), widths)]
    for pod, shown in rows:
        told = isinstance(shown, str)
        fields = [] if isinstance(shown, str) else cells(shown)
        lines.append(_line(pod.ljust(first), fields, widths) + (f"  {shown}" if told else ""))
    return lines


def _line(first: str, fields: list[str], widths: list[int]) -> str:
    return "  ".join([first, *(f.rjust(w) for f, w in zip(fields, widths, strict=False))])


def line(looks: Looks) -> str:
    """All pods together, for a log."""
    there = answered(looks)
    if not there:
        return f"0 of {len(looks)} pods answer"
    fields = zip(HEADS.values(), cells(row(total(there))), strict=True)
    return f"{len(there)} of {len(looks)} pods  " + "  ".join(f"{h} {cell}" for h, cell in fields)


def record(looks: Looks) -> dict[str, Any]:
    """Everything, for programs; null: not seen."""
    pods = [
        {"pod": pod, **row(seen)._asdict()}
        if isinstance(seen, Delta)
        else {"pod": pod, "error": seen or FIRST}
        for pod, seen in looks
    ]
    there = answered(looks)
    return {"pods": pods, "all": row(total(there))._asdict() if there else None}


def cells(shown: Row) -> list[str]:
    """A row's fields as people read them."""
    return [_cell(name, value) for name, value in shown._asdict().items()]


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    if name == "bus":
        return "up" if value else "down"
    if name.endswith("_ms"):
        return f"{value:.1f}"
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"
