"""Connections that do nothing but answer pings: what each takes of the server's memory and CPU."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.load.engine import Conn
from bench.load.frames import messages
from bench.load.jobs.crew import Crew
from bench.load.window import Window


def idle(job: dict[str, Any], tell: Callable[[str], None]) -> dict[str, Any]:
    """Job: as Crew; settle_s, seconds. Memory is what it grew by since before they came."""
    before = memory_kb(job["watched"])
    crew = Crew(job, tell)
    pings = 0

    def on_piece(conn: Conn, piece: bytes) -> None:
        nonlocal pings
        messages(conn.stream, piece)
        pings += len(conn.stream.controls)
        crew.engine.controls(conn)

    for conn in crew.conns:
        conn.on_piece = on_piece
    crew.engine.run(time.perf_counter() + job["settle_s"])
    window, heard = Window(crew.watched), pings
    crew.engine.run(time.perf_counter() + job["seconds"])
    figures = window.end()
    after = memory_kb(job["watched"])
    left = len(crew.engine)
    crew.engine.close_all()
    return {
        **figures,
        "connections": len(crew.conns),
        "left": left,
        "pings": pings - heard,
        "pings_in_all": pings,
        "rss_kb": (after["Rss"] - before["Rss"]) / len(crew.conns),
        "pss_kb": (after["Pss"] - before["Pss"]) / len(crew.conns),
        "rss_mb": after["Rss"] / 1024,
    }


def memory_kb(pids: Sequence[int]) -> dict[str, int]:
    """What these processes hold, pages shared with others counted whole (Rss) and in part (Pss)."""
    found = {"Rss": 0, "Pss": 0}
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            name, _, rest = line.partition(":")
            if name in found:
                found[name] += int(rest.split()[0])
    return found
