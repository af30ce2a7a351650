"""Which cores belong to whom: what a bench does to its own place changes nothing about that."""

import os
import subprocess
import sys

import pytest

from tests.pods import ROOT

# In a container of its own a bench has no parent to ask.
ASK = """
import os
os.getppid = lambda: 0
from bench import machine
before = machine.server_cores(), machine.other_cores(), machine.about()["machine"]["cores"]
os.sched_setaffinity(0, machine.other_cores())
assert before == (
    machine.server_cores(), machine.other_cores(), machine.about()["machine"]["cores"]
)
assert before[0] and not before[0] & before[1]
"""


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core is everybody's")
def test_a_bench_that_has_made_way_still_knows_the_servers_core() -> None:
    subprocess.run([sys.executable, "-c", ASK], cwd=ROOT, check=True, timeout=60)
