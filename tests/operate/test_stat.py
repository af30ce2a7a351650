"""Rates and quantiles of what two scrapes say: true, also where a pod began anew."""

import bisect
import math
import random

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

from rtchat.operate.stat import Delta, Scrape, delta, quantile, read, row, total

BOUNDS = (0.001, 0.01, 0.1, 1.0)


class Numbers:
    """A pod's numbers, written by Prometheus' own library."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        registry = self._registry
        self.connections = Gauge("rtchat_connections", "x", registry=registry)
        self.bus = Gauge("rtchat_bus_connected", "x", registry=registry)
        self.queue = Gauge("rtchat_writer_queue_rows", "x", registry=registry)
        self.subscriptions = Gauge("rtchat_subscriptions", "x", ["state"], registry=registry)
        self.commands = Counter("rtchat_commands", "x", ["type"], registry=registry)
        self.acks = Counter("rtchat_acks", "x", registry=registry)
        self.errors = Counter("rtchat_errors", "x", ["via", "code"], registry=registry)
        self.ack_seconds = Histogram("rtchat_ack_seconds", "x", buckets=BOUNDS, registry=registry)

    def scrape(self, at: float) -> Scrape:
        return read(generate_latest(self._registry).decode(), at)


def between(numbers: Numbers, seconds: float = 2.0) -> Delta:
    """What happens between two scrapes, in which it says hello, sends, and fails."""
    before = numbers.scrape(10.0)
    numbers.commands.labels("send").inc(8)
    numbers.commands.labels("ping").inc(100)
    numbers.acks.inc(6)
    numbers.errors.labels("rest", "not_found").inc()
    numbers.errors.labels("websocket", "bad_json").inc(3)
    for seen in (0.005, 0.005, 0.05):
        numbers.ack_seconds.observe(seen)
    return delta(before, numbers.scrape(10.0 + seconds))


@pytest.fixture
def numbers() -> Numbers:
    made = Numbers()
    made.connections.set(7)
    made.bus.set(1)
    made.queue.set(3)
    made.subscriptions.labels("live").set(5)
    made.subscriptions.labels("catching_up").set(2)
    made.subscriptions.labels("joining").set(1)
    made.commands.labels("send").inc(1000)
    made.ack_seconds.observe(0.9)
    return made


def test_a_row_has_what_is_and_what_happened_a_second(numbers: Numbers):
    shown = row(between(numbers))
    assert (shown.connections, shown.live, shown.catching_up) == (7, 5, 2)
    assert (shown.sends, shown.acks, shown.errors) == (4, 3, 2)
    assert (shown.queue_rows, shown.bus) == (3, 1)
    assert shown.ack_p50_ms is not None
    assert 1 < shown.ack_p50_ms <= 10, "of these three, not of the one before"


def test_what_a_pod_does_not_tell_is_not_shown_as_zero(numbers: Numbers):
    shown = row(between(numbers))
    assert (shown.deliveries, shown.lag_p99_ms) == (None, None)
    quiet = Numbers()
    assert row(delta(quiet.scrape(1), quiet.scrape(2))).acks == 0
    assert row(delta(numbers.scrape(1), numbers.scrape(2))).ack_p99_ms is None


def test_a_pod_that_began_anew_counts_from_nothing(numbers: Numbers):
    anew = Numbers()
    anew.connections.set(1)
    anew.commands.labels("send").inc(4)
    anew.acks.inc(2)
    anew.ack_seconds.observe(0.05)
    numbers.acks.inc(10)
    numbers.ack_seconds.observe(0.9)
    shown = row(delta(numbers.scrape(1.0), anew.scrape(3.0)))
    assert (shown.sends, shown.acks) == (2, 1)
    assert shown.ack_p99_ms is not None
    assert 10 < shown.ack_p99_ms <= 100


def test_several_pods_together(numbers: Numbers):
    """Numbers add up, times are of all observations, and the bus stands where it does for all."""
    other = Numbers()
    other.connections.set(3)
    one, two = between(numbers), between(other)
    both = row(total([one, two]))
    assert (both.connections, both.sends, both.bus) == (10, 8, 0)
    assert both.ack_p50_ms == row(one).ack_p50_ms
    assert row(total([one])) == row(one)
    assert row(total([two, two])).connections == 6, "nothing is added to what was handed in"


def cumulated(values: list[float]) -> dict[float, float]:
    ordered = sorted(values)
    return {bound: bisect.bisect_right(ordered, bound) for bound in (*BOUNDS, math.inf)}


def test_a_quantile_is_in_the_bucket_of_the_true_one():
    generator = random.Random(7)
    for _ in range(300):
        values = [10 ** generator.uniform(-4, 0.5) for _ in range(generator.randint(1, 50))]
        for q in (0.5, 0.99):
            true = sorted(values)[max(0, math.ceil(q * len(values)) - 1)]
            found = quantile(cumulated(values), q)
            assert found is not None
            at = bisect.bisect_left(BOUNDS, true)
            low, high = (0.0, *BOUNDS)[at], (*BOUNDS, BOUNDS[-1])[at]
            assert low <= found <= high


def test_there_is_no_quantile_of_nothing():
    assert quantile({}, 0.5) is None
    assert quantile(dict.fromkeys((0.1, math.inf), 0.0), 0.5) is None


def test_what_is_no_number_is_not_seen(numbers: Numbers):
    """NaN is what a pod says of what it could not see; nothing of it is shown as a number."""
    for value in (math.nan, math.inf, -math.inf):
        numbers.connections.set(value)
        numbers.queue.set(value)
        numbers.subscriptions.labels("live").set(value)
        shown = row(between(numbers))
        assert (shown.connections, shown.queue_rows, shown.live) == (None, None, None)
        assert shown.catching_up == 2
    numbers.connections.set(1.7e308)
    both = row(total([between(numbers), between(numbers)]))
    assert both.connections is None, "no sum is without end"


def test_what_cannot_be_read_is_quoted_harmlessly():
    with pytest.raises(ValueError, match="metrics") as refused:
        read('rtchat_connections{a="\x1b[2J\x07', 0.0)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    "text", ["", "nonsense", "{", 'a_bucket{le="NaN"} 1', 'a{le="x"} 1', "# TYPE a b c", "up 1\n"]
)
def test_what_are_no_metrics_of_a_pod_is_said(text: str):
    with pytest.raises(ValueError, match="metrics"):
        read(text, 0.0)
