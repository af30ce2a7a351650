"""`rtchat stat`: what two scrapes of a pod say of the time between them. Pure.

Owns: which families are shown, and how rates and quantiles are made of them. Must never:
take a counter that fell for a negative rate (the pod began anew), or show what it did not see as 0.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

from prometheus_client.parser import text_string_to_metric_families

from rtchat.operate.terminal import printable

K = TypeVar("K")
OWN = "rtchat_connections"
Buckets = dict[float, float]  # how many were at most so large, by their bound


class Scrape(NamedTuple):
    """A pod's metrics at one time: sums of each series' values over its other labels."""

    at: float
    totals: dict[str, float]
    by_label: dict[
        tuple[str, str], float
    ]  # of one label's value: ("rtchat_commands_total", "send")
    buckets: dict[str, Buckets]

    @property
    def process(self) -> float | None:
        """When the process began that answered: its name, as it were; None: not told."""
        return self.totals.get("process_start_time_seconds")


def read(text: str, at: float) -> Scrape:
    """Read Prometheus' text format. Raises ValueError for what is none."""
    scrape = Scrape(at, {}, {}, {})
    names = set()
    try:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                names.add(sample.name)
                if math.isfinite(sample.value):  # NaN stands for what its pod did not see
                    _add(scrape, sample.name, sample.labels, sample.value)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        said = printable(str(error))
        raise ValueError(f"no metrics in Prometheus' text format: {said}") from None
    if OWN not in names:
        raise ValueError("metrics, and none of rtchat's")
    return scrape


def _add(scrape: Scrape, name: str, labels: Mapping[str, str], value: float) -> None:
    if "le" in labels:
        buckets = scrape.buckets.setdefault(name.removesuffix("_bucket"), {})
        bound = float(labels["le"])
        if math.isnan(bound):
            raise ValueError("a bucket without a bound")
        buckets[bound] = buckets.get(bound, 0.0) + value
        return
    scrape.totals[name] = scrape.totals.get(name, 0.0) + value
    for label in labels.values():
        scrape.by_label[name, label] = scrape.by_label.get((name, label), 0.0) + value


class Row(NamedTuple):
    """One line of the table; None: not seen."""

    connections: float | None
    live: float | None
    catching_up: float | None
    sends: float | None  # a second, as the next
    acks: float | None
    ack_p50_ms: float | None
    ack_p99_ms: float | None
    deliveries: float | None
    queue_rows: float | None
    lag_p99_ms: float | None
    errors: float | None
    bus: float | None  # 1: it stands


class Delta(NamedTuple):
    """What happened between two scrapes of one pod, to be shown, or added to other pods'."""

    now: Scrape
    rates: dict[str, float]
    ack: Buckets
    lag: Buckets


RATES = {
    "sends": ("rtchat_commands_total", "send"),
    "acks": ("rtchat_acks_total", None),
    "deliveries": ("rtchat_deliveries_total", None),
    "errors": ("rtchat_errors_total", None),
}


def delta(before: Scrape, now: Scrape) -> Delta:
    """What happened between the two."""
    seconds = max(now.at - before.at, 1e-3)
    rates = {}
    for name, (family, label) in RATES.items():
        new, old = (_value(scrape, family, label) for scrape in (now, before))
        if new is not None:
            rates[name] = _rise(old or 0.0, new) / seconds
    ack, lag = (_between(before, now, f"rtchat_{n}_seconds") for n in ("ack", "loop_lag"))
    return Delta(now, rates, ack, lag)


def _value(scrape: Scrape, family: str, label: str | None) -> float | None:
    """None: there is no such family; 0 for a label's value that was not counted yet."""
    found = scrape.totals.get(family)
    return found if label is None or found is None else scrape.by_label.get((family, label), 0.0)


def _rise(old: float, new: float) -> float:
    return new - old if new >= old else new  # it fell: the process began anew, from 0


def _between(before: Scrape, now: Scrape, family: str) -> Buckets:
    old, new = before.buckets.get(family, {}), now.buckets.get(family, {})
    if new.get(math.inf, 0.0) < old.get(math.inf, 0.0):
        return dict(new)
    return {bound: count - old.get(bound, 0.0) for bound, count in new.items()}


def total(deltas: Sequence[Delta]) -> Delta:
    """Several pods as one: sums of rates and of values, quantiles of all observations together."""
    now = Scrape(max(d.now.at for d in deltas), {}, {}, {})
    rates: dict[str, float] = {}
    ack: Buckets = {}
    lag: Buckets = {}
    for one in deltas:
        _sum(now.totals, one.now.totals)
        _sum(now.by_label, one.now.by_label)
        _sum(rates, one.rates)
        _sum(ack, one.ack)
        _sum(lag, one.lag)
    standing = [d.now.totals.get("rtchat_bus_connected", 0.0) for d in deltas]
    now.totals["rtchat_bus_connected"] = min(standing)
    return Delta(now, rates, ack, lag)


def _sum(into: dict[K, float], more: Mapping[K, float]) -> None:
    for key, value in more.items():
        into[key] = into.get(key, 0.0) + value


def row(seen: Delta) -> Row:
    """What the table shows of it."""
    state = "rtchat_subscriptions"
    shown = Row(
        connections=seen.now.totals.get(OWN),
        live=seen.now.by_label.get((state, "live")),
        catching_up=seen.now.by_label.get((state, "catching_up")),
        sends=seen.rates.get("sends"),
        acks=seen.rates.get("acks"),
        ack_p50_ms=_ms(quantile(seen.ack, 0.5)),
        ack_p99_ms=_ms(quantile(seen.ack, 0.99)),
        deliveries=seen.rates.get("deliveries"),
        queue_rows=seen.now.totals.get("rtchat_writer_queue_rows"),
        lag_p99_ms=_ms(quantile(seen.lag, 0.99)),
        errors=seen.rates.get("errors"),
        bus=seen.now.totals.get("rtchat_bus_connected"),
    )
    # Sums of numbers that no pod of ours has may have no end.
    return Row(*(v if v is not None and math.isfinite(v) else None for v in shown))


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000


def quantile(buckets: Buckets, q: float) -> float | None:
    """As Prometheus' histogram_quantile: linear within a bucket; beyond the last bound, that."""
    bounds = sorted(buckets)
    if not bounds or not buckets[bounds[-1]]:
        return None
    wanted = q * buckets[bounds[-1]]
    low, below = 0.0, 0.0
    for bound in bounds:
        if buckets[bound] >= wanted and buckets[bound] > below:
            if math.isinf(bound):
                return low
            part = (wanted - below) / (buckets[bound] - below)
            return min(bound, low + (bound - low) * part)
        low, below = bound if not math.isinf(bound) else low, buckets[bound]
    return low
