"""docs/python.md: its programs run as they stand, in order, and print what is shown."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtchat import client
from rtchat.client import sync
from tests.cli.running import clean
from tests.docs.fenced import ROOT
from tests.pods import Pod, Pods
from tests.services import Databases

TEXT = (ROOT / "docs" / "python.md").read_text()
_PROGRAM = re.compile(r"^```python\n(.*?)^```\n\n```\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAMS = _PROGRAM.findall(TEXT)
URL = "http://localhost:8000"


@pytest.fixture
def server(databases: Databases, pods: Pods) -> Iterator[Pod]:
    """A server on which nobody has ever been."""
    with databases.fresh() as url:
        pod = pods.spawn(url).wait()
        yield pod
        pod.kill()


def test_every_program_shows_what_it_prints() -> None:
    assert len(PROGRAMS) == TEXT.count("```python\n") > 5
    assert all(URL in program for program, _ in PROGRAMS)


def test_the_programs_print_what_is_shown(server: Pod, tmp_path: Path) -> None:
    for program, shown in PROGRAMS:
        done = subprocess.run(
            [sys.executable, "-W", "always", "-c", program.replace(URL, server.url)],
            cwd=tmp_path, env={**clean(), "PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout, done.stderr) == (0, shown, ""), program
    assert (tmp_path / "refresh-token").stat().st_mode & 0o777 == 0o600


def test_the_programs_are_typed(tmp_path: Path) -> None:
    """As `mypy --strict` sees them, which knows the blocking methods' types as well."""
    for number, (program, _) in enumerate(PROGRAMS):
        (tmp_path / f"program_{number}.py").write_text(program)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent",
         "--python-executable", sys.executable, *sorted(map(str, tmp_path.glob("*.py")))],
        cwd=ROOT, capture_output=True, text=True, timeout=55, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_every_public_name_stands_in_it() -> None:
    named = set(re.findall(r"`(\w+)`|^### (\w+)$", TEXT, re.MULTILINE))
    names = {name for pair in named for name in pair}
    assert {*client.__all__, *sync.__all__} - names == set()
