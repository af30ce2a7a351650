"""Which pods `rtchat stat` asks: those that were named, all behind a name, or the one beside it."""

import socket

import pytest

from rtchat.config import Config
from rtchat.operate import asking, stat
from rtchat.operate.watch import (
    ANOTHER,
    PODS_MAX,
    SEVERAL,
    Pod,
    Target,
    Watch,
    WrongUrlError,
    one_family,
    urls,
)

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


def test_several_workers_on_one_port_are_not_one_pod():
    """Each look would meet another of them; who names a URL knows what is there."""
    with pytest.raises(WrongUrlError, match="RTCHAT_INTERNAL_PORT"):
        urls([], Config(port=8000), 2)
    assert urls(["pod-1"], Config(port=8000), 2) == ["http://pod-1/metrics"]


def scrape(process: float | None, acks: int = 0) -> stat.Scrape:
    told = f"process_start_time_seconds {process}\n" if process else ""
    return stat.read(f"{told}rtchat_connections 1\nrtchat_acks_total {acks}\n", float(acks))


def test_there_are_no_rates_between_two_processes():
    """A pod that began anew has them from its second look on; several in turn never."""
    pod = Pod()
    assert pod.compared(scrape(1.0)) is None
    assert isinstance(pod.compared(scrape(1.0, 1)), stat.Delta)
    assert pod.compared(scrape(7.0, 2)) == ANOTHER
    assert isinstance(pod.compared(scrape(7.0, 3)), stat.Delta)
    assert pod.compared("no answer") == "no answer"
    assert pod.compared(scrape(9.0, 4)) == ANOTHER
    assert isinstance(pod.compared(scrape(9.0, 5)), stat.Delta)
    assert pod.compared(scrape(7.0, 6)) == SEVERAL, "one of before is there still"
    assert pod.compared(scrape(7.0, 7)) == SEVERAL, "and its rates are not those of all"


def test_a_pod_that_does_not_tell_its_start_is_taken_for_one():
    pod = Pod()
    assert pod.compared(scrape(None)) is None
    assert isinstance(pod.compared(scrape(None, 1)), stat.Delta)


async def test_pods_that_are_too_many_are_told():
    """Not left out in silence."""
    many = [f"http://127.0.0.1:1/{number}" for number in range(PODS_MAX + 2)]
    async with asking.client() as http:
        looks = await Watch(many, "token").look(http)
    assert len(looks) == PODS_MAX + 1
    assert looks[-1] == ("2 more", f"not asked: {PODS_MAX} pods at most")


def test_of_a_name_with_several_addresses_each_pod_is_asked_once():
    """Where pods have one of each kind, they would be there twice."""
    both = [(V6, "fd00::2"), (V4, "10.0.0.2"), (V4, "10.0.0.1"), (V6, "fd00::1"), (V4, "10.0.0.1")]
    assert one_family(both) == ["10.0.0.1", "10.0.0.2"]
    assert one_family([(V6, "fd00::1")]) == ["fd00::1"]
    assert one_family([]) == []


def test_a_pod_is_called_by_its_address():
    assert Target("http://pods:8001/metrics", "10.0.0.1").name == "10.0.0.1:8001"
    assert Target("https://pods/metrics", "fd00::1").name == "[fd00::1]"
