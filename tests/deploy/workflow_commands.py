"""What a workflow's steps run, held against the tree: each command must work outside GitHub too.

Owns: taking commands apart, and what may be wrong with each: a script or module that is not there,
an option that its command line does not know, a file that does not exist, a program that nothing
in the job has installed. Must never: run a command of a workflow.
"""

import importlib
import os
import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).parents[2]
PROJECT: Mapping[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: Mapping[str, list[str]] = PROJECT["optional-dependencies"]

# Programs of the machine that GitHub lends, or of a package that a step before installs.
MACHINE = {
    "apt-get", "cp", "docker", "echo", "gh", "npm", "pip", "python", "python3", "sh", "shellcheck",
    "skopeo", "sysctl",
}  # fmt: skip
# What GitHub and the job give: here only of the right form.
VARIABLES = {
    "GITHUB_RUN_NUMBER": "7", "GITHUB_ENV": "env", "GITHUB_OUTPUT": "output",
    "GITHUB_REF_NAME": "v0.1.0", "GITHUB_REPOSITORY": "owner/rtchat",
    "POSTGRES": "18", "BUS": "redis", "ARCH": "arm64",
    "NAME": "ghcr.io/owner/rtchat", "VERSION": "0.1.0", "MINOR": "0.1",
    "DIGEST": "sha256:0", "AMD64": "sha256:1", "ARM64": "sha256:2", "IMAGE": "rtchat@sha256:0",
    "TITLE": "A title", "BODY": "A text",
}  # fmt: skip
_INSTALL = re.compile(r"(?:-e )?'?\.(?:\[(?P<extras>[\w,]+)\])?'?$")
_FILE = re.compile(r"\.?[\w.-]+(/[\w.*-]+)+/?|\.[\w-]+\.[\w.]+|[\w-]+\.(ya?ml|toml|py|lock)")


def words(command: str) -> list[str]:
    """A command's words as a shell hands them over, without where its output goes."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars="<>|&;")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    found = list(lexer)
    for n, word in enumerate(found):
        if set(word) <= set("<>"):
            found = found[:n]
            break
    while re.match(r"\w+=", found[0]):  # a variable for this command alone
        del found[0]
    return [re.sub(r"\$(\w+)", lambda name: VARIABLES[name[1]], word) for word in found]


def distributions(extras: frozenset[str]) -> set[str]:
    """The names of what an installation with these extras asks for, of other extras too."""
    asked = list(PROJECT["dependencies"])
    waiting, seen = list(extras), set(extras)
    while waiting:
        for one in EXTRAS[waiting.pop()]:
            asked.append(one)
            if ours := re.match(r"rtchat\[([\w,]+)\]", one):
                more = set(ours[1].split(",")) - seen
                seen |= more
                waiting += more
    return {re.split(r"[^\w.-]", one, maxsplit=1)[0].lower() for one in asked}


def programs(name: str) -> set[str]:
    """What a distribution puts on PATH; of one that is not installed here, its own name."""
    try:
        files = distribution(name).files or []
    except PackageNotFoundError:
        return {name}
    return {file.name for file in files if "bin" in file.parts[:-1]}


class Job:
    """One job's commands, in order: what was installed decides what may be called."""

    def __init__(self) -> None:
        self.extras: frozenset[str] | None = None  # none: rtchat is not installed

    def problems(self, command: str) -> list[str]:
        """What is wrong with the next command."""
        first, *rest = words(command)
        if first == "sudo":
            first, *rest = rest
        return [f"{command}: {problem}" for problem in self._problems(first, rest)]

    def _problems(self, first: str, rest: list[str]) -> Iterator[str]:
        yield from _missing_files(first, rest)
        if "/" in first:
            if not os.access(ROOT / first, os.X_OK):
                yield f"{first} cannot be run"
        elif first in ("python", "python3") and rest[0] == "-m":
            yield from _of_module(rest[1], rest[2:])
        elif first == "pip":
            yield from self._install(rest)
        elif first not in MACHINE and not self._installed(first):
            yield f"nothing has installed {first}"

    def _install(self, rest: list[str]) -> Iterator[str]:
        wanted = _INSTALL.fullmatch(" ".join(rest[1:])) if rest[0] == "install" else None
        if wanted is None:
            yield "what is installed is this tree, so that versions stand in one place"
            return
        extras = frozenset((wanted["extras"] or "").split(",")) - {""}
        if unknown := extras - EXTRAS.keys():
            yield f"pyproject.toml has no extra {', '.join(sorted(unknown))}"
        self.extras = extras & EXTRAS.keys()

    def _installed(self, program: str) -> bool:
        if self.extras is None:
            return False
        names = distributions(self.extras)
        return program in PROJECT["scripts"] or any(program in programs(name) for name in names)


def _missing_files(first: str, rest: list[str]) -> Iterator[str]:
    """Files that are named and not there; what the command makes is not looked for."""
    makes = first == "cp"
    for word in rest[:-1] if makes else rest:
        if _FILE.fullmatch(word) and not (ROOT / word).exists() and word not in MADE | NO_FILES:
            yield f"there is no {word}"
    if first == "docker" and rest[0] == "compose" and not (ROOT / "docker-compose.yml").exists():
        yield "there is no docker-compose.yml"


MADE = {"image.tar"}  # by an action, or a command before
NO_FILES = {"linux/amd64", "linux/arm64", VARIABLES["GITHUB_REPOSITORY"]}  # though they look so


def _of_module(name: str, arguments: list[str]) -> Iterator[str]:
    """Whether a module can be run, and its command line knows these options."""
    spec = find_spec(name)
    if spec is not None and spec.submodule_search_locations is not None:
        name = f"{name}.__main__"
        spec = find_spec(name)
    if spec is None:
        yield f"there is no module {name}"
        return
    command = getattr(importlib.import_module(name), "main", None)
    if isinstance(command, click.Command):
        try:
            _parse(command, arguments)
        except click.UsageError as error:
            yield error.format_message()


def _parse(command: click.Command, arguments: list[str]) -> None:
    """Read arguments as the command would, but for whether the files are there."""
    context = click.Context(command)
    if isinstance(command, click.Group):
        _, chosen, rest = command.resolve_command(context, arguments)
        assert chosen is not None
        _parse(chosen, rest)
        return
    given, left, _ = command.make_parser(context).parse_args(list(arguments))
    if left:
        raise click.UsageError(f"too many arguments: {left}")
    for parameter in command.params:
        value = given.get(parameter.name)
        of_a_set = isinstance(parameter.type, click.Choice)
        if isinstance(value, str | list) and (isinstance(parameter, click.Option) or of_a_set):
            parameter.type_cast_value(context, value)
