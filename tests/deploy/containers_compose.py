"""docker-compose.yml and what goes over it, as Compose reads them: merged, variables filled in.

Owns: the parts of Compose's rules that these files use (merging mappings, replacing mounts by their
target, `${NAME:-default}` and `${NAME:?message}`). Must never: know what the values are for.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.deploy import needed

yaml = needed.module("yaml")

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
PRODUCTION = ROOT / "docs" / "deploy" / "compose.production.yml"
EXAMPLE = ROOT / ".env.example"
VARIABLE = re.compile(r"\$\{(?P<name>[A-Z_]+)(?::(?P<kind>[-?])(?P<rest>[^}]*))?\}")
ASSIGNED = re.compile(r"^(?P<off>#?)(?P<name>[A-Z_]+)=(?P<value>.*)$", re.MULTILINE)

Tree = dict[str, Any]


def load(environ: Mapping[str, str], *paths: Path) -> Tree:
    """The project of these files, the later ones over the first."""
    merged: Tree = {}
    for path in paths:
        merged = _merge(merged, _filled(yaml.safe_load(path.read_text()), environ))
    return merged


def example(*, production: bool = False) -> dict[str, str]:
    """What .env.example sets; with the lines that it says to uncomment for production."""
    local, _, rest = EXAMPLE.read_text().partition("--- Production")
    lines = ASSIGNED.finditer(local + (rest.partition("\n# ---")[0] if production else ""))
    return {m["name"]: m["value"] for m in lines if production or not m["off"]}


def variables(*paths: Path) -> dict[str, set[str | None]]:
    """Which variables the files take, each with its defaults (None: it has none)."""
    found: dict[str, set[str | None]] = {}
    for path in paths:
        code = "\n".join(line.partition(" #")[0] for line in path.read_text().splitlines())
        code = "\n".join(line for line in code.splitlines() if not line.startswith("#"))
        for match in VARIABLE.finditer(code):
            default = match["rest"] if match["kind"] == "-" else None
            found.setdefault(match["name"], set()).add(default)
    return found


def seconds(text: str) -> float:
    """A duration of Compose's, of minutes or seconds."""
    number, unit = text[:-1], text[-1]
    return float(number) * {"s": 1, "m": 60}[unit]


def size(text: str) -> int:
    """A number of bytes."""
    return int(text[:-1]) * {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}[text[-1]]


def mounts(service: Tree) -> dict[str, str]:
    """What is mounted into a service: source by target, without its options."""
    parts = [mount.split(":") for mount in service.get("volumes", ())]
    return {part[1]: part[0] for part in parts}


def _filled(tree: Any, environ: Mapping[str, str]) -> Any:
    if isinstance(tree, dict):
        return {key: _filled(value, environ) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_filled(value, environ) for value in tree]
    return VARIABLE.sub(lambda m: _value(m, environ), tree) if isinstance(tree, str) else tree


def _value(match: re.Match[str], environ: Mapping[str, str]) -> str:
    value = environ.get(match["name"], "")
    if not value and match["kind"] == "?":
        raise KeyError(f"{match['name']}: {match['rest']}")
    return value or (match["rest"] or "")


def _merge(under: Any, over: Any, key: str = "") -> Any:
    if isinstance(under, dict) and isinstance(over, dict):
        both = {name: _merge(under[name], over[name], name) for name in under.keys() & over.keys()}
        return {**under, **over, **both}
    if key == "volumes" and isinstance(under, list):
        by_target = {mount.split(":")[1]: mount for mount in (*under, *over)}
        return list(by_target.values())
    return [*under, *over] if isinstance(under, list) and isinstance(over, list) else over
