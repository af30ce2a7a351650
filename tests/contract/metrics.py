"""Reading a pod's metrics, by the parser that Prometheus' Python client has.

It is written against the format, as Prometheus' own is; `test_metrics` has promtool read it too,
where that is installed.
"""

from collections.abc import Mapping

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from tests.pods import Pod

Series = Mapping[tuple[str, frozenset[tuple[str, str]]], float]
LIMITS = "rtchat_limit_reached_total"


def parse(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every series, by name and labels; one that is there twice is an error."""
    assert text.endswith("\n"), "the last line ends too"
    found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation, f"{family.name} has no help"
        assert family.type != "unknown", f"{family.name} has no type"
        for sample in family.samples:
            series = sample.name, frozenset(sample.labels.items())
            assert series not in found, series
            found[series] = sample.value
    return found


def value(series: Series, name: str, **labels: str) -> float:
    """One series. It has to be there."""
    return series[name, frozenset(labels.items())]


def by(series: Series, name: str, label: str) -> dict[str, float]:
    """A family of one label: each value of it, and what it has."""
    return {dict(labels)[label]: n for (found, labels), n in series.items() if found == name}


def rose(before: Series, after: Series) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """The series that are higher, or new, and by how much."""
    return {s: n - before.get(s, 0) for s, n in after.items() if n > before.get(s, 0)}


async def scrape(pod: Pod, token: str) -> Series:
    """Ask a pod for all."""
    async with httpx2.AsyncClient(trust_env=False) as http:
        answer = await http.get(f"{pod.url}/metrics", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200, answer.text
    return parse(answer.text)


async def limits(pod: Pod, token: str) -> dict[str, float]:
    """How often each limit was reached."""
    return by(await scrape(pod, token), LIMITS, "limit")
