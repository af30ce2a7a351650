"""Programs of node that check documents: where they are, and running one.

`.ci/node/package-lock.json` names them; `npm ci --prefix .ci/node` installs them. RTCHAT_TEST_NODE
is another folder with their `node_modules`. Where they are missing, tests that need them are
skipped, unless that variable is set: then they must be there.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.pods import ROOT

SETTINGS = ROOT / ".ci" / "node"
GIVEN = os.environ.get("RTCHAT_TEST_NODE")
FOLDER = Path(GIVEN or SETTINGS)
WITHIN_S = 50.0
# Nothing is sent anywhere, and nothing asked for newer versions.
OFFLINE = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}


def _missing() -> str | None:
    if GIVEN:
        return None
    if shutil.which("node") is None:
        return "node is not on PATH"
    if not (FOLDER / "node_modules").is_dir():
        return "the programs of .ci/node are not installed: npm ci --prefix .ci/node"
    return None


needs_node = pytest.mark.skipif(_missing() is not None, reason=str(_missing()))


def run(script: Path | str, *arguments: Path | str) -> subprocess.CompletedProcess[str]:
    """Run a script of one of the packages, or one of ours, which finds the packages here."""
    return subprocess.run(
        ["node", FOLDER / "node_modules" / script, *arguments],  # an absolute path stays as it is
        cwd=FOLDER,
        env={**os.environ, **OFFLINE},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )


def answered(ended: subprocess.CompletedProcess[str]) -> Any:
    """The JSON that a program wrote."""
    try:
        return json.loads(ended.stdout)
    except ValueError:
        raise AssertionError(f"{ended.args}: {ended.stdout}\n{ended.stderr}") from None


def redocly(document: Any, at: Path) -> list[str]:
    """What Redocly's linter finds in a document, which is written to a file of the folder `at`."""
    path = at / "document.json"
    path.write_text(json.dumps(document, indent=1))
    config = SETTINGS / "redocly.yaml"
    found = answered(
        run(
            "@redocly/cli/bin/cli.js",
            "lint",
            "--config",
            config,
            "--format",
            "json",
            "--max-problems",
            "10000",
            path,
        )
    )
    return [
        f"{problem['ruleId']} at {problem['location'][0]['pointer']}: {problem['message']}"
        for problem in found["problems"]
    ]
