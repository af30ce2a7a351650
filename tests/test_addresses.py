"""Whom to believe about a client's address, and what counts as one."""

import pytest
from hypothesis import example, given, strategies as st

from rtchat.addresses import ANY_PEER, ENTRIES_MAX, Proxies, counted_as, of_this_machine, parse
from rtchat.config import Config, ConfigError

OURS = Proxies("10.0.0.0/8, 192.0.2.7, fd00::/8")


@pytest.mark.parametrize(
    ("forwarded_for", "client"),
    [
        ([], "10.0.0.1"),
        (["203.0.113.5"], "203.0.113.5"),
        (["198.51.100.1, 203.0.113.5"], "203.0.113.5"),  # the first one is the client's own words
        (["203.0.113.5, 10.0.0.2, 192.0.2.7"], "203.0.113.5"),
        (["198.51.100.1", "203.0.113.5,10.0.0.2"], "203.0.113.5"),  # two headers are one list
        (["203.0.113.5:4711"], "203.0.113.5"),
        (["[2001:db8::5]:4711"], "2001:db8::5"),
        (["[2001:db8::5]"], "2001:db8::5"),
        (["2001:db8::5"], "2001:db8::5"),
        (["::ffff:203.0.113.5"], "203.0.113.5"),
        ([" \t203.0.113.5 "], "203.0.113.5"),
        (["10.0.0.3, 10.0.0.2"], "10.0.0.3"),  # one of our own asks
        (["203.0.113.5, unknown"], "10.0.0.1"),
        (["203.0.113.5, garbage, 10.0.0.2"], "10.0.0.2"),
        (["fe80::1%eth0"], "10.0.0.1"),
        (["203.0.113.5:"], "10.0.0.1"),
        (["[2001:db8::5"], "10.0.0.1"),
        (["[2001:db8::5]x"], "10.0.0.1"),
        (["1.2.3.4.5"], "10.0.0.1"),
        (["٢٠٣.0.113.5"], "10.0.0.1"),
        (["0x7f.1"], "10.0.0.1"),
        ([""], "10.0.0.1"),
        (["203.0.113.5,"], "10.0.0.1"),
        (["', DROP TABLE users; --"], "10.0.0.1"),
    ],
)
def test_the_client_is_the_last_that_is_no_proxy(forwarded_for: list[str], client: str):
    """B-H30: what is no address ends the search at the last that can be named."""
    assert OURS.client("10.0.0.1", forwarded_for) == client


def test_so_many_proxies_in_a_row_are_believed_and_no_more():
    row = ["203.0.113.5", *["10.0.0.2"] * (ENTRIES_MAX - 1)]
    assert OURS.client("10.0.0.1", [", ".join(row)]) == "203.0.113.5"
    assert OURS.client("10.0.0.1", [", ".join([*row, "10.0.0.2"])]) == "10.0.0.2"
    assert OURS.client("10.0.0.1", ["203.0.113.5"] * 1000) == "203.0.113.5"


@given(st.lists(st.text(max_size=50), max_size=5))
@example(["203.0.113.5, ::1%1"])
def test_whatever_is_sent_the_answer_is_an_address(forwarded_for: list[str]):
    assert parse(OURS.client("10.0.0.1", forwarded_for)) is not None


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        ("10.0.0.1", True),
        ("::ffff:10.0.0.1", True),
        ("192.0.2.7", True),
        ("fd00::1", True),
        ("192.0.2.8", False),
        ("2001:db8::1", False),
        ("", False),
        ("testclient", False),
    ],
)
def test_a_peer_is_trusted_by_its_address(peer: str, trusted: bool):
    assert OURS.trusts_peer(peer) is trusted


def test_by_default_nobody_is_trusted():
    assert not Proxies("")
    assert not Proxies("").trusts_peer("127.0.0.1")


def test_any_peer_may_be_a_proxy_where_that_is_said():
    """Then the last entry counts, which our proxy has written, not the first."""
    proxies = Proxies(ANY_PEER)
    assert proxies.trusts_peer("198.51.100.9")
    assert proxies.client("198.51.100.9", ["6.6.6.6, 203.0.113.5"]) == "203.0.113.5"


@pytest.mark.parametrize(
    "listed", ["*", "10.0.0.1, *", "10.0.0.1/8", "proxy.example", "any-peer,::1"]
)
def test_what_is_no_list_of_proxies_stops_the_start(listed: str):
    """S-54: `*` above all, which must be meant."""
    way_out = ANY_PEER if "*" in listed else listed.partition(",")[0]
    with pytest.raises(ConfigError, match=f"RTCHAT_TRUSTED_PROXIES.*{way_out}"):
        Config(trusted_proxies=listed)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("203.0.113.5", "203.0.113.5", True),
        ("203.0.113.5", "203.0.113.6", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:203.0.113.5", "203.0.113.5", True),
        ("garbage:", "garbage:", True),
    ],
)
def test_an_address_of_ipv6_counts_as_its_first_half(one: str, other: str, same: bool):
    assert (counted_as(one) == counted_as(other)) is same


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_what_is_this_machine(host: str):
    assert of_this_machine(host)


@pytest.mark.parametrize("host", ["", "localhost.evil.example", "10.0.0.1", "128.0.0.1", "::2"])
def test_nothing_else_is_this_machine(host: str):
    assert not of_this_machine(host)
