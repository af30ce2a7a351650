"""The other files that say how rtchat is run: the Dockerfile, compose, nginx, Prometheus.

Owns: reading them, so far as numbers are compared; whether each is good is tested beside it. A file
that is missing is an error here: nothing agrees with what is not there.
"""

import re
from pathlib import Path
from typing import Any, NamedTuple

from tests.deploy.cluster_files import ROOT, Object, documents

DOCKERFILE = ROOT / "Dockerfile"
COMPOSE = ROOT / "docker-compose.yml"
EXAMPLE = ROOT / ".env.example"
NGINX = ROOT / "docs" / "deploy" / "nginx"
# ${NAME}, ${NAME:-default}, ${NAME:?text}; $$ is a dollar.
SUBSTITUTED = re.compile(r"\$(?:(\$)|\{(?P<name>\w+)(?::?(?P<how>[-?+])(?P<word>[^}]*))?\})")
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Image(NamedTuple):
    """What the Dockerfile says of its last stage."""

    variables: dict[str, str]
    ports: set[int]
    user: str
    entrypoint: list[str]
    command: list[str]
    health: str
    stop_signal: str


def instructions(text: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile's last stage, lines joined and comments left out."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    found = [line.strip().partition(" ") for line in joined.splitlines() if line.strip()]
    last = max(at for at, (word, _, _) in enumerate(found) if word == "FROM")
    return [(word, rest.strip()) for word, _, rest in found[last:]]


def image(text: str | None = None) -> Image:
    """The image that the Dockerfile makes."""
    said: dict[str, list[str]] = {}
    for word, rest in instructions(DOCKERFILE.read_text() if text is None else text):
        said.setdefault(word, []).append(rest)
    variables = re.findall(r'(\w+)=(?:"([^"]*)"|(\S+))', " ".join(said.get("ENV", ())))
    return Image(
        variables={name: quoted or plain for name, quoted, plain in variables},
        ports={int(port) for port in " ".join(said.get("EXPOSE", ())).split()},
        user=said["USER"][-1],
        entrypoint=_words(said["ENTRYPOINT"][-1]),
        command=_words(said["CMD"][-1]),
        health=said["HEALTHCHECK"][-1],
        stop_signal=said.get("STOPSIGNAL", ["SIGTERM"])[-1],
    )


def _words(text: str) -> list[str]:
    (words,) = documents(text)  # the exec form is JSON, and so YAML
    assert isinstance(words, list), f"{text} runs a shell, which hears the signals in its place"
    return words


def compose(*, production: bool = False) -> Object:
    """docker-compose.yml, with .env.example as its .env, or as that says of production."""
    values = example(production=production)
    (found,) = documents(COMPOSE.read_text())
    result: Object = substitute(found, values)
    if production:
        (more,) = documents((ROOT / "docs" / "deploy" / "compose.production.yml").read_text())
        for name, service in substitute(more, values)["services"].items():
            there = result["services"][name]
            there |= {key: service[key] for key in service.keys() & {"image", "command"}}
            there["environment"] = variables_of(there) | variables_of(service)
    for service in result["services"].values():
        files = [each["path"] for each in service.get("env_file", ())]
        if ".env" in files:
            ours = {name: value for name, value in values.items() if name.startswith("RTCHAT_")}
            service["environment"] = ours | variables_of(service)
    return result


def example(*, production: bool) -> dict[str, str]:
    """The variables of .env.example; those that are commented out are production's."""
    mark = "#?" if production else ""
    found = re.findall(rf"^{mark}([A-Z][A-Z0-9_]*)=(.*)$", EXAMPLE.read_text(), re.MULTILINE)
    return dict(found)


def substitute(value: Any, values: dict[str, str]) -> Any:
    """The value with variables put in as compose does it."""
    if isinstance(value, dict):
        return {key: substitute(each, values) for key, each in value.items()}
    if isinstance(value, list):
        return [substitute(each, values) for each in value]
    if not isinstance(value, str):
        return value

    def one(match: re.Match[str]) -> str:
        if match[1]:
            return "$"
        there, how, word = values.get(match["name"], ""), match["how"], match["word"] or ""
        if how == "+":
            return word if there else ""
        return there or (word if how == "-" else "")

    return SUBSTITUTED.sub(one, value)


def variables_of(service: Object) -> dict[str, str]:
    """The environment of a compose service, as text."""
    given = service.get("environment") or {}
    if isinstance(given, list):
        given = dict(each.partition("=")[::2] for each in given)
    return {name: str(value) for name, value in given.items() if value is not None}


def seconds(text: str | int) -> float:
    """A duration as Docker, nginx and Prometheus write it: 1m30s, 500ms, 75."""
    parts = re.findall(r"([0-9.]+)(ms|[smhd])?", str(text))
    return sum(float(number) * UNITS[unit or "s"] for number, unit in parts)


class Directive(NamedTuple):
    """A directive of nginx, with the blocks around it: ("http", "server", "location = /ws")."""

    where: tuple[str, ...]
    words: tuple[str, ...]

    @property
    def name(self) -> str:
        """What it sets."""
        return self.words[0]


TOKEN = re.compile(
    r"""\s+|#[^\n]*|(?P<word>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s{};]+)|(?P<sign>[{};])"""
)


def nginx(file: Path = NGINX / "nginx.conf") -> list[Directive]:
    """The directives of an nginx configuration, those of included files of the folder as well."""
    found: list[Directive] = []
    where: list[str] = []
    words: list[str] = []
    for match in TOKEN.finditer(file.read_text()):
        if match["word"]:
            words.append(match["word"].strip("\"'"))
        elif match["sign"] == "{":
            where.append(" ".join(words))
            words = []
        elif match["sign"] == "}":
            where.pop()
        elif match["sign"] == ";":
            found.append(Directive(tuple(where), tuple(words)))
            if words[0] == "include" and (file.parent / words[1]).exists():
                included = nginx(file.parent / words[1])
                found += [Directive((*where, *each.where), each.words) for each in included]
            words = []
    assert not where, f"{file}: {where} does not end"
    assert not words, f"{file}: {words} does not end"
    return found
