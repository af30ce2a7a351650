"""The manifests of k8s/: as files, and as kustomize builds them.

Owns: reading YAML without mistakes that parsers forgive, and finding kustomize (or kubectl, which
has it built in). What the files hold is judged elsewhere. Must never: change a file, or reach a
cluster.
"""

import copy
import functools
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.deploy import needed

yaml: Any = needed.module("yaml")

ROOT = Path(__file__).parents[2]
K8S = ROOT / "k8s"
BUILDS = ("base", "overlays/local", "overlays/production")

Object = dict[str, Any]
# The hash behind the name of what kustomize generates: hex, where letters stand for what could read
# as a word.
GENERATED = re.compile("-[2456789bcdfghkmt]{10}$")

# What is no part of a build: for people, for other programs, or made by hand.
ALONE = {
    "README.md",
    "secrets.example.yaml",
    "overlays/local/secrets.sh",
    "monitoring/prometheus-adapter.yaml",  # values of a chart
    "monitoring/alerts.yml",  # Prometheus' own form of what prometheusrule.yaml has
    "monitoring/alerts-kubernetes.yml",
}


class DoubledKeyError(Exception):
    """A key stands twice in one mapping; YAML's parsers keep the last and say nothing."""


def documents(text: str) -> list[Any]:
    """The documents of a YAML text, empty ones left out. Raises DoubledKeyError."""
    return copy.deepcopy(_documents(text))


@functools.cache
def _documents(text: str) -> list[Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # with libyaml ten times as fast
    for node in yaml.compose_all(text, Loader=loader):
        _refuse_doubles(node)
    return [each for each in yaml.load_all(text, Loader=loader) if each is not None]


def _refuse_doubles(node: Any) -> None:
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value]
        if doubled := {str(key) for key in keys if keys.count(key) > 1} - {"<<"}:
            raise DoubledKeyError(f"{doubled} at {node.start_mark}")
        for _, value in node.value:
            _refuse_doubles(value)
    elif isinstance(node, yaml.SequenceNode):
        for each in node.value:
            _refuse_doubles(each)


def read(path: Path) -> list[Object]:
    """The objects of a file."""
    return documents(path.read_text())


def kustomizations() -> dict[str, Object]:
    """What each folder's kustomization.yaml says, by the folder."""
    return {
        path.parent.relative_to(K8S).as_posix(): read(path)[0]
        for path in sorted(K8S.rglob("kustomization.yaml"))
    }


def _files_of(kustomization: Mapping[str, Any]) -> Iterator[str]:
    yield from kustomization.get("resources", ())
    yield from kustomization.get("components", ())
    yield from (patch["path"] for patch in kustomization.get("patches", ()) if "path" in patch)
    for generator in kustomization.get("configMapGenerator", ()):
        yield from generator.get("envs", ())
        yield from (each.partition("=")[2] or each for each in generator.get("files", ()))


def named(folder: str) -> list[Path]:
    """The files and folders that a folder's kustomization names."""
    return [(K8S / folder / name).resolve() for name in _files_of(kustomizations()[folder])]


def options(folder: str) -> list[Path]:
    """The files that a folder's kustomization names in a comment: whoever needs one takes the mark
    away.
    """
    text = (K8S / folder / "kustomization.yaml").read_text()
    return [K8S / folder / name for name in re.findall(r"^  # - (\S+\.yaml)\b", text, re.MULTILINE)]


def manifests(folder: str) -> list[Object]:
    """The objects of a build as they stand in files, without patches and transformers."""
    found: list[Object] = []
    kustomization = kustomizations()[folder]
    for name in (*kustomization.get("resources", ()), *kustomization.get("components", ())):
        path = (K8S / folder / name).resolve()
        if path.is_dir():
            found += manifests(path.relative_to(K8S).as_posix())
        else:
            found += read(path)
    return found


def env_file(path: Path) -> dict[str, str]:
    """The variables of a file as kustomize's `envs` reads it: NAME=value, and comments."""
    lines = (line.strip() for line in path.read_text().splitlines())
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


def settings_of(folder: str) -> dict[str, str]:
    """The variables of the ConfigMap `rtchat`: those of the base, and the overlay's over them."""
    merged: dict[str, str] = {}
    for each in dict.fromkeys(("base", folder)):
        merged |= env_file(K8S / each / "rtchat.env")
    return merged


def written(folder: str) -> list[Object]:
    """`manifests`, with the settings as the ConfigMap that kustomize would make of them."""
    settings = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "rtchat"}}
    return [*manifests(folder), {**settings, "data": settings_of(folder)}]


def builder() -> list[str] | None:
    """The command that builds a kustomization, if there is one here."""
    for program, *arguments in (("kustomize", "build"), ("kubectl", "kustomize")):
        if found := shutil.which(program):
            return [found, *arguments]
    return None


@functools.cache
def _built(folder: str) -> str:
    command = builder()
    if command is None:
        needed.skip_or_fail("neither kustomize nor kubectl is on PATH")
    done = subprocess.run([*command, str(K8S / folder)], capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "kustomize warns"
    return done.stdout


def built(folder: str) -> list[Object]:
    """The objects that kustomize makes; fresh ones each time. Skips where there is no kustomize."""
    return documents(_built(folder))


def objects(how: str, folder: str) -> list[Object]:
    """`written` or `built`, by that name."""
    return {"written": written, "built": built}[how](folder)


def name_of(thing: Object) -> str:
    """As people call it: Kind/name."""
    return f"{thing['kind']}/{thing['metadata']['name']}"


def pod_templates(things: list[Object]) -> dict[str, Object]:
    """The pod templates of all objects that have one, by the object's name."""
    return {
        name_of(each): each["spec"]["template"]
        for each in things
        if "template" in (each.get("spec") or {})
    }


def one(things: list[Object], kind: str, name: str = "rtchat") -> Object:
    """The object of that kind and name; a generated name may have its hash behind it."""
    found = [
        each
        for each in things
        if each["kind"] == kind
        and name in (each["metadata"]["name"], re.sub(GENERATED, "", each["metadata"]["name"]))
    ]
    assert len(found) == 1, f"{len(found)} of {kind}/{name}"
    return found[0]
