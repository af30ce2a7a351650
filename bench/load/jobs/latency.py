"""Latency in an open loop: messages are due at a fixed rate, whatever the server does.

A latency counts from when its message was due, not from when it could be sent: a server that
stalls is charged for all that should have been sent meanwhile (no coordinated omission). What never
came counts as if it had come when the job gave up waiting: percentiles are of all that was sent.
"""

import time
from array import array
from collections.abc import Callable
from typing import Any

from hdrh.histogram import HdrHistogram

from bench.load.engine import Conn, LoadError
from bench.load.frames import BINARY, TEXT, FrameCounter, client_frame, messages
from bench.load.jobs.crew import Crew, content_of
from bench.load.window import Window

SETTLE_S = 10.0
QUIET_S = 0.3  # without a byte: nothing more is on its way
LONGEST_US = 60_000_000
_CONTENT = b'"content":"'
Seen = tuple["array[int]", "array[float]"]  # pairs of number and time of arrival


def latency(job: dict[str, Any], tell: Callable[[str], None]) -> dict[str, Any]:
    """Job: as Crew; per_second, seconds, warmup_s, content_bytes.

    Members with a `channel` send in turn; those with `observe` note when each message arrives; the
    others only count.
    """
    crew = Crew(job, tell)
    pace = _Pace(crew, job["per_second"], job["content_bytes"])
    pace.run(job["warmup_s"])
    window, first = Window(crew.watched), pace.sent
    pace.run(job["seconds"])
    figures = window.end()
    last = pace.sent
    pace.settle(SETTLE_S)
    crew.engine.close_all()
    acks = pace.latencies(pace.acks, first, last)
    observed = any(conn.member.get("observe") for conn in crew.conns)
    seen = (first, last) if observed else (0, 0)
    deliveries = pace.latencies(pace.deliveries, *seen)
    return {
        **figures,
        "per_second": (last - first) / figures["seconds"],
        "wanted_per_second": job["per_second"],
        "late_ms": pace.worst_late_s * 1000,
        "acks": told(acks),
        "deliveries": told(deliveries),
        "unanswered": pace.sent - pace.acked,
        "undelivered": pace.lacking(pace.deliveries, *seen),
    }


class _Pace:
    def __init__(self, crew: Crew, per_second: float, content_bytes: int) -> None:
        self._engine, self._dialect = crew.engine, crew.dialect
        self._between_s = 1 / per_second
        self._content_bytes = content_bytes
        self._opcode = TEXT if crew.dialect.text else BINARY
        self._senders = [conn for conn in crew.conns if conn.member.get("channel") is not None]
        self._due = array("d")  # by number
        self._next_due = time.perf_counter()
        self.sent = self.acked = self.heard = 0
        self.worst_late_s = 0.0  # of our own sending
        self.acks: Seen = (array("q"), array("d"))  # told apart from the due times at the end
        self.deliveries: Seen = (array("q"), array("d"))
        count = FrameCounter().count

        def on_listener(conn: Conn, piece: bytes) -> None:
            self.heard += count(conn.stream, piece)
            self._engine.controls(conn)

        for conn in crew.conns:
            observes = conn.member.get("observe") or conn.member.get("channel") is not None
            conn.on_piece = self._on_piece if observes else on_listener

    def run(self, seconds: float) -> None:
        """Send what is due, and hear what comes."""
        until = time.perf_counter() + seconds
        while (now := time.perf_counter()) < until:
            while self._next_due <= now:
                self._send()
            self._engine.turn(max(0.0, min(self._next_due, until) - time.perf_counter()))

    def _send(self) -> None:
        number, self.sent = self.sent, self.sent + 1
        conn = self._senders[number % len(self._senders)]
        self._due.append(self._next_due)
        self.worst_late_s = max(self.worst_late_s, time.perf_counter() - self._next_due)
        self._next_due += self._between_s
        content = content_of(self._content_bytes, number)
        conn.send(client_frame(self._dialect.message(conn.member, number, content), self._opcode))

    def _on_piece(self, conn: Conn, piece: bytes) -> None:
        now, dialect, observes = time.perf_counter(), self._dialect, conn.member.get("observe")
        for payload in messages(conn.stream, piece):
            if dialect.acked(payload):
                self.acked += 1
                self.acks[0].append(dialect.number(payload))
                self.acks[1].append(now)
            elif dialect.refused(payload):
                raise LoadError(f"a sender is told: {payload[:300]!r}")
            elif observes:
                start = payload.index(_CONTENT) + len(_CONTENT)
                self.deliveries[0].append(int(payload[start : start + 12]))
                self.deliveries[1].append(now)
        self._engine.controls(conn)

    def settle(self, within_s: float) -> None:
        """Wait for the last acks, and then until nothing more is delivered."""
        until = time.perf_counter() + within_s
        while self.acked < self.sent and time.perf_counter() < until:
            self._engine.turn(0.05)
        heard = -1
        while heard != self._engine.bytes_in and time.perf_counter() < until:
            heard = self._engine.bytes_in
            self._engine.run(time.perf_counter() + QUIET_S)

    def lacking(self, seen: Seen, first: int, last: int) -> int:
        """How many messages from `first` up to `last` never came."""
        return len(set(range(first, last)).difference(seen[0]))

    def latencies(self, seen: Seen, first: int, last: int) -> HdrHistogram:
        """The latencies of the messages from `first` up to `last`, microseconds."""
        histogram = HdrHistogram(1, LONGEST_US, 3)
        came = [(n, at) for n, at in zip(*seen, strict=True) if first <= n < last]
        now = time.perf_counter()
        lost = set(range(first, last)).difference(seen[0])
        for number, at in (*came, *((n, now) for n in lost)):
            took_us = round((at - self._due[number]) * 1e6)
            histogram.record_value(min(max(1, took_us), LONGEST_US))
        return histogram


def told(histogram: HdrHistogram) -> dict[str, Any]:
    """A histogram in figures: milliseconds, and whole for who wants to draw it."""
    if not histogram.get_total_count():
        return {"n": 0}
    ranks = {"p50": 50, "p90": 90, "p99": 99, "p999": 99.9, "max": 100}
    return {
        "n": histogram.get_total_count(),
        **{f"{k}_ms": histogram.get_value_at_percentile(r) / 1000 for k, r in ranks.items()},
        "hdr": histogram.encode().decode(),
    }
