"""Where browsers are sent, and the one cookie: whatever comes, no foreign page or secret."""

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given, strategies as st

from rtchat.auth.sso.pages import CODE, Pages, digest, new_secret, same
from rtchat.config import Config

HOST = "chat.example"
PAGES = Pages(Config(public_url=f"https://{HOST}"))
LOCAL = Pages(
    Config(public_url="http://localhost:8000", sso_return_url="http://localhost:8000/app")
)
SLASHES = st.text(st.sampled_from("/\\.:@?#&=%a\t\n evil"), max_size=20)


@given(st.text(max_size=50) | SLASHES | SLASHES.map(lambda text: f"/{text}"))
def test_s_36_every_page_is_of_this_server(wanted: str):
    page = PAGES.page(wanted)
    parts = urlsplit(page)
    assert (parts.scheme, parts.netloc) == ("https", HOST)
    assert parts.path.startswith("/")
    assert not parts.path.startswith(("//", "/\\"))
    assert page.isascii()
    assert page.isprintable()
    assert " " not in page
    told = urlsplit(PAGES.landing(page, code="x y", error="é"))
    assert dict(parse_qsl(told.query))["code"] == "x y"
    assert told.netloc == HOST


def test_the_page_that_is_set_up_is_the_default():
    assert PAGES.page(None) == f"https://{HOST}/"
    assert LOCAL.page("//evil") == "http://localhost:8000/app"
    assert LOCAL.page("/x?y=1") == "http://localhost:8000/x?y=1"
    assert LOCAL.landing("http://localhost:8000/x?y=1", code="c").endswith("/x?y=1&code=c")


def test_s_51_the_cookies_of_both_kinds():
    assert PAGES.set_cookie("v") == (
        b"__Host-rtchat-sso=v; Path=/; Max-Age=660; HttpOnly; SameSite=Lax; Secure"
    )
    assert LOCAL.set_cookie("v") == b"rtchat-sso=v; Path=/; Max-Age=660; HttpOnly; SameSite=Lax"
    assert b"Max-Age=0;" in PAGES.drop_cookie()


@given(st.text(max_size=200))
def test_any_cookie_header_is_read(cookies: str):
    found = PAGES.browser_of(cookies)
    assert found is None or CODE.fullmatch(found)


@given(st.lists(st.sampled_from(["a=b", "x", "=", "", " ", "__Host-rtchat-sso-2=z"]), max_size=5))
def test_the_cookie_is_found_among_others_and_once_only(others: list[str]):
    secret = new_secret()
    own = f"__Host-rtchat-sso={secret}"
    assert PAGES.browser_of("; ".join([*others, own])) == secret
    assert PAGES.browser_of("; ".join([own, *others, own])) is None
    assert PAGES.browser_of(None) is None


def test_s_72_secrets_are_256_bits_and_kept_as_digests():
    secrets = {new_secret() for _ in range(100)}
    assert len(secrets) == 100
    for secret in secrets:
        assert CODE.fullmatch(secret)
        assert same(secret, digest(secret))
        assert secret not in digest(secret)
        assert not same(secret[:-1], digest(secret))
    assert not same(None, digest(""))


@pytest.mark.parametrize("secret", ["", "\ud800", "ä" * 43])
def test_any_text_is_compared(secret: str):
    assert not same(secret, digest(new_secret()))
