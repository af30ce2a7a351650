"""What the chat decides without a page, in Node: `state.mjs`, on a copy of its modules."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from rtchat import web
from tests.pods import ROOT

WITHIN_S = 50.0
FOLDER = Path(web.__file__).parent


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not on PATH")
def test_the_state_of_the_chat(tmp_path: Path):
    shutil.copytree(FOLDER / "chat", tmp_path / "chat")
    shutil.copy(ROOT / "tests/web/state.mjs", tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    done = subprocess.run(
        ["node", "--test", "--test-reporter=tap", "state.mjs"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    told = re.findall(r"^# (pass|fail|skipped|todo) (\d+)$", done.stdout, re.MULTILINE)
    counts = {what: int(number) for what, number in told}
    written = len(re.findall(r'^test\("', (tmp_path / "state.mjs").read_text(), re.MULTILINE))
    assert counts == {"pass": written, "fail": 0, "skipped": 0, "todo": 0}, done.stdout
