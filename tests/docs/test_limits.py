"""What the settings say of their limits for docs/limits.md is true of the code."""

import pytest

from rtchat.api.rates import RATES, Limited, Whose
from rtchat.config import Config
from rtchat.errors import Close, Code
from rtchat.settings import NAMES, meta
from tests.docs.limits_page import CHOICES, GROUPS, at, closes_at, errors_at, grouped

NUMBERS = [name for name in NAMES if isinstance(getattr(Config(), name), int)]
LIMITS = [name for name in NUMBERS if at(name)]
CODES = {code.value for code in Code}
CLOSES = {int(close) for close in Close}


def test_every_number_is_a_limit_or_a_choice():
    """S-73: whoever adds a limit says whose it is, and what is answered there."""
    assert set(NUMBERS) - set(LIMITS) == CHOICES


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_names_codes_that_exist(name: str):
    assert (meta(name).extra or {})["of"]
    assert set(errors_at(name)) <= CODES
    assert set(closes_at(name)) <= CLOSES


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_says_the_same_to_people_and_to_programs(name: str):
    """Every error code and close code in its words is among its codes."""
    words = meta(name).description or ""
    told = words.partition("beyond: ")[2] or words
    for code in CODES - {"forbidden"}:
        if f"`{code}`" in told:
            assert code in errors_at(name)
    for close in CLOSES:
        if str(close) in told.partition(";")[0] and name != "user_floods_per_minute":
            assert close in closes_at(name)


def test_every_limit_stands_in_one_group():
    found = [name for names in grouped().values() for name in names]
    assert sorted(found) == sorted(LIMITS)
    assert all(grouped()[title] for title in GROUPS)


@pytest.mark.parametrize("name", Limited)
def test_a_rate_is_of_whom_the_table_counts(name: Limited):
    line = RATES[name]
    whose = "socket" if line.whose is Whose.CONNECTION else line.whose.value
    extra = meta(line.settings[0]).extra or {}
    assert extra["of"] == whose
    assert "rate_limited" in errors_at(line.settings[0])
