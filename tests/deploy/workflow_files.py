"""The workflows as YAML has them: their jobs, the steps of these, and the rows of a matrix.

Owns: reading them. Must never: judge them.
"""

from typing import Any

from tests.deploy import needed
from tests.deploy.workflow_commands import ROOT

yaml = needed.module("yaml")

FOLDER = ROOT / ".github" / "workflows"
PATHS = sorted(FOLDER.glob("*.yml"))


def workflow(name: str) -> Any:
    """A workflow, as YAML has it (where `on` is a truth value)."""
    return yaml.safe_load((FOLDER / f"{name}.yml").read_text())


JOBS: dict[str, Any] = {
    f"{path.stem}: {name}": job
    for path in PATHS
    for name, job in workflow(path.stem)["jobs"].items()
}


def commands(job: Any) -> list[str]:
    """What the steps of a job run, line by line."""
    return [line for step in job["steps"] for line in step.get("run", "").splitlines()]


def include(name: str) -> list[dict[str, str]]:
    """The rows of a matrix of ci.yml."""
    rows: list[dict[str, str]] = workflow("ci")["jobs"][name]["strategy"]["matrix"]["include"]
    return rows
