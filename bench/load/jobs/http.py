"""REST: keep-alive connections that ask one thing after another, each as soon as it can."""

import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from hdrh.histogram import HdrHistogram

from bench.load.dialects import Dialect, Member
from bench.load.engine import Conn, Engine, LoadError
from bench.load.jobs.latency import LONGEST_US, told
from bench.load.window import Window

EXPECTED = (b"200", b"201")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


def http(job: dict[str, Any], tell: Callable[[str], None]) -> dict[str, Any]:
    """Job: url, members, warmup_s, seconds; a member asks its `requests` in turn, over and over.

    A request: method, path, and a token or a body (JSON, as text) where it has one. An answer that
    is no success ends the job.
    """
    parts = urlsplit(job["url"])
    assert parts.hostname is not None
    assert parts.port is not None
    engine = Engine(Dialect({}), parts.hostname, parts.port)
    tally = _Tally()
    for member in job["members"]:
        _Asker(engine, member, tally, parts.netloc)
    engine.run(time.perf_counter() + job["warmup_s"])
    tally.begin()
    window = Window(job.get("watched", []))
    engine.run(time.perf_counter() + job["seconds"])
    figures = window.end()
    engine.close_all()
    answered = max(1, tally.answered)
    latencies = told(tally.latencies)
    latencies.pop("hdr", None)
    return {
        **figures,
        **latencies,
        "connections": len(job["members"]),
        "answered": tally.answered,
        "per_s": tally.answered / figures["seconds"],
        "server_us": figures["server_cpu_s"] / answered * 1e6,
        "answer_bytes": tally.bytes / answered,
    }


class _Tally:
    """What all connections got since `begin`."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.answered = self.bytes = 0
        self.latencies = HdrHistogram(1, LONGEST_US, 3)


class _Asker:
    """One connection: a request, its whole answer, the next request."""

    __slots__ = ("_asked_at", "_next", "_requests", "_rest", "_tally")

    def __init__(self, engine: Engine, member: Member, tally: _Tally, host: str) -> None:
        self._requests = [request_bytes(host, *request) for request in member["requests"]]
        self._tally = tally
        self._rest = b""
        self._next = 1 % len(self._requests)
        self._asked_at = time.perf_counter()
        engine.dial(member, self._on_piece, self._requests[0])

    def _on_piece(self, conn: Conn, piece: bytes) -> None:
        if self._rest:
            piece, self._rest = self._rest + piece, b""
        size = answer_size(piece)
        if size is None or len(piece) < size:
            self._rest = piece
            return
        if piece[9:12] not in EXPECTED or len(piece) > size:
            raise LoadError(f"answered: {piece[:500]!r}")
        now, tally = time.perf_counter(), self._tally
        tally.answered += 1
        tally.bytes += size
        tally.latencies.record_value(max(1, round((now - self._asked_at) * 1e6)))
        self._asked_at = now
        conn.send(self._requests[self._next])
        self._next = (self._next + 1) % len(self._requests)


def request_bytes(
    host: str, method: str, path: str, token: str | None = None, body: str | None = None
) -> bytes:
    """A whole request."""
    lines = [f"{method} {path} HTTP/1.1", f"host: {host}"]
    if token:
        lines.append(f"authorization: Bearer {token}")
    content = (body or "").encode()
    if body is not None:
        lines += ["content-type: application/json", f"content-length: {len(content)}"]
    return "\r\n".join((*lines, "", "")).encode() + content


def answer_size(piece: bytes) -> int | None:
    """How long the answer is that begins here, head and body; None: its head is not whole."""
    end = piece.find(b"\r\n\r\n")
    if end < 0:
        return None
    found = _LENGTH.search(piece, 0, end)
    if found is None:
        raise LoadError(f"an answer without a length: {piece[:500]!r}")
    return end + 4 + int(found[1])
