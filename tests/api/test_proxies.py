"""Behind a trusted proxy a scope tells of the client; from anybody else the headers say nothing."""

from typing import Any

import pytest

from rtchat.addresses import Proxies
from rtchat.api.asgi import Scope, address_of, client_of
from rtchat.api.proxies import Behind, behind

OURS = Proxies("10.0.0.0/8")


def scope(peer: str | None, kind: str = "http", **headers: str) -> Scope:
    found: dict[str, Any] = {
        "type": kind,
        "scheme": "ws" if kind == "websocket" else "http",
        "headers": [
            (name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()
        ],
    }
    if peer is not None:
        found["client"] = (peer, 4711)
    return found


def test_a_trusted_proxys_word_counts():
    asked = scope("10.0.0.1", x_forwarded_for="203.0.113.5", x_forwarded_proto="https")
    found = behind(OURS, asked)
    assert (address_of(found), found["scheme"]) == ("203.0.113.5", "https")
    assert client_of(found) == "203.0.113.5"
    assert address_of(asked) == "10.0.0.1", "the scope of an app around this one stays"


@pytest.mark.parametrize("peer", ["203.0.113.9", None])
@pytest.mark.parametrize("proxies", [OURS, Proxies("")])
def test_nobody_elses_word_counts(peer: str | None, proxies: Proxies):
    """S-54."""
    asked = scope(peer, x_forwarded_for="6.6.6.6", x_forwarded_proto="https")
    found = behind(proxies, asked)
    assert address_of(found) == (peer or "")
    assert found["scheme"] == "http"
    assert client_of(found) == (f"{peer}:4711" if peer else "-")


@pytest.mark.parametrize(
    ("said", "scheme"),
    [("https", "wss"), ("HTTPS ", "wss"), ("wss", "wss"), ("http", "ws"), ("https,http", "ws")],
)
def test_the_scheme_is_one_of_those_there_are(said: str, scheme: str):
    found = behind(OURS, scope("10.0.0.1", "websocket", x_forwarded_proto=said))
    assert found["scheme"] == scheme
    assert address_of(found) == "10.0.0.1", "said nothing of it"


def test_two_schemes_are_none():
    asked = scope("10.0.0.1", x_forwarded_proto="https")
    asked["headers"] *= 2
    assert behind(OURS, asked)["scheme"] == "http"


@pytest.mark.parametrize(
    ("listed", "peer", "told"),
    [
        ("", "10.0.0.1", 1),
        ("", "127.0.0.1", 1),
        ("", "8.8.8.8", 0),  # anybody may send the header
        ("", None, 0),
        ("192.168.0.1", "10.0.0.1", 0),  # somebody has thought of it
    ],
)
def test_a_proxy_that_was_forgotten_is_told_of_once(
    caplog: pytest.LogCaptureFixture, listed: str, peer: str | None, told: int
):
    """Or all its clients would share the limits of one address, and nobody would know why."""
    seen = Behind(Proxies(listed))
    seen(scope(peer))
    assert caplog.records == []
    for _ in range(3):
        asked = scope(peer, x_forwarded_for="203.0.113.5")
        assert seen(asked) is asked
    assert len([r for r in caplog.records if "proxy is not trusted" in r.getMessage()]) == told
