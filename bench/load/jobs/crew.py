"""What every job begins with: the engine, the dialect and the opened connections."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from bench.load.dialects import Dialect
from bench.load.engine import Conn, Engine
from bench.load.foreign import DIALECTS


class Crew:
    """The connections of one job, open and in their rooms."""

    def __init__(self, job: dict[str, Any], tell: Callable[[str], None]) -> None:
        """Job: url, dialect, members; optional options (of the dialect), connect_at_once."""
        self.engine, self.dialect = engine_of(job)
        self.watched: list[int] = job.get("watched", [])
        self.conns: list[Conn] = []
        opened = 0

        def on_open(_: Conn) -> None:
            nonlocal opened
            opened += 1
            if opened % 1000 == 0:
                tell(f"{opened:,} of {len(job['members']):,} connections")

        self.conns = self.engine.open_all(
            job["members"], at_once=job.get("connect_at_once", 128), on_open=on_open
        )


def engine_of(job: dict[str, Any]) -> tuple[Engine, Dialect]:
    """The engine and dialect that a job asks for."""
    parts = urlsplit(job["url"])
    assert parts.hostname is not None
    assert parts.port is not None
    dialect = DIALECTS[job["dialect"]](job.get("options", {}))
    return Engine(dialect, parts.hostname, parts.port), dialect


def content_of(size: int, number: int = 0) -> bytes:
    """Text of `size` bytes that begins with a number of twelve digits."""
    return (b"%012d " % number + b"x" * size)[:size]
