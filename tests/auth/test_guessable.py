"""Passwords that would be guessed: the common ones, and those made of what is known of somebody."""

import pytest

from rtchat.auth.guessable import common_passwords, reason_against

COMMON = common_passwords().split("\n")[1:-1]


def refused(password: str, email: str = "ann.lee@example.org", name: str = "Ann Lee") -> bool:
    return reason_against(password, email, name) is not None


def test_each_of_the_common_passwords_is_refused():
    """S-05: all 30 000, not the first 3 000 only."""
    assert len(COMMON) == 30_000
    assert {"123456", "password", "qwerty", "iloveyou"} <= set(COMMON)
    assert [p for p in COMMON[:3000] if not refused(p)] == []
    assert [p for p in COMMON[3000::50] if not refused(p)] == []


@pytest.mark.parametrize("password", ["Password1", "PASSWORD1", "  password1 ", "\tiLoveYou\n"])
def test_case_and_blanks_around_make_no_other_password(password: str):
    assert refused(password)


@pytest.mark.parametrize(
    "password",
    ["rtchat", "RtChat2024", "rtchat-rtchat", "ann.lee", "annlee1999", "Ann Lee 1", "lee ann",
     "rtchatann", "example.org", "example1", "ann.lee@example.org", "ann.lee@example.org!!"],
)  # fmt: skip
def test_what_is_known_makes_no_password(password: str):
    """S-06: the service, the address and the name, whole or together, with digits and signs."""
    assert refused(password)


@pytest.mark.parametrize(
    "password",
    ["correct horse", "annabel's lee shore", "my rtchat password is long", "a b a b a b a b",
     "пароль моей бабушки", "\U0001f44d" * 8, "password1\npassword2", "", "7-4-1-9-3-2-8-5",
     "x" * 1024],
)  # fmt: skip
def test_nothing_else_is_refused(password: str):
    """S-03: no rules of composition."""
    assert not refused(password)


def test_what_is_not_known_is_no_word():
    assert reason_against("correct horse", None, None) is None
    assert reason_against("abababab1", "a@b", "ab") is None, "parts of everything"
    assert reason_against("rtchat99", None, None) is not None
    assert reason_against("王小明1987", None, "王小明") is not None


def test_words_of_anybodys_choice_cost_nothing():
    """A name is an attacker's to choose: no pattern is made of it."""
    assert reason_against("a" * 1024 + "b", "a" * 60 + "@" + "a" * 60, "a" * 20 + " aaa") is None
    assert reason_against("(a+)+$" * 20, "(a+)+$@example.org", ".*") is not None
