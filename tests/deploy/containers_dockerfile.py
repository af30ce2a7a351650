"""The Dockerfile, read into its stages and steps: to be checked, and to be run without Docker.

Owns: the part of the syntax that this Dockerfile uses; anything else is an error, not passed over.
Must never: know what the steps are for.
"""

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

DOCKERFILE = Path(__file__).parents[2] / "Dockerfile"
WORDS = {
    "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL", "RUN",
    "STOPSIGNAL", "USER", "WORKDIR",
}  # fmt: skip
FLAG = re.compile(r"--([a-z-]+)=(\S+)\s+")


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction: its word, its flags, and the rest as it stands there, on one line."""

    word: str
    flags: dict[str, str]
    rest: str

    @property
    def listed(self) -> list[str] | None:
        """The words of an exec form; None: a shell reads it."""
        return [str(word) for word in json.loads(self.rest)] if self.rest.startswith("[") else None

    @property
    def pairs(self) -> dict[str, str]:
        """NAME=value, of ENV, LABEL and ARG."""
        parted = (word.partition("=") for word in shlex.split(self.rest))
        return {name: value for name, _, value in parted}


@dataclass(slots=True)
class Stage:
    """What stands behind one FROM."""

    name: str
    image: str  # that it begins with: another stage's name, or one of a registry
    steps: list[Step] = field(default_factory=list)

    def all(self, word: str) -> list[Step]:
        """Its steps of this word."""
        return [step for step in self.steps if step.word == word]

    def last(self, word: str) -> Step:
        """The one that counts where each replaces the one before."""
        return self.all(word)[-1]


def read(text: str) -> list[Stage]:
    """The stages, in order; the last one is the image."""
    stages: list[Stage] = []
    for line in _logical(text):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            image, _, name = rest.strip().partition(" AS ")
            stages.append(Stage(name or "final", image))
            continue
        assert word in WORDS, f"{word} is not understood here"
        stages[-1].steps.append(_step(word, rest.strip()))
    return stages


def _logical(text: str) -> list[str]:
    """Its lines, continued ones joined, without comments (also those between continued lines)."""
    kept = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return re.sub(r"\\\n\s*", " ", "\n".join(kept)).splitlines()


def _step(word: str, rest: str) -> Step:
    flags: dict[str, str] = {}
    while word in ("COPY", "RUN", "HEALTHCHECK") and (flag := FLAG.match(rest)):
        flags[flag[1]] = flag[2]
        rest = rest[flag.end() :]
    if word == "HEALTHCHECK":
        command, _, rest = rest.partition(" ")
        assert command == "CMD", "the health check runs something"
    return Step(word, flags, rest)


def chain(stages: list[Stage], stage: Stage) -> list[Stage]:
    """A stage with those that it builds on, the first one on an image of a registry."""
    built_on = [other for other in stages if other.name == stage.image]
    return [*chain(stages, built_on[0]), stage] if built_on else [stage]
