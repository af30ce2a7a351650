"""A storm: so many clients at a time connect, sign in, subscribe and resume; each is timed.

With `kill`, the server dies under them afterwards and they come back to another one, all at once.
"""

import os
import signal
import time
from collections.abc import Callable
from typing import Any

from bench.load.engine import Conn, Engine, LoadError
from bench.load.jobs.crew import engine_of
from bench.load.window import Window

GONE_S = 10.0


def connect(job: dict[str, Any], tell: Callable[[str], None]) -> dict[str, Any]:
    """Job: url, dialect, members, connect_at_once, watched; and kill, back_url, back_watched."""
    engine, _ = engine_of(job)
    figures = {"first": _storm(engine, job, job.get("watched", []))}
    if job.get("kill"):
        tell("killed")
        os.kill(job["kill"], signal.SIGKILL)
        _lose_all(engine)
        back, _ = engine_of({**job, "url": job["back_url"]})
        figures["back"] = _storm(back, job, job["back_watched"])
        back.close_all()
    engine.close_all()
    return figures


def _storm(engine: Engine, job: dict[str, Any], watched: list[int]) -> dict[str, Any]:
    taken: list[float] = []

    def on_open(conn: Conn) -> None:
        taken.append(time.perf_counter() - conn.opened_at)

    members = job["members"]
    window = Window(watched)
    engine.open_all(members, at_once=job["connect_at_once"], on_open=on_open)
    figures = window.end()
    taken.sort()
    count = len(taken)
    return {
        **figures,
        "clients": count,
        "connected_per_s": count / figures["seconds"],
        "server_ms": figures["server_cpu_s"] / count * 1000,
        "per_core_s": count / max(1e-9, figures["server_cpu_s"]),
        "p50_ms": taken[count // 2] * 1000,
        "p99_ms": taken[count * 99 // 100] * 1000,
        "max_ms": taken[-1] * 1000,
    }


def _lose_all(engine: Engine) -> None:
    """Wait until every connection has noticed."""
    lost: list[Conn] = []
    engine.on_closed = lambda conn, _: lost.append(conn)
    until = time.perf_counter() + GONE_S
    while len(engine):
        engine.turn(0.05)
        if time.perf_counter() > until:
            raise LoadError(f"{len(engine)} connections outlive their server")
