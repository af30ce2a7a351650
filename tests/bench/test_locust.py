"""People of locust on a real pod: they come, chat and read back, and nothing of it fails.

In a process of its own, for `import locust` patches the standard library.
"""

import asyncio
import importlib.util
import os
import sys
from collections import Counter
from pathlib import Path

import orjson
import pytest

from tests.pods import Pod

ROOT = Path(__file__).parents[2]
PEOPLE = 4

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("locust") is None,
    reason="locust is not installed; it comes with rtchat[bench]",
)


async def run(pod: Pod, report: Path, seconds: int) -> tuple[int | None, str]:
    """Let people come; locust's exit status is 1 where a request failed."""
    child = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "locust", "-f", "bench/locustfile.py", "--host", pod.url],
        *["--headless", "-u", str(PEOPLE), "-r", str(PEOPLE), "-t", f"{seconds}s"],
        *["--only-summary", "--json-file", str(report)],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if not k.startswith("LOCUST_")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await child.communicate()
    return child.returncode, output.decode()


async def test_people_chat_and_nothing_fails(pod: Pod, tmp_path: Path) -> None:
    """Those who have no account yet make one; the next time they sign in with it."""
    known: list[int] = []
    for number in range(2):
        report = tmp_path / f"report-{number}"
        status, output = await run(pod, report, seconds=9)
        assert status == 0, output
        done: Counter[str] = Counter()
        for row in orjson.loads(report.with_suffix(".json").read_bytes()):
            assert row["num_failures"] == 0, row
            done[row["name"]] += row["num_requests"]
        assert done["connect"] >= PEOPLE
        assert done["sub"] == done["connect"]
        assert done["/channels/{id}/messages"] >= PEOPLE
        assert done["send"] > 0
        assert done["delivery"] > 0
        known.append(done["/auth/register"])
    assert known == [PEOPLE, 0]
