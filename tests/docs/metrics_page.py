"""docs/metrics.md: the families of metrics as the code has them."""

from pathlib import Path

from rtchat.api.families import GROUPS, Family
from tests.docs.sections import code, codes, filled, row, table

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"


def document() -> str:
    """The page."""
    return filled(PAGE, {"metrics": metrics})


def metrics() -> str:
    """Each family: its kind, its labels, its words."""
    made = [
        f"## {name}\n\n" + table("metric", "kind", "labels", "meaning") + "".join(map(_row, group))
        for name, group in GROUPS.items()
    ]
    return "\n".join(made)


def _row(family: Family) -> str:
    labels = codes(family.labels) if family.labels else ""
    return row(code(family.name), family.kind, labels, family.help)
