"""Coming back: subscribe with an old cursor, and take what was missed, to the head."""

import time
from array import array
from collections.abc import Callable
from typing import Any

from bench.load.engine import Conn, Engine, LoadError
from bench.load.frames import client_frame, messages
from bench.load.jobs.crew import Crew
from bench.load.window import Window

_SEQ = b'"seq":'


def catchup(job: dict[str, Any], tell: Callable[[str], None]) -> dict[str, Any]:
    """Job: as Crew, dialect rtchat; deadline_s. A member has a channel, a cursor and the head.

    All subscribe at once. Every entry behind the cursor must come, in order, and nothing else.
    """
    crew = Crew(job, tell)
    readers = [_Reader(crew.engine, conn) for conn in crew.conns]
    window, began = Window(crew.watched), time.perf_counter()
    for reader in readers:
        reader.begin()
    crew.engine.run_until(lambda: all(reader.done for reader in readers), job["deadline_s"])
    figures = window.end()
    crew.engine.close_all()
    if behind := sum(not reader.done for reader in readers):
        raise LoadError(f"{behind} of {len(readers)} did not arrive at the head")
    entries = sum(reader.entries for reader in readers)
    took = array("d", sorted(reader.done - began for reader in readers))
    return {
        **figures,
        "readers": len(readers),
        "entries": entries,
        "entries_per_s": entries / figures["seconds"],
        "server_us": figures["server_cpu_s"] / max(1, entries) * 1e6,
        "arrived_p50_ms": took[len(took) // 2] * 1000,
        "arrived_max_ms": took[-1] * 1000,
    }


class _Reader:
    """One connection on its way from its cursor to the head."""

    def __init__(self, engine: Engine, conn: Conn) -> None:
        self._engine, self._conn = engine, conn
        self._at: int = conn.member["cursor"]
        self._head: int = conn.member["head"]
        self.entries = 0
        self.done = 0.0  # when it arrived
        conn.on_piece = self._on_piece

    def begin(self) -> None:
        """Subscribe."""
        sub = b'{"t":"sub","ref":1,"ch":{"%d":%d}}' % (self._conn.member["channel"], self._at)
        self._conn.send(client_frame(sub))

    def _on_piece(self, conn: Conn, piece: bytes) -> None:
        for payload in messages(conn.stream, piece):
            if payload.startswith(b'{"t":"ok"') and b"error" not in payload:
                continue
            found = payload.find(_SEQ) + len(_SEQ)
            seq = payload[found : payload.find(b",", found)]
            if not payload.startswith(b'{"t":"msg"') or int(seq) != self._at + 1:
                raise LoadError(f"behind {self._at} came {payload[:300]!r}")
            self._at += 1
            self.entries += 1
        self._engine.controls(conn)
        if self._at == self._head:
            self.done = self.done or time.perf_counter()
