"""What is handed in by standard input: UTF-8, whatever the machine's locale takes bytes for."""

import subprocess
import sys

import pytest

from tests.cli.running import clean, variables
from tests.pods import SECRET_KEY


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii"])
def test_bytes_that_are_no_utf_8_are_refused_in_every_locale(encoding: str):
    """Where Python would read them as other characters, or make half ones of them."""
    done = subprocess.run(
        [sys.executable, "-m", "rtchat", "token", "check"],
        env={**clean(), **variables({"secret_key": SECRET_KEY}), "PYTHONIOENCODING": encoding},
        input=b"abc\xff", capture_output=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert b"the token on standard input is no UTF-8, at byte 3" in done.stderr
