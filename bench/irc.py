"""Days of IRC, read from logs: who said what, and when.

Owns: the form of a line, `[HH:MM] <nick> text`. Everything else in a log (joins, `* nick waves`,
notices) is counted and left out. Texts are kept exactly as they are: lines end at a line feed and
nowhere else, as a text may hold any other character that Unicode calls a line break.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

_SPOKEN = re.compile(r"\[(\d\d):(\d\d)\] <([^>]+)>(?: (.*))?", re.DOTALL)
DAY_MINUTES = 24 * 60


class FormatError(Exception):
    """A folder or a file that holds no days; the text says which and why."""


class Line(NamedTuple):
    """Something that was said. `minute` counts from the first midnight, and on past a second."""

    minute: int
    nick: str
    text: str


class Day(NamedTuple):
    """One log. `blank` lines were spoken without a text, `other` lines were not spoken."""

    name: str
    lines: list[Line]
    blank: int
    other: int

    @property
    def nicks(self) -> list[str]:
        """Who spoke, in the order of their first lines."""
        return list(dict.fromkeys(line.nick for line in self.lines))


def parse(name: str, log: str) -> Day:
    """Read one log."""
    lines: list[Line] = []
    blank = other = days = latest = 0
    for raw in log.split("\n"):
        match = _SPOKEN.fullmatch(raw.removesuffix("\r"))
        if match is None:
            other += bool(raw)
            continue
        hours, minutes, nick, text = match.groups(default="")
        clock = int(hours) * 60 + int(minutes)
        if clock < latest - DAY_MINUTES // 2:  # past midnight; a clock set back a little is none
            days += 1
        latest = clock
        if text.strip():
            lines.append(Line(days * DAY_MINUTES + clock, nick, text))
        else:
            blank += 1
    return Day(name, lines, blank, other)


def load(folder: Path) -> list[Day]:
    """Read every `*.txt` of a folder, by name. Raises FormatError."""
    days = []
    for path in sorted(folder.glob("*.txt")):
        try:
            day = parse(path.stem, path.read_bytes().decode())
        except (OSError, UnicodeDecodeError) as error:
            raise FormatError(f"{path} cannot be read: {error}") from error
        if day.lines:
            days.append(day)
    if not days:
        raise FormatError(f"{folder} holds no *.txt with a line like: [09:30] <ann> hello")
    return days


def everybody(days: Iterable[Day]) -> list[str]:
    """Who spoke on any of these days, each once; nicks differ by case too."""
    return list(dict.fromkeys(nick for day in days for nick in day.nicks))
