"""Which metrics, labels and label values there are, and what an expression names besides them.

Owns: the vocabulary, read from the table of families and from the code that counts, so that a name
that is changed there is missed here. Must never: know a metric that no pod has.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import NamedTuple

from prometheus_client import GCCollector, ProcessCollector
from prometheus_client.registry import CollectorRegistry

from rtchat.api.families import AGAIN, FAMILIES, Family, Kind
from rtchat.auth.events import Event
from rtchat.commands import COMMANDS
from rtchat.connections import COUNTED_CLOSES
from rtchat.errors import Close, Code
from rtchat.measures import ROWS, WAIT_S
from rtchat.reached import counted
from rtchat.room import State
from tests.deploy.monitoring_promql import Matcher, PromqlError, Selector, named

# What Prometheus itself adds: of a target, and what the operator adds of a pod.
TARGET = {"job", "instance", "namespace", "pod"}
WINDOWS = {Kind.COUNTER: {"rate", "increase"}, Kind.GAUGE: {"delta", "changes", "max_over_time"}}


class Metric(NamedTuple):
    """One name that can be asked for; of a label None stands for any value."""

    kind: Kind
    labels: Mapping[str, set[str] | None]


# What kube-state-metrics and the kubelet tell of pods, as far as alerts-kubernetes.yml asks.
OF_KUBERNETES = {
    "kube_deployment_spec_replicas": Metric(Kind.GAUGE, {"deployment": {"rtchat"}}),
    "kube_deployment_status_replicas_available": Metric(Kind.GAUGE, {"deployment": {"rtchat"}}),
    "kube_pod_container_resource_limits": Metric(
        Kind.GAUGE, {"container": {"rtchat"}, "resource": {"cpu", "memory"}}
    ),
    "container_memory_working_set_bytes": Metric(Kind.GAUGE, {"container": {"rtchat"}}),
}


def _values(family: str, label: str) -> set[str] | None:
    """The values that a label of a family can have, where they are fixed."""
    states = {"pool_connections": {"busy", "idle"}}
    by_label: dict[str, set[str]] = {
        "via": {"rest", "handshake", "websocket", "server"},
        "type": {str(kind.__struct_config__.tag) for kind in COMMANDS},
        "limit": set(counted()),
        "event": {event.value.replace(" ", "_") for event in Event},
        "reason": set(AGAIN),
        "path": {"live", "catch_up"},
        "status": {str(status.value) for status in HTTPStatus},
        "state": states.get(family, {state.name.lower() for state in State}),
        "code": {str(code) for code in Code},
    }
    if (family, label) == ("closes", "code"):
        return {"other", *(str(int(code)) for code in (*COUNTED_CLOSES, *Close))}
    return by_label.get(label)


def _of_family(family: Family) -> dict[str, Metric]:
    short = family.name.removeprefix("rtchat_").removesuffix("_total")
    labels = {label: _values(short, label) for label in family.labels}
    if family.kind is not Kind.HISTOGRAM:
        return {family.name: Metric(family.kind, labels)}
    bounds = ROWS if short.endswith("rows") else WAIT_S
    le = {*(f"{float(bound)}" for bound in bounds), "+Inf"}
    counts = {f"{family.name}_{part}": Metric(Kind.COUNTER, {}) for part in ("sum", "count")}
    return {f"{family.name}_bucket": Metric(Kind.COUNTER, {"le": le}), **counts}


def _of_any_process() -> dict[str, Metric]:
    """What the client library tells of this process, as of any."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    return {
        sample.name: Metric(Kind(family.type), dict.fromkeys(sample.labels))
        for family in registry.collect()
        for sample in family.samples
    }


def vocabulary() -> dict[str, Metric]:
    """Everything that a Prometheus which scrapes pods has, but for what rules record."""
    found: dict[str, Metric] = {
        "up": Metric(Kind.GAUGE, {}),
        "ALERTS": Metric(Kind.GAUGE, {"alertname": None, "alertstate": {"pending", "firing"}}),
        **_of_any_process(),
    }
    for family in FAMILIES:
        found |= _of_family(family)
    return found


def recorded(rules: Mapping[str, str]) -> dict[str, Metric]:
    """What recording rules add, by name: gauges, with the labels that their sums keep."""
    known = vocabulary()
    found = {}
    for name, expression in rules.items():
        seen = named(expression)
        labels: dict[str, set[str] | None] = {}
        for selector in seen.selectors:
            labels |= known[selector.metric].labels if selector.metric in known else {}
        kept = {label for grouping in seen.groupings for label in grouping}
        kind = Metric(Kind.GAUGE, {k: v for k, v in labels.items() if k in kept})
        found[name] = kind
    return found


def unknown(expression: str, known: Mapping[str, Metric]) -> list[str]:
    """What an expression names that there is not, and what it does that gives nonsense."""
    try:
        seen = named(expression)
    except PromqlError as error:
        return [str(error)]
    found = [words for selector in seen.selectors for words in _wrong(selector, known)]
    there = TARGET.union(*(known[s.metric].labels for s in seen.selectors if s.metric in known))
    groupings = {label for grouping in seen.groupings for label in grouping}
    return found + [f"grouped by {label}, which nothing has" for label in groupings - there]


def _wrong(selector: Selector, known: Mapping[str, Metric]) -> Iterator[str]:
    metric = known.get(selector.metric)
    if metric is None:
        yield f"no metric {selector.metric}"
        return
    for matcher in selector.matchers:
        if matcher.label in metric.labels:
            yield from _wrong_value(selector.metric, matcher, metric.labels[matcher.label])
        elif matcher.label not in TARGET:
            yield f"{selector.metric} has no label {matcher.label}"
    if selector.range and selector.function not in WINDOWS[metric.kind]:
        yield f"{selector.function} of {selector.metric}, a {metric.kind}"
    if metric.kind is Kind.COUNTER and not selector.range:
        yield f"{selector.metric} as it is: how much it rose is what says something"


def _wrong_value(metric: str, matcher: Matcher, values: set[str] | None) -> Iterator[str]:
    if values is None or matcher.value.startswith("$"):
        return
    if matcher.sign in ("=", "!="):
        fits = {matcher.value: matcher.value in values}
    else:
        parts = matcher.value.split("|")
        fits = {part: any(re.fullmatch(part, value) for value in values) for part in parts}
    for part, there in fits.items():
        if not there:
            yield f"{metric} never has {matcher.label} {part}"


def differences(series: Iterable[Mapping[str, str]], known: Mapping[str, Metric]) -> list[str]:
    """What real series have that the vocabulary does not, and what it has that no pod has."""
    there: set[str] = set()
    found: set[str] = set()
    for each in series:
        name, labels = each["__name__"], set(each) - TARGET - {"__name__"}
        there.add(name)
        if not name.startswith(("rtchat_", "process_", "python_")):
            continue
        if name not in known:
            found.add(f"{name} is not known")
            continue
        found |= {f"{name} has a label {label}" for label in labels - set(known[name].labels)}
        for label in labels & set(known[name].labels):
            values = known[name].labels[label]
            if values is not None and each[label] not in values:
                found.add(f"{name} has {label} {each[label]}")
    missing = {name for name in known if name not in there} - {"ALERTS"}
    return sorted(found | {f"{name} is nowhere" for name in missing})
