"""Tabs on one socket: each gets what is behind its own cursor, whatever the others do.

Many tabs come, go, turn back and follow from anywhere, while somebody writes and the socket breaks;
the same program finds what is wrong in a client that is worse at it.
"""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.pods import ROOT, Pod
from tests.web.conversing import CLIENT, needs_websocket, node

pytestmark = needs_websocket

WITHIN_S = 40
SEEDS = range(3)
# What `follows.js` may do wrong: what stands there instead of what.
WORSE = {
    "what came before the answer is lost": (
        "place.cursor !== null && place.cursor < cursor",
        "place.cursor === undefined",
    ),
    "a tab gets what another one asked for": (
        "if (!place.standing || entry.seq <= Number(place.cursor)) continue",
        "if (!place.standing) continue",
    ),
}


def crowded(folder: Path, pod: Pod, seed: int) -> dict[str, Any]:
    program = str(ROOT / "tests/web/crowded.mjs")
    command = [*node(), program, str(folder), pod.url, str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN_S, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("seed", SEEDS)
def test_each_tab_gets_its_entries_once_and_in_order(unlimited: Pod, seed: int):
    told = crowded(ROOT / CLIENT, unlimited, seed)
    assert told["faults"] == []
    assert told["entries"] > 400
    assert told["subs"] > 100
    assert told["sockets"] > 2


@pytest.mark.parametrize("wrong", WORSE)
def test_the_program_finds_a_worse_client(unlimited: Pod, tmp_path: Path, wrong: str):
    shutil.copytree(ROOT / CLIENT / "client", tmp_path / "client")
    shutil.copy(ROOT / CLIENT / "rtchat.js", tmp_path)
    file = tmp_path / "client" / "follows.js"
    good, bad = WORSE[wrong]
    text = file.read_text()
    assert text.count(good) == 1
    file.write_text(text.replace(good, bad))
    assert any(crowded(tmp_path, unlimited, seed)["faults"] for seed in SEEDS)
