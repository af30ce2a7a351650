"""Every answer is safe for browsers, and readable by listed pages only (S-49, S-50)."""

import pytest

from rtchat.config import Config, ConfigError
from rtchat.headers import PREFLIGHT_S, AnswerHeaders, Headers

PAGE = "https://chat.example"
LISTED = AnswerHeaders(Config(origins=f"{PAGE}, http://localhost:3000"))
UNLISTED = AnswerHeaders(Config())


def of(
    *origins: str, headers: AnswerHeaders = LISTED, scheme: str = "http", path: str = "/users"
) -> dict[str, str]:
    pairs = headers.of(scope(*origins, scheme=scheme, path=path))
    assert len({name for name, _ in pairs}) == len(pairs)
    return {name.decode(): value.decode() for name, value in pairs}


def scope(*origins: str, scheme: str = "http", path: str = "/users") -> dict[str, object]:
    found: Headers = [(b"origin", origin.encode("latin-1")) for origin in origins]
    return {"scheme": scheme, "path": path, "headers": [(b"host", b"rtchat.test"), *found]}


def test_a_browser_is_told_what_not_to_do():
    """OWASP ASVS 3.4.3 to 3.4.6: no guessing of types, no loading, no framing, no storing."""
    assert of(headers=UNLISTED) == {
        "x-content-type-options": "nosniff",
        "cache-control": "no-store",
        "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
        "referrer-policy": "no-referrer",
        "cross-origin-resource-policy": "same-origin",
    }


@pytest.mark.parametrize(("scheme", "told"), [("https", True), ("wss", True), ("http", False)])
def test_https_is_insisted_on_only_by_https(scheme: str, told: bool):
    """RFC 6797 §7.2: not over what anybody on the way may change."""
    assert of(scheme=scheme).get("strict-transport-security") == (
        "max-age=31536000" if told else None
    )


def test_to_insist_on_https_can_be_switched_off():
    headers = AnswerHeaders(Config(hsts_s=0))
    assert "strict-transport-security" not in of(headers=headers, scheme="https")


@pytest.mark.parametrize("origin", [PAGE, "http://localhost:3000"])
def test_a_listed_page_may_read_answers(origin: str):
    """It is named; with what it may see; and not to the caches of others."""
    told = of(origin)
    assert told["access-control-allow-origin"] == origin
    assert told["access-control-expose-headers"] == "retry-after, x-request-id"
    assert told["vary"] == "origin"


@pytest.mark.parametrize(
    "origins",
    [
        (), ("null",), ("",), ("*",), ("https://evil.example",), ("http://chat.example",),
        ("https://chat.example:8443",), ("https://chat.example:443",), ("https://chat.example.",),
        ("https://chat.example.evil.example",), ("https://evilchat.example",),
        ("https://evil.example/https://chat.example",), ("HTTPS://chat.example",),
        ("https://CHAT.example",), ("https://chat.example/",), (" https://chat.example",),
        ("https://chat.example https://evil.example",), ("https://chat.example,*",),
        (PAGE, PAGE), (PAGE, "https://evil.example"), ("https://chat.example\xff",),
        ("https://user@chat.example",), ("http://localhost",), ("http://localhost:30000",),
    ],
    ids=" + ".join,
)  # fmt: skip
def test_no_other_page_may(origins: tuple[str, ...]):
    """Equal to the letter, and one: nothing is echoed, no pattern fits."""
    told = of(*origins)
    assert not [name for name in told if name.startswith("access-control")]
    assert told["vary"] == "origin"
    assert LISTED.preflight(scope(*origins), ["GET"]) == []


def test_where_no_page_is_listed_nothing_is_said_of_pages():
    told = of(PAGE, headers=UNLISTED)
    assert not [name for name in told if name.startswith("access-control") or name == "vary"]


@pytest.mark.parametrize("path", ["/users/me", "/channels", "/auth", "/author", "/x/auth/", "/ws"])
def test_cookies_are_not_a_foreign_pages_to_use(path: str):
    """Whoever may read answers proves who asks by a bearer token."""
    assert "access-control-allow-credentials" not in of(PAGE, path=path)


def test_a_listed_page_goes_on_with_a_sign_in_that_it_began():
    """Its browser is known by a cookie, which alone gives nothing; no other page's is."""
    path = "/auth/oauth/exchange"
    assert of(PAGE, path=path)["access-control-allow-credentials"] == "true"
    for origin in ("https://evil.example", "null"):
        assert "access-control-allow-credentials" not in of(origin, path=path)


def test_a_preflight_tells_what_a_script_may_ask_for():
    """The methods of the path, the two headers that matter, and for how long to believe it."""
    assert dict(LISTED.preflight(scope(PAGE), ["POST", "GET"])) == {
        b"access-control-allow-methods": b"GET, POST",
        b"access-control-allow-headers": b"authorization, content-type",
        b"access-control-max-age": b"600",
    }
    assert 0 < PREFLIGHT_S <= 7200


@pytest.mark.parametrize(
    "origins",
    ["*", "null", "chat.example", "https://*.example", "https://Chat.example", "https://a.example/x",
     "https://", "https://a.example https://b.example", "https://a.example?x", "https://u@a.example"],
)  # fmt: skip
def test_what_no_page_can_come_from_is_no_setting(origins: str):
    """It would never match; whoever sets it believes that it does."""
    with pytest.raises(ConfigError, match="origins"):
        Config(origins=f"https://chat.example,{origins}")


@pytest.mark.parametrize(
    "origins",
    ["", "https://chat.example", "https://chat.example/", "http://[::1]:8000, http://10.0.0.1",
     "capacitor://localhost", "https://xn--bcher-kva.example:8443"],
)  # fmt: skip
def test_origins_are_as_browsers_write_them(origins: str):
    assert Config(origins=origins).origins == origins
