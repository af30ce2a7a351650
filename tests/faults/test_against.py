"""The crowd against servers of somebody else's: what an operator sees of a restart of his own."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from rtchat.server.launch import free_port
from tests.pods import ROOT, SECRET_KEY, Pod, Pods

PEOPLE = ["--clients", "6", "--channels", "3", "--rate", "40"]


@pytest.fixture
def pod(database_url: str, pods: Pods) -> Iterator[Pod]:
    one = pods.spawn(database_url, port=free_port()).wait()
    yield one
    one.kill()


def against(pod: Pod, *arguments: str, **variables: str) -> "subprocess.Popen[str]":
    known = {"RTCHAT_DATABASE_URL": pod.database_url, "RTCHAT_SECRET_KEY": SECRET_KEY, **variables}
    clean = {k: v for k, v in os.environ.items() if not k.startswith("RTCHAT_")}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.faults.against", pod.ws_url, *PEOPLE, *arguments],
        cwd=ROOT, env={**clean, **known}, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_a_restart_loses_and_doubles_nothing(pod: Pod, pods: Pods, tmp_path):
    """And the run tells how many were sent, acked and received."""
    running = against(pod, "--seconds", "4", "--keep", str(tmp_path))
    assert running.stdout is not None
    assert "restart what you like" in running.stdout.readline()
    pod.kill()
    again = pods.spawn(pod.database_url, port=pod.port)
    told, said = running.communicate(timeout=50)
    again.kill()
    assert running.returncode == 0, told + said
    assert "every promise was kept" in told
    assert "lost 0, doubled 0" in told


def test_it_says_what_it_needs(pod: Pod):
    running = against(pod, RTCHAT_SECRET_KEY="")
    _, said = running.communicate(timeout=50)
    assert running.returncode == 2
    assert "RTCHAT_SECRET_KEY" in said
