"""What samples of several servers say together: medians, ranges, ratios, and whether they reach.

Decides only; who runs what is `compare`'s. A ratio is rtchat's figure by the other's, of the
medians; its range is that of the rounds, in which the two ran one after the other. The ratio by
server CPU says the same where something else (the disk, the load client) was the limit.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

OURS = "rtchat"
STORES = "fastapi_store"
COPY = "bare COPY"  # no server: the rows that PostgreSQL takes


@dataclass(frozen=True, slots=True)
class Sample:
    """One server's figure of one work in one round."""

    round: int
    server: str
    work: str
    per_s: float
    server_us: float  # CPU of its process for each
    client_cpu: float
    client_limit: bool
    wrong: int  # messages that are missing, doubled, lost or unanswered


@dataclass(frozen=True, slots=True)
class Goal:
    """So many times as fast as that server, or as the fastest of those that store nothing."""

    work: str
    against: str | None
    times: float


GOALS = (
    Goal("fanout-64", STORES, 50),
    Goal("fanout-64", None, 5),
    Goal("fanout-16", STORES, 20),
    Goal("fanout-16", None, 2),
    Goal("fanout-1", STORES, 2.5),
    Goal("ingest", STORES, 50),
    Goal("ingest", COPY, 0.25),
    Goal("rest", STORES, 2.5),
)


def summary(samples: Sequence[Sample]) -> list[dict[str, Any]]:
    """One row for each work and server, in the order in which they were first seen."""
    works = dict.fromkeys(sample.work for sample in samples)
    return [
        _row([s for s in samples if s.work == work], server)
        for work in works
        for server in dict.fromkeys(s.server for s in samples if s.work == work)
    ]


def _row(samples: Sequence[Sample], server: str) -> dict[str, Any]:
    mine = [s for s in samples if s.server == server]
    figures = [s.per_s for s in mine]
    ours = {s.round: s.per_s for s in samples if s.server == OURS}
    row: dict[str, Any] = {
        "work": mine[0].work,
        "server": server,
        "per_s": median(figures),
        "low": min(figures),
        "high": max(figures),
        "server_us": median(s.server_us for s in mine),
        "client_cpu": max(s.client_cpu for s in mine),
        "client_limit": any(s.client_limit for s in mine),
        "wrong": sum(s.wrong for s in mine),
        "rounds": [s.per_s for s in mine],
    }
    if server == OURS or not ours or not row["per_s"]:
        return row
    cpu_us = median(s.server_us for s in samples if s.server == OURS)
    each = [ours[s.round] / s.per_s for s in mine if s.round in ours and s.per_s]
    return {
        **row,
        "ratio": median(ours.values()) / row["per_s"],
        "ratio_low": min(each),
        "ratio_high": max(each),
        "cpu_ratio": row["server_us"] / cpu_us if cpu_us else None,
    }


def judge(
    rows: Iterable[dict[str, Any]], without_storage: Collection[str], goals: Sequence[Goal] = GOALS
) -> list[dict[str, Any]]:
    """What became of each goal: `reached` is None where its servers were not both measured."""
    by_work: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_work.setdefault(row["work"], []).append(row)
    return [_judged(goal, by_work.get(goal.work, []), without_storage) for goal in goals]


def _judged(
    goal: Goal, rows: Sequence[dict[str, Any]], without_storage: Collection[str]
) -> dict[str, Any]:
    others = {goal.against} if goal.against else set(without_storage)
    rivals = [row for row in rows if row["server"] in others and "ratio" in row]
    told = {"goal": goal.work, "times": goal.times, "against": goal.against or "the fastest other"}
    if not rivals:
        return {**told, "ratio": None, "reached": None}
    rival = min(rivals, key=lambda row: float(row["ratio"]))
    return {
        **told,
        "server": rival["server"],
        "ratio": rival["ratio"],
        "client_limit": rival["client_limit"],  # then it could do more, and the ratio is less
        "reached": rival["ratio"] >= goal.times,
    }
