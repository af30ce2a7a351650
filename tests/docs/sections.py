"""Pages that are half written by hand: what stands between two marks is made from the code.

Owns: the marks, `<!-- generated: NAME -->` and `<!-- end -->`, each in a line of its own. Must
never: touch what stands outside of them.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

_SECTION = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- end -->\n)", re.DOTALL)


def filled(page: Path, makers: Mapping[str, Callable[[], str]]) -> str:
    """The page with each of its sections made anew. Each maker has one section, and each section
    a maker."""
    text = page.read_text()
    names = [found[2] for found in _SECTION.finditer(text)]
    assert sorted(names) == sorted(makers), f"{page.name} has the sections {names}"
    assert text.count("<!-- generated: ") == text.count("<!-- end -->") == len(names), page.name

    def fill(found: re.Match[str]) -> str:
        return f"{found[1]}\n{makers[found[2]]().strip()}\n\n{found[3]}"

    return _SECTION.sub(fill, text)


def row(*cells: str) -> str:
    """A line of a table."""
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def table(*heads: str) -> str:
    """The head of a table."""
    return row(*heads) + "|" + "---|" * len(heads) + "\n"


def code(value: object) -> str:
    """A word of the interface, as it is written there."""
    return f"`{value}`"


def codes(values: object) -> str:
    """Several of them."""
    assert isinstance(values, list | tuple)
    return ", ".join(map(code, values))
