"""The metrics of a process, for Prometheus: what `families` names, read when somebody asks.

Must never: be read on another thread than the loop's; what the parts count changes there.

Another application's registry can have them too: `registry.register(Pod(chat.services))`.
"""

from collections.abc import Iterable, Mapping

from prometheus_client import GCCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from rtchat.api.call import Services
from rtchat.api.families import FAMILIES, Family, Kind
from rtchat.measures import Histogram


class Pod(Collector):
    """The families of one process, for a Prometheus registry."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def collect(self) -> Iterable[Metric]:
        """Read everything now."""
        for family in FAMILIES:
            yield _read(family, self._services)

    def describe(self) -> Iterable[Metric]:
        """The names, for a registry that wants them once."""
        return [Metric(family.name.removesuffix("_total"), family.help, family.kind)
                for family in FAMILIES]  # fmt: skip


def _read(family: Family, services: Services) -> Metric:
    found = family.read(services)
    if isinstance(found, Histogram):
        return _histogram_of(family, found)
    values = found if isinstance(found, Mapping) else {(): float(found)}
    made: CounterMetricFamily | GaugeMetricFamily
    if family.kind is Kind.COUNTER:
        made = CounterMetricFamily(family.name, family.help, labels=family.labels)
    else:
        made = GaugeMetricFamily(family.name, family.help, labels=family.labels)
    for labels, value in values.items():
        made.add_metric(labels, value)
    return made


def _histogram_of(family: Family, found: Histogram) -> HistogramMetricFamily:
    made = HistogramMetricFamily(family.name, family.help)
    below, buckets = 0, []
    bounds = [*map(str, map(float, found.bounds)), "+Inf"]
    for bound, count in zip(bounds, found.counts, strict=True):
        below += count
        buckets.append((bound, float(below)))
    made.add_metric([], buckets, sum_value=found.total)
    return made


def register(services: Services) -> None:
    """Fill the registry of these parts: their families, and what is known of any process."""
    services.registry.register(Pod(services))
    ProcessCollector(registry=services.registry)
    GCCollector(registry=services.registry)
