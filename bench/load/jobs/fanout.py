"""Fan-out: one sender in a room keeps so many messages in flight; all members are counted.

A message is in flight until every member has it, so a server that serves some and forgets others
gets no new work. Counted is what the members received inside the window; at the end nothing may be
missing.
"""

import time
from collections.abc import Callable
from typing import Any

from bench.load.dialects import Dialect
from bench.load.engine import Conn, LoadError
from bench.load.frames import BINARY, TEXT, FrameCounter, PayloadCounter, client_frame, messages
from bench.load.jobs.crew import Crew, content_of
from bench.load.window import Window

SETTLE_S = 10.0


def fanout(job: dict[str, Any], tell: Callable[[str], None]) -> dict[str, Any]:
    """Job: as Crew; in_flight, seconds, warmup_s, content_bytes. The first member sends.

    `senders_outside` 1: the first one sends and is no member (where a server has two kinds).
    """
    crew = Crew(job, tell)
    talk = _FanOut(crew, job["in_flight"], job["content_bytes"], job.get("senders_outside", 0))
    began = time.perf_counter()
    talk.go_on()
    crew.engine.run(began + job["warmup_s"], talk.go_on)
    window, before, bytes_before = Window(crew.watched), talk.delivered, crew.engine.bytes_in
    sent_before = talk.sent
    crew.engine.run(time.perf_counter() + job["seconds"], talk.go_on)
    figures = window.end()
    delivered = talk.delivered - before
    sent, received = talk.sent - sent_before, crew.engine.bytes_in - bytes_before
    talk.stop(job.get("settle_s", SETTLE_S))
    crew.engine.close_all()
    seconds = figures["seconds"]
    return {
        **figures,
        "members": talk.members,
        "in_flight": job["in_flight"],
        "sent_per_s": sent / seconds,
        "delivered": delivered,
        "delivered_per_s": delivered / seconds,
        "mb_per_s": received / seconds / 1e6,
        "server_us_per_delivery": figures["server_cpu_s"] / max(1, delivered) * 1e6,
        "sent_in_all": talk.sent,
        "missing": talk.sent * talk.members - talk.delivered,
    }


class _FanOut:
    """Who has what. With `outside`, the first connection sends and is no member (NATS, Nchan)."""

    def __init__(self, crew: Crew, in_flight: int, content_bytes: int, outside: int) -> None:
        self._engine, self._dialect = crew.engine, crew.dialect
        self._sender = crew.conns[0]
        self._in_flight = in_flight
        self._content_bytes = content_bytes
        self.members = len(crew.conns) - outside
        self.sent = 0
        self.delivered = 0
        self._complete = 0  # messages that every member has
        self._has = dict.fromkeys(crew.conns[outside:], 0)
        self._stopped = False
        count = _counter(crew.dialect).count

        def on_piece(conn: Conn, piece: bytes) -> None:
            self._has[conn] += (new := count(conn.stream, piece))
            self.delivered += new
            if conn.stream.controls:
                self._engine.controls(conn)

        for conn in crew.conns[1:]:
            conn.on_piece = on_piece
        self._sender.on_piece = self._on_sender

    def _on_sender(self, conn: Conn, piece: bytes) -> None:
        dialect = self._dialect
        for payload in messages(conn.stream, piece):
            if dialect.acked(payload):
                continue
            if dialect.refused(payload):
                raise LoadError(f"the sender is told: {payload[:300]!r}")
            if new := dialect.deliveries(payload):
                self._has[conn] += new
                self.delivered += new
        self._engine.controls(conn)

    def go_on(self) -> None:
        """Send as many as may be in flight besides those that somebody still waits for."""
        if self.delivered >= (self._complete + 1) * self.members:  # else somebody lacks the next
            self._complete = min(self._has.values())
        room = self._complete + self._in_flight - self.sent
        if room <= 0 or self._stopped or self._sender.unsent:
            return
        dialect, member = self._dialect, self._sender.member
        opcode = TEXT if dialect.text else BINARY
        first, self.sent = self.sent, self.sent + room
        for n in range(first, self.sent):  # each by itself, as clients' libraries do
            content = content_of(self._content_bytes, n)
            self._sender.send(client_frame(dialect.message(member, n, content), opcode))

    def stop(self, within_s: float) -> None:
        """Send no more, and wait for what is on its way."""
        self._stopped = True
        until = time.perf_counter() + within_s
        while self.delivered < self.sent * self.members and time.perf_counter() < until:
            self._engine.turn(0.05)


def _counter(dialect: Dialect) -> FrameCounter | PayloadCounter:
    return FrameCounter() if dialect.counts_frames else PayloadCounter(dialect.deliveries)
