"""The figures of a replay, for people and as JSON."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson


@dataclass
class Figures:
    """What was counted and measured. Times are seconds, latencies milliseconds."""

    server: str
    days: int = 0
    people: int = 0
    blank: int = 0
    other: int = 0
    joins: int = 0
    messages: int = 0
    seconds: float = 0.0
    setup: dict[str, float] = field(default_factory=dict)  # phase to seconds
    ack_ms: dict[str, float] = field(default_factory=dict)
    held_ms: dict[str, float] = field(default_factory=dict)
    delivery_ms: dict[str, float] = field(default_factory=dict)
    observed: int = 0
    followed: int = 0
    counts: Counter[str] = field(default_factory=Counter)  # of all clients: retries, gaps, …
    speed: float | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds if self.seconds else 0.0

    def as_json(self) -> dict[str, Any]:
        """Everything, by name."""
        plain = {**self.__dict__, "counts": dict(self.counts)}
        return {**plain, "per_second": round(self.per_second, 1), "ok": not self.problems}

    def as_row(self) -> dict[str, Any]:
        """What thresholds are held against: `ack_p99_ms`, `per_second` and the like."""
        latencies = {"ack": self.ack_ms, "held": self.held_ms, "delivery": self.delivery_ms}
        return {
            **self.as_json(),
            **{
                f"{what}_{name}_ms": value
                for what, figures in latencies.items()
                for name, value in figures.items()
            },
        }

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_bytes(orjson.dumps(self.as_json(), option=orjson.OPT_INDENT_2) + b"\n")

    def lines(self) -> list[str]:
        """Say it in words."""
        pace = "as fast as acks allow" if self.speed is None else f"{self.speed:g} times real time"
        rows = {
            "server": self.server,
            "input": f"{self.days} days, {self.messages + self.blank:,} lines by"
            f" {self.people:,} people; skipped: {self.blank} blank, {self.other:,} not spoken",
            "prepared": f"{self.joins:,} joins; "
            + ", ".join(f"{name} {s:.1f} s" for name, s in self.setup.items()),
            "sent": f"{self.messages:,} messages in {self.seconds:.1f} s:"
            f" {self.per_second:,.0f} a second, {pace}",
            "held back": _latencies(self.held_ms) + ", by the client, for the server's rate",
            "ack": _latencies(self.ack_ms) + ", from sending to the answer",
            "delivery": _latencies(self.delivery_ms) + ", from sending to an observer",
            "delivered": f"{self.observed:,} to observers, {self.followed:,} to followers:"
            f" {(self.observed + self.followed) / max(self.seconds, 1e-9):,.0f} a second",
            "clients": ", ".join(f"{name} {n:,}" for name, n in self.counts.items()),
        }
        return [f"{name:<11}{text}" for name, text in rows.items()]


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """p50, p99 and max, in milliseconds; nothing of nothing."""
    if not seconds:
        return {}
    ordered = sorted(seconds)
    ranks = {"p50": 0.50, "p99": 0.99, "max": 1.0}
    return {
        "n": len(ordered),
        **{
            name: round(ordered[min(len(ordered) - 1, int(len(ordered) * rank))] * 1000, 2)
            for name, rank in ranks.items()
        },
    }


def _latencies(ms: dict[str, float]) -> str:
    if not ms:
        return "none"
    return f"p50 {ms['p50']:.1f} ms, p99 {ms['p99']:.1f} ms, max {ms['max']:.1f} ms ({ms['n']:,})"
