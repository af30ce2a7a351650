"""Ingest: many senders, each with so many unanswered messages; acks are counted.

An ack means stored. Who is subscribed besides gets what is sent, and is counted too.
"""

import time
from collections.abc import Callable
from typing import Any

from bench.load.engine import Conn, LoadError
from bench.load.frames import BINARY, TEXT, FrameCounter, client_frame, messages
from bench.load.jobs.crew import Crew, content_of
from bench.load.window import Window

SETTLE_S = 10.0


def ingest(job: dict[str, Any], tell: Callable[[str], None]) -> dict[str, Any]:
    """Job: as Crew; in_flight, seconds, warmup_s, content_bytes. Members with a `channel` send."""
    crew = Crew(job, tell)
    talk = _Talk(crew, job["in_flight"], job["content_bytes"])
    talk.begin()
    crew.engine.run(time.perf_counter() + job["warmup_s"])
    window, acked, heard = Window(crew.watched), talk.acked, talk.delivered
    crew.engine.run(time.perf_counter() + job["seconds"])
    figures = window.end()
    acked, heard = talk.acked - acked, talk.delivered - heard
    talk.stop(SETTLE_S)
    crew.engine.close_all()
    seconds = figures["seconds"]
    return {
        **figures,
        "senders": len(talk.senders),
        "in_flight": job["in_flight"],
        "acked": acked,
        "acked_per_s": acked / seconds,
        "delivered_per_s": heard / seconds,
        "server_us_per_ack": figures["server_cpu_s"] / max(1, acked) * 1e6,
        "sent_in_all": talk.sent,
        "unanswered": talk.sent - talk.acked,
    }


class _Talk:
    def __init__(self, crew: Crew, in_flight: int, content_bytes: int) -> None:
        self._engine, self._dialect = crew.engine, crew.dialect
        self._in_flight = in_flight
        self._content = content_of(content_bytes, 0)
        self._opcode = TEXT if crew.dialect.text else BINARY
        self.sent = self.acked = self.delivered = 0
        self._stopped = False
        self.senders = [conn for conn in crew.conns if conn.member.get("channel") is not None]
        count = FrameCounter().count

        def on_listener(conn: Conn, piece: bytes) -> None:
            self.delivered += count(conn.stream, piece)
            self._engine.controls(conn)

        for conn in crew.conns:
            conn.on_piece = on_listener
        for conn in self.senders:
            conn.on_piece = self._on_sender

    def begin(self) -> None:
        """Let every sender begin."""
        for conn in self.senders:
            self._send(conn, self._in_flight)

    def _on_sender(self, conn: Conn, piece: bytes) -> None:
        acked, dialect = 0, self._dialect
        for payload in messages(conn.stream, piece):
            if dialect.acked(payload):
                acked += 1
            elif dialect.refused(payload):
                raise LoadError(f"a sender is told: {payload[:300]!r}")
            else:
                self.delivered += dialect.deliveries(payload)
        self._engine.controls(conn)
        if acked:
            self.acked += acked
            if not self._stopped:
                self._send(conn, acked)

    def _send(self, conn: Conn, count: int) -> None:
        first, self.sent = self.sent, self.sent + count
        message, content, opcode = self._dialect.message, self._content, self._opcode
        for n in range(first, self.sent):  # each by itself, as clients' libraries do
            conn.send(client_frame(message(conn.member, n, content), opcode))

    def stop(self, within_s: float) -> None:
        """Send no more, and wait for the last acks."""
        self._stopped = True
        until = time.perf_counter() + within_s
        while self.acked < self.sent and time.perf_counter() < until:
            self._engine.turn(0.05)
