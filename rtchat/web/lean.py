"""Scripts and style sheets as they go out: without comments, and without blanks that say nothing.

Owns: what a page weighs before compression, two fifths less so. rjsmin and rcssmin do it; here
private names (`#name`), which nothing outside of their file can know, become short besides, and
commas behind the last of several go. Must never: change a statement. What is done here knows
nothing of strings; tests/web holds the syntax tree of each of our modules to what it was. Pure;
done once for each asset.
"""

import re

import rcssmin
import rjsmin

_PRIVATE = re.compile(r"(?<=[.\s])#[a-zA-Z]\w*")
_USED = re.compile(r"(?<=\.)#[a-zA-Z]\w*")
_LAST_COMMA = re.compile(r",(?=[)\]}])")
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def script(source: str) -> str:
    """A module that does the same."""
    used = dict.fromkeys(_USED.findall(source))
    short = {name: f"#{_letter(number)}" for number, name in enumerate(used)}
    renamed = _PRIVATE.sub(lambda name: short.get(name[0], name[0]), source)
    return _LAST_COMMA.sub("", rjsmin.jsmin(renamed)) + "\n"


def style(source: str) -> str:
    """A style sheet that says the same."""
    return f"{rcssmin.cssmin(source)}\n"


def _letter(number: int) -> str:
    rest, at = divmod(number, len(_LETTERS))
    return (_letter(rest - 1) if rest else "") + _LETTERS[at]
