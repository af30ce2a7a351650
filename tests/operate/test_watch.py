"""Which pods `rtchat stat` asks: those that were named, all behind a name, or the one beside it."""

import socket

import pytest

from rtchat.config import Config
from rtchat.operate.watch import Target, WrongUrlError, one_family, urls

V4, V6 = socket.AF_INET, socket.AF_INET6


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ("pod-1:8001", "http://pod-1:8001/metrics"),
        ("http://pod-1:8001/", "http://pod-1:8001/metrics"),
        ("https://pod-1/own/metrics", "https://pod-1/own/metrics"),
        ("[::1]:8001", "http://[::1]:8001/metrics"),
        ("pod-1", "http://pod-1/metrics"),
    ],
)
def test_a_url_may_be_short(given: str, asked: str):
    assert urls([given], Config(), 1) == [asked]


@pytest.mark.parametrize("given", ["", "http://", "ftp://pod-1", "http://[::1", "a b:99999"])
def test_what_is_no_url_is_refused(given: str):
    with pytest.raises(WrongUrlError):
        urls([given], Config(), 1)


def test_without_a_url_it_is_the_server_of_these_settings():
    """Where operators' paths are: on the port of clients, or on each worker's internal port."""
    assert urls([], Config(host="0.0.0.0"), 1) == ["http://127.0.0.1:8000/metrics"]
    assert urls([], Config(host="::1", internal_port=8001), 2) == [
        "http://[::1]:8001/metrics",
        "http://[::1]:8002/metrics",
    ]
    with pytest.raises(WrongUrlError, match="any port"):
        urls([], Config(port=0), 1)


def test_of_a_name_with_several_addresses_each_pod_is_asked_once():
    """Where pods have one of each kind, they would be there twice."""
    both = [(V6, "fd00::2"), (V4, "10.0.0.2"), (V4, "10.0.0.1"), (V6, "fd00::1"), (V4, "10.0.0.1")]
    assert one_family(both) == ["10.0.0.1", "10.0.0.2"]
    assert one_family([(V6, "fd00::1")]) == ["fd00::1"]
    assert one_family([]) == []


def test_a_pod_is_called_by_its_address():
    assert Target("http://pods:8001/metrics", "10.0.0.1").name == "10.0.0.1:8001"
    assert Target("https://pods/metrics", "fd00::1").name == "[fd00::1]"
