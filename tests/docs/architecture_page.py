"""docs/architecture.md: its table of layers is that of the import rules."""

import tomllib
from pathlib import Path

from tests.docs.sections import code, filled, row, table

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "architecture.md"


def document() -> str:
    """The page."""
    return filled(PAGE, {"layers": layers})


def layers() -> str:
    """The layers from top to bottom, each with the first words of its modules."""
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    [found] = [rule["layers"] for rule in rules["contracts"] if rule["id"] == "layers"]
    made = table("from top to bottom", "what they are")
    for layer in found:
        names = [name.strip() for name in layer.split("|")]
        made += row(", ".join(map(code, names)), " ".join(map(_words, names)))
    return made


def _words(name: str) -> str:
    """The first sentence of what a module says of itself."""
    base = ROOT / "rtchat" / name
    path = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
    first = path.read_text().removeprefix('"""').partition("\n\n")[0].partition('"""')[0]
    return " ".join(first.split()).partition(". ")[0].rstrip(".") + "."
