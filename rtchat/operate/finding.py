"""What a look at one thing found: how it is, where that comes from, and how to mend it. Pure.

Owns: the three levels, and what they make of the exit status. Must never: hold a secret.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from rtchat.settings import PREFIX


class Level(StrEnum):
    """How it is."""

    OK = "ok"
    WARN = "warn"  # it serves, and not as well as it could
    FAIL = "fail"


class Cause(StrEnum):
    """What has to be changed where something fails."""

    SETTING = "setting"
    DEPENDENCY = "dependency"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `rtchat doctor`."""

    check: str
    level: Level
    seen: str
    source: str
    mend: str = ""
    cause: Cause | None = None

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return {
            "check": self.check,
            "level": self.level.value,
            "seen": self.seen,
            "from": self.source,
            "mend": self.mend or None,
            "cause": self.cause and self.cause.value,
        }


def ok(check: str, seen: str, source: str) -> Finding:
    """It is as it should be."""
    return Finding(check, Level.OK, seen, source)


def warn(check: str, seen: str, source: str, mend: str) -> Finding:
    """It will serve; somebody should know of this all the same."""
    return Finding(check, Level.WARN, seen, source, mend)


def wrong(check: str, seen: str, source: str, mend: str) -> Finding:
    """A setting has to be changed."""
    return Finding(check, Level.FAIL, seen, source, mend, Cause.SETTING)


def away(check: str, seen: str, source: str, mend: str) -> Finding:
    """Something that rtchat depends on is not there, or not as it has to be."""
    return Finding(check, Level.FAIL, seen, source, mend, Cause.DEPENDENCY)


def worst(findings: Iterable[Finding]) -> Cause | None:
    """What has to be changed first: a wrong setting, for it may be why the rest fails."""
    causes = {finding.cause for finding in findings}
    return next((cause for cause in Cause if cause in causes), None)


def origin(name: str, sources: Mapping[str, str]) -> str:
    """Where a setting's value came from: its variable, the file that it named, or nowhere."""
    variable, source = f"{PREFIX}{name.upper()}", sources[name]
    if source == variable:
        return variable
    return f"{variable}, not set" if source == "default" else f"{variable}, from {source}"
