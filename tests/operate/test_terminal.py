"""What a terminal is shown of texts from outside."""

import unicodedata

from hypothesis import given, strategies as st

from rtchat.operate.terminal import printable


@given(st.text())
def test_a_terminal_obeys_nothing_of_it(text: str):
    """One line, without controls and what hides text; what is plain is as it was."""
    shown = printable(text)
    assert all(c == "\u200d" or unicodedata.category(c)[0] != "C" for c in shown)
    assert len(shown.splitlines()) <= 1
    assert shown == text or not text.isprintable()
    shown.encode()


def test_what_is_hidden_can_be_read():
    assert printable("a\x1b[2J\x07\n\u202e\udcff") == "a\\x1b[2J\\x07\\n\\u202e\\udcff"
    assert printable("👩\u200d🔬") == "👩\u200d🔬"
