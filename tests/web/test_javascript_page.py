"""docs/javascript.md: its program runs as it stands, and its numbers are the client's."""

import re
import subprocess
from pathlib import Path

from rtchat import web
from tests.docs.fenced import ROOT, blocks
from tests.pods import Pod
from tests.web.conversing import PATIENCE_S, needs_websocket, node

PAGE = "docs/javascript.md"
FOLDER = Path(web.__file__).parent


@needs_websocket
def test_the_program_of_the_page_runs(pod: Pod, tmp_path: Path):
    """Its address and its module's place aside, to the letter."""
    program = "\n".join(blocks(PAGE, "js"))
    for shown, here in (
        ("./rtchat.js", (FOLDER / "rtchat.js").as_uri()),
        ("http://localhost:8000", pod.url),
        ("ann@example.org", f"{tmp_path.name}@example.org"),
    ):
        assert program.count(shown) == 1
        program = program.replace(shown, here)
    file = tmp_path / "program.mjs"
    file.write_text(program)
    done = subprocess.run(
        [*node(), file], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    said = done.stdout.split("\n")
    assert said[:4] == ["signed in as Ann", "connecting", "online", "0 messages so far"]
    assert "1: Hello, everybody." in said
    assert said[-2:] == ["stopped", ""]


def test_its_bounds_are_the_clients():
    page = (ROOT / PAGE).read_text()
    outbox = (FOLDER / "client" / "outbox.js").read_text()
    numbers = {name: int(number.replace("_", "")) for name, number in BOUND.findall(outbox)}
    assert f"{numbers['COUNT_MAX']:,} writes and {numbers['BYTES_MAX'] // 10**6} MB" in page


BOUND = re.compile(r"^export const (\w+_MAX) = ([\d_]+)$", re.MULTILINE)
