"""A collector of OpenTelemetry traces: OTLP over HTTP, as far as an exporter needs one.

Owns: a server in a thread, and what it was sent. It can be told to take requests and answer none.
"""

import asyncio
import contextlib
import gzip
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

PATIENCE_S = 20.0  # on two busy cores; spans come within the exporter's delay
HOLD_S = 60.0  # no answer for longer than a test takes


@dataclass(frozen=True, slots=True)
class Received:
    """One span, as it came."""

    name: str
    trace: str
    id: str
    parent: str
    kind: int
    start_ns: int
    end_ns: int
    attributes: dict[str, Any]
    resource: dict[str, Any]

    @property
    def instance(self) -> str:
        """The pod that made it."""
        return str(self.resource["service.instance.id"])


class Collector:
    """What was sent so far."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.port = 0
        self.answers = threading.Event()
        self.answers.set()
        self.holding = 0  # requests that wait for their answer

    @property
    def url(self) -> str:
        """What OTEL_EXPORTER_OTLP_ENDPOINT is to be."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def spans(self) -> list[Received]:
        """All spans, in the order in which they came."""
        found = []
        for body in list(self.bodies):
            request = ExportTraceServiceRequest.FromString(body)
            for group in request.resource_spans:
                resource = _values(group.resource.attributes)
                for scope in group.scope_spans:
                    found += [_received(span, resource) for span in scope.spans]
        return found

    async def trace(self, trace_id: int, count: int) -> list[Received]:
        """The spans of one trace, once there are so many of them."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                ours = [span for span in self.spans if span.trace == f"{trace_id:032x}"]
                if len(ours) >= count:
                    return ours
                await asyncio.sleep(0.02)

    async def held(self) -> None:
        """Wait until a request waits for its answer."""
        async with asyncio.timeout(PATIENCE_S):
            while not self.holding:
                await asyncio.sleep(0.02)

    def take(self, body: bytes, headers: dict[str, str]) -> None:
        """Keep one request, and return when it may be answered."""
        self.bodies.append(body)
        self.headers.append(headers)
        self.holding += 1
        self.answers.wait(HOLD_S)
        self.holding -= 1


def _values(attributes: Any) -> dict[str, Any]:
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in attributes}


def _received(span: Any, resource: dict[str, Any]) -> Received:
    return Received(
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.kind,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        _values(span.attributes),
        resource,
    )


@contextlib.contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector; at the end all that it holds is answered."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            known = self.path == "/v1/traces"
            if known:
                collector.take(body, {k.lower(): v for k, v in self.headers.items()})
            answer = ExportTraceServiceResponse().SerializeToString()
            with contextlib.suppress(OSError):  # whoever asked may be gone
                self.send_response(200 if known else 404)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    collector.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        collector.answers.set()
        server.shutdown()
        server.server_close()
        thread.join()
