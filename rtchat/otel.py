"""Traces to OpenTelemetry: spans go to a collector, by OTLP over HTTP. Needs the extra `otel`.

Owns: the exporter, its thread and its queue. Where it sends to, with which headers, certificates
and times, and how much it keeps (2048 spans, where `OTEL_BSP_MAX_QUEUE_SIZE` says no other), is
OpenTelemetry's to read from its own variables `OTEL_…`. What does not fit, or is refused, is
dropped, and the SDK says so in the log.

Must never: hold up the loop. A span costs it 11 µs; what is slow (encoding, the network, trying
again) happens on the SDK's thread, and the end waits `FLUSH_S` for that. Nothing global is set: an
application around rtchat has its own provider. Loaded only where `trace_one_in` asks for it. Lost
in a crash: the spans of the last seconds.
"""

import asyncio
import contextlib
import logging
import os
import random
import socket
import threading
import time
from collections.abc import Callable

from rtchat import __version__
from rtchat.config import Config
from rtchat.errors import StartError
from rtchat.tracing import Span, Traces

try:
    from opentelemetry.context import Context
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.id_generator import IdGenerator
    from opentelemetry.sdk.trace.sampling import ALWAYS_ON
    from opentelemetry.trace import (
        NonRecordingSpan,
        SpanContext,
        SpanKind,
        TraceFlags,
        set_span_in_context,
    )
except ImportError as error:
    raise StartError(
        "RTCHAT_TRACE_ONE_IN is set, and OpenTelemetry is not installed; install it"
        f" (pip install 'rtchat[otel]'), or set RTCHAT_TRACE_ONE_IN=0. What is missing: {error}"
    ) from error

log = logging.getLogger(__name__)

FLUSH_S = 0.5  # for what is queued at the end: half of what a tight stop leaves to all parts
KINDS = {
    "queue": SpanKind.INTERNAL,
    "commit": SpanKind.CLIENT,
    "publish": SpanKind.PRODUCER,
    "deliver": SpanKind.CONSUMER,
}  # roots, whatever their operation: SERVER
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_NOWHERE = Context()  # whatever an application around rtchat may be tracing


class Exporter:
    """Takes spans, and sends them in its own time."""

    def __init__(self, pod: str) -> None:
        ours = {
            "service.name": "rtchat",
            "service.version": __version__,
            "service.instance.id": pod,
        }
        told = OTELResourceDetector().detect().attributes  # of OTEL_SERVICE_NAME and the like
        self._ids = _Ids()
        self._provider = TracerProvider(
            sampler=ALWAYS_ON,  # chosen was before
            resource=Resource.create({**ours, **told}),
            id_generator=self._ids,
            shutdown_on_exit=False,  # that would wait for 30 s
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("rtchat", __version__)
        self._failed = False

    def emit(self, span: Span) -> None:
        """Queue a span."""
        try:
            self._emit(span)
        except Exception:  # an ack and a delivery matter more
            if not self._failed:
                self._failed = True
                log.exception("a span cannot be made; more of that is not said")

    def _emit(self, span: Span) -> None:
        if span.root:
            context = _NOWHERE
            self._ids.next = span.trace.id, span.trace.root
        else:
            root = SpanContext(span.trace.id, span.trace.root, is_remote=True, trace_flags=_SAMPLED)
            context = set_span_in_context(NonRecordingSpan(root), _NOWHERE)
        self._tracer.start_span(
            span.name,
            context,
            KINDS.get(span.name, SpanKind.SERVER),
            span.attributes,
            start_time=span.start_ns,
        ).end(span.end_ns)

    async def close(self) -> None:
        """Send what is queued, as far as that goes in a short time."""
        loop, sent = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            self._provider.shutdown()
            with contextlib.suppress(RuntimeError):  # nobody waits any more: the loop is closed
                loop.call_soon_threadsafe(sent.set)

        # A thread of its own, which the process does not wait for, as it would for the loop's pool.
        threading.Thread(target=shut_down, name="rtchat traces", daemon=True).start()
        try:
            async with asyncio.timeout(FLUSH_S):
                await sent.wait()
        except TimeoutError:
            log.warning("spans may be lost: the collector does not answer in time")


class _Ids(IdGenerator):
    """Gives a root the ids that were made for it; anything else any id."""

    def __init__(self) -> None:
        self.next = 0, 0

    def generate_trace_id(self) -> int:
        return self.next[0]

    def generate_span_id(self) -> int:
        (trace_id, span_id), self.next = self.next, (0, 0)
        return span_id if trace_id else random.getrandbits(64) or 1


def open_traces(config: Config, epoch: Callable[[], str]) -> tuple[Traces, Exporter]:
    """Begin to trace; what is queued waits for `Exporter.close`. Raises StartError."""
    pod = f"{socket.gethostname()}-{os.getpid()}"
    try:
        exporter = Exporter(pod)
    except Exception as error:  # whatever the variables may hold
        raise StartError(f"traces cannot be sent, as OTEL_… variables say: {error}") from error
    traces = Traces(config, pod, epoch, exporter.emit, now=time.monotonic_ns, wall=time.time_ns)
    return traces, exporter
