"""A bench that is interrupted leaves no process and no file behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rtchat.server.launch import signal_tree
from tests.pods import ROOT

# Stands for a bench: it takes a while to end, and then leaves a word.
SLOW = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
try:
    pathlib.Path(sys.argv[1], "began").touch()
    time.sleep(30)
finally:
    time.sleep(1)
    pathlib.Path(sys.argv[1], "ended").touch()
"""
ALL = """
import signal, sys
from bench.all import run_to_its_end
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
run_to_its_end([sys.executable, "-c", sys.argv[1], sys.argv[2]])
"""


def wait(holds: Callable[[], object], within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_all_waits_for_the_one_that_runs(tmp_path: Path, how: signal.Signals) -> None:
    bench = subprocess.Popen(
        [sys.executable, "-c", ALL, SLOW, tmp_path], cwd=ROOT, stderr=subprocess.DEVNULL
    )
    wait((tmp_path / "began").exists)
    signal_tree(bench.pid, how) if how == signal.SIGINT else bench.send_signal(how)
    bench.wait(20)
    assert (tmp_path / "ended").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells who is left")
def test_a_bench_ends_what_it_has_begun(tmp_path: Path) -> None:
    """Asked by SIGTERM while it runs: its pod, load client, PostgreSQL and their files go too."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("RTCHAT_TEST_")}
    command = [sys.executable, "-m", "bench", "ingest", "--senders", "2", "--in-flight", "1"]
    with (tmp_path / "said").open("wb") as said:
        bench = subprocess.Popen(
            [*command, "--seconds", "60"], cwd=ROOT, stdout=said, stderr=said, env=environ
        )
    wait(lambda: b"in flight each" in (tmp_path / "said").read_bytes(), 60)
    time.sleep(0.5)
    began = descendants(bench.pid)
    kept = [path for pid in began for path in working_in(pid)]
    assert len(began) > 2
    assert kept
    bench.terminate()
    assert bench.wait(60) == 143
    assert [pid for pid in began if Path(f"/proc/{pid}").exists()] == []
    assert [path for path in kept if path.exists()] == []


def descendants(pid: int) -> list[int]:
    told = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [each for child in map(int, told) for each in (child, *descendants(child))]


def working_in(pid: int) -> list[Path]:
    """The temporary directories of which this process has a file open or as its own."""
    links = [Path(f"/proc/{pid}/cwd"), *Path(f"/proc/{pid}/fd").iterdir()]
    places = {Path(*link.readlink().parts[:4]) for link in links}
    return [place for place in places if place.name.startswith("rtchat-test-")]
