"""What a terminal may be shown of texts from outside: names, answers, errors. Pure.

Owns: which characters go through. Must never: let one through that a terminal obeys, that hides
others, or that ends a line.
"""

import unicodedata

# What shows nothing, moves or hides other text (names._hides), or ends a line.
_UNSHOWN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def printable(text: str) -> str:
    """`text` on one line, with nothing in it that a terminal would obey. Joined emoji stay."""
    if text.isprintable():
        return text
    return "".join(
        c if c == "\u200d" or unicodedata.category(c) not in _UNSHOWN else _escaped(c) for c in text
    )


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
