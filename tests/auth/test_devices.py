"""A device is known by a cookie that only this server can have made, for one account."""

import re

import pytest
from hypothesis import given, strategies as st

from rtchat.auth.devices import LIFE_S, Devices
from rtchat.config import Config

SECRET, OTHER = "s" * 40, "o" * 40
NOW = 1_763_800_000.0
ONES = Devices(Config(secret_key=SECRET))
ANN = ONES.account("ann@example.org")


def sent_back(set_cookie: bytes) -> str:
    """The `Cookie` header of a browser that was given this."""
    return set_cookie.decode().partition(";")[0]


def test_the_cookie_of_a_sign_in_makes_the_device_known():
    given_back = sent_back(ONES.cookie(ANN, None, NOW, secure=True))
    device = ONES.find(f"a=b; {given_back}; c", ANN, NOW, secure=True)
    assert device
    again = sent_back(ONES.cookie(ANN, device, NOW + 5, secure=True))
    assert ONES.find(again, ANN, NOW + LIFE_S, secure=True) == device, "the same, and for longer"


def test_over_tls_it_is_bound_to_this_host():
    """S-51: `__Host-`, Secure, HttpOnly, SameSite."""
    parts = ONES.cookie(ANN, None, NOW, secure=True).decode().split("; ")
    assert parts[0].startswith("__Host-rtchat-device=")
    assert parts[1:] == ["Path=/", f"Max-Age={LIFE_S}", "HttpOnly", "SameSite=Lax", "Secure"]
    plain = ONES.cookie(ANN, None, NOW, secure=False).decode()
    assert plain.startswith("rtchat-device=")
    assert "Secure" not in plain
    assert ONES.find(sent_back(plain.encode()), ANN, NOW, secure=True) is None


def test_it_is_of_one_account_and_ends():
    cookie = sent_back(ONES.cookie(ANN, None, NOW, secure=False))
    assert ONES.find(cookie, ONES.account("bob@example.org"), NOW, secure=False) is None
    assert ONES.find(cookie, ANN, NOW + LIFE_S, secure=False) is None


def test_keys_are_rotated_without_forgetting_devices():
    cookie = sent_back(ONES.cookie(ANN, None, NOW, secure=False))
    others = Devices(Config(secret_key=OTHER))
    rotated = Devices(Config(secret_key=OTHER, secret_keys_old=SECRET))
    assert others.find(cookie, ANN, NOW, secure=False) is None
    assert rotated.find(cookie, ANN, NOW, secure=False)


@given(st.text(max_size=100))
def test_nothing_else_is_a_device(text: str):
    for cookies in (text, f"rtchat-device={text}", f"rtchat-device={text}.{text}.{text}"):
        assert ONES.find(cookies, ANN, NOW, secure=False) is None


@pytest.mark.parametrize("at", [0, 30, -1])
def test_a_cookie_that_was_changed_is_none(at: int):
    cookie = sent_back(ONES.cookie(ANN, None, NOW, secure=False))
    value = cookie.partition("=")[2]
    at %= len(value)
    changed = value[:at] + ("A" if value[at] != "A" else "B") + value[at + 1 :]
    assert ONES.find(f"rtchat-device={changed}", ANN, NOW, secure=False) is None
    assert ONES.find(None, ANN, NOW, secure=False) is None


@pytest.mark.parametrize("written", ["ANN@example.org", "aNN@EXAMPLE.ORG", "ann@example.org"])
def test_an_account_has_one_name_however_its_address_is_written(written: str):
    assert ONES.account(written) == ANN


def test_ways_of_writing_that_the_database_takes_for_one_are_one():
    """PostgreSQL makes of a dotted capital I an i, and of a capital sigma no final one."""
    assert ONES.account("vict\u0130m@x") == ONES.account("victim@x")
    assert ONES.account("\u0391\u03a3@x") == ONES.account("\u03b1\u03c3@x")


def test_the_name_of_an_account_does_not_tell_its_address():
    assert re.fullmatch(r"[A-Za-z0-9_-]{24}", ANN)
    assert Devices(Config(secret_key=OTHER)).account("ann@example.org") != ANN
