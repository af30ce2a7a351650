"""`rtchat chat`: its command line. What it does has tests in `tests/terminal`."""

import os
import pty
import subprocess
import sys

import pytest

from tests.cli.running import Run, clean, fails, read_to_end

WITHOUT = (
    "import sys; sys.modules['prompt_toolkit'] = sys.modules['wcwidth'] = None;"
    " from rtchat.cli import main; main()"
)


def piped(*arguments: str) -> Run:
    """By lines, without its extra: it reads its standard input by number, so it has a process."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, "chat", *arguments],
        input="secret\n", env=clean(), capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    return Run(done.returncode, done.stdout, done.stderr)


def test_without_its_extra_it_says_how_to_get_it():
    """At a terminal; by lines it goes without."""
    near, far = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", WITHOUT, "chat"], stdin=far, stdout=far, stderr=far, env=clean()
    )
    os.close(far)
    told = read_to_end(near)
    assert process.wait(30) == 2
    assert b"pip install 'rtchat[chat]'" in told


def test_without_its_extra_it_goes_by_lines():
    """As far as to a server that is not there."""
    fails(piped("http://127.0.0.1:1", "x", "--email", "a@b.org"), 3, "http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a", "b"], "a is no URL"),
        (["--name", "Ann", "x"], "--email says who"),
        (["http://", "x", "--email", "a@example.org"], "http://"),
        (["http://localhost:8000"], "name the channel"),
    ],
)
def test_a_wrong_command_line_says_what_is_wrong(arguments: list[str], words: str):
    fails(piped(*arguments), 2, words)


@pytest.mark.parametrize(("host", "told"), [("0.0.0.0", True), ("127.0.0.1", False)])
def test_a_way_that_is_not_encrypted_is_told(host: str, told: bool):
    """Before the password is on it; not of this machine. Nobody listens there."""
    done = piped(f"http://{host}:1", "x", "--email", "a@example.org")
    fails(done, 3, f"http://{host}:1")
    assert (f"the way to {host} is not encrypted" in done.err) is told
