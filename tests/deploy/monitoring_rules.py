"""The rules for Prometheus and their runbook, as they are read for checks.

Owns: what an alert is, which sections the runbook has, and what a section names that has to exist.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.deploy.cluster_files import read
from tests.deploy.monitoring_files import ALERTS, KUBERNETES

ROOT = Path(__file__).parents[2]
RUNBOOK = ROOT / "docs" / "runbook.md"
SEVERITIES = {"critical", "warning"}
ANNOTATIONS = {"summary", "description", "runbook_url"}
REPOSITORY = "https://example.com/rtchat"  # whoever installs it puts their own there
HEAD = "How to reach things"  # the one section that is of no alert
SECTION_LINES_MAX = 12  # of text: who is woken reads no more

Rule = dict[str, Any]


def rules(path: Path = ALERTS) -> list[Rule]:
    """All rules of a file of Prometheus'."""
    [content] = read(path)
    return [rule for group in content["groups"] for rule in group["rules"]]


def alerts() -> list[Rule]:
    """Those that tell people, everywhere and in Kubernetes."""
    return [rule for rule in (*rules(), *rules(KUBERNETES)) if "alert" in rule]


def records() -> dict[str, str]:
    """Those that compute beforehand: expression by name."""
    return {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}


def wrong(alert: Mapping[str, Any]) -> Iterator[str]:
    """What an alert lacks of what whoever gets it needs."""
    name, labels, annotations = alert["alert"], alert["labels"], alert["annotations"]
    if not re.fullmatch(r"Rtchat([A-Z][a-z]+)+", name):
        yield f"{name}: not named as the others"
    if set(labels) != {"severity"} or labels["severity"] not in SEVERITIES:
        yield f"{name}: {labels} is no severity of {sorted(SEVERITIES)}"
    if set(annotations) != ANNOTATIONS:
        yield f"{name}: has {sorted(annotations)}"
    if annotations.get("runbook_url") != f"{REPOSITORY}/docs/runbook.md#{name.lower()}":
        yield f"{name}: leads to {annotations.get('runbook_url')}"
    if not re.search(r"\d", annotations.get("description", "")):
        yield f"{name}: its description has no number"
    if "for" not in alert and not re.search(r"\[\d+[mh]\]", alert["expr"]):
        yield f"{name}: fires at once, of one moment"


def sections(text: str) -> dict[str, list[str]]:
    """The runbook's sections of alerts: their lines of text, by heading."""
    found: dict[str, list[str]] = {}
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        heading, *lines = part.splitlines()
        assert heading not in found, heading
        found[heading] = [line for line in lines if line]
    assert found.pop(HEAD)
    return found


def quoted(text: str) -> set[str]:
    """What stands between backticks, blocks of code apart."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return {" ".join(found.split()) for found in re.findall(r"`([^`]+)`", prose)}


def emphasized(text: str) -> set[str]:
    """What stands between single asterisks: the runbook's way to name a panel."""
    found = re.findall(r"(?<!\*)\*([^*]+)\*(?!\*)", text)
    return {" ".join(each.split()) for each in found}


def said_by_the_code() -> str:
    """All texts that the server can log, in one."""
    return "\n".join(
        node.value
        for path in sorted((ROOT / "rtchat").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
