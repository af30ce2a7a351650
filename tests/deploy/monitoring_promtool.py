"""Prometheus' own word on the rules: promtool checks their form, and plays cases to them.

Owns: the test file that promtool reads, made of `monitoring_cases`, and its verdict. What a case
says of each alert is asked as one question: which alerts fire, of which severity, and how often?
"""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.deploy import needed
from tests.deploy.monitoring_series import EVERY_S, LONG, Case, series

_FIRING = 'count by (alertname, severity) (ALERTS{{alertstate="firing",namespace="{}"}})'


def promtool() -> str:
    """Where it is; skips where it is not."""
    return needed.program("promtool", "Debian: prometheus")


def check(*rules: Path) -> subprocess.CompletedProcess[str]:
    """Whether Prometheus would load these rules, templates too."""
    command = [promtool(), "check", "rules", *map(str, rules)]
    return subprocess.run(command, capture_output=True, text=True, timeout=20)


def _asked(name: str, case: Case) -> dict[str, Any]:
    fires = [
        {"labels": f'{{alertname="{alert}",severity="{severity}"}}', "value": count}
        for (alert, severity), count in case.fires.items()
    ]
    at = f"{case.minutes}m"
    return {"expr": _FIRING.format(name), "eval_time": at, "exp_samples": fires}


def _tests(cases: Sequence[Case]) -> list[dict[str, Any]]:
    """One test for all cases that are as long, each in a namespace of its own.

    Rules keep namespaces apart, and are evaluated once for all: 1 s in place of 16. What is to be
    found missing everywhere is a test alone, without a namespace.
    """
    together: dict[Any, dict[str, Any]] = {}
    for number, case in enumerate(cases):
        name = "" if case.alone else f"case-{number}"
        key = (number,) if case.alone else case.minutes > LONG
        test = together.setdefault(
            key, {"interval": f"{EVERY_S}s", "name": "", "input_series": [], "promql_expr_test": []}
        )
        test["name"] += f"{number} "
        test["input_series"] += [
            {"series": series_name, "values": values}
            for series_name, values in series(case.changes, name, case.both, case.minutes)
        ]
        test["promql_expr_test"].append(_asked(name, case))
    return list(together.values())


def play(
    rules: Sequence[Path], cases: Sequence[Case], directory: Path
) -> subprocess.CompletedProcess[str]:
    """Play all cases to the rules."""
    file = directory / "cases.json"
    file.write_text(json.dumps({"rule_files": [*map(str, rules)], "tests": _tests(cases)}))
    command = [promtool(), "test", "rules", str(file)]
    return subprocess.run(command, capture_output=True, text=True, timeout=50)
