"""What is kept of the words with which a program introduces itself."""

import pytest

from rtchat.auth.client import AGENT_MAX_CHARS, agent_from


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (None, ""),
        ("", ""),
        ("Mozilla/5.0 (X11; Linux x86_64)", "Mozilla/5.0 (X11; Linux x86_64)"),
        ("a\x1b[31mb\x00\x7f\x85c\u202ed", "a[31mbcd"),
        ("x" * 5000, "x" * AGENT_MAX_CHARS),
        ("\0" * 5000 + "y" * 300, "y" * AGENT_MAX_CHARS),
    ],
)
def test_an_agent_is_printable_and_short(said: str | None, kept: str):
    assert agent_from(said) == kept
