"""Spans on their way to a collector: as they were made, and never in the way of anything else."""

import asyncio
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import cast

import pytest
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, use_span

from rtchat import __version__
from rtchat.config import Config
from rtchat.errors import StartError
from rtchat.otel import Exporter, open_traces
from rtchat.tracing import Span, trace_of
from tests.collector import Collector, collecting

ROOT = Path(__file__).parents[1]
TRACE = trace_of("epoch", 17, 3)
SEND = Span("send", TRACE, True, 1_000, 9_000, {"rtchat.channel": 17, "rtchat.seq": 3})
COMMIT = Span("commit", TRACE, False, 2_000, 3_000, {"rtchat.rows": 5})
# Of SpanKind in OTLP.
INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = 1, 2, 3, 4, 5


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting() as running:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", running.url)
        yield running


@pytest.fixture
async def exporter(collector: Collector) -> AsyncIterator[Exporter]:
    made = Exporter("pod-a")
    yield made
    collector.answers.set()
    await made.close()


# --- what arrives


async def test_a_trace_arrives_as_it_was_made(collector: Collector, exporter: Exporter) -> None:
    for span in (COMMIT, SEND):
        exporter.emit(span)
    await exporter.close()
    commit, send = await collector.trace(TRACE.id, 2)
    root = f"{TRACE.root:016x}"
    assert (send.name, send.id, send.parent, send.kind) == ("send", root, "", SERVER)
    assert (commit.name, commit.parent, commit.kind) == ("commit", root, CLIENT)
    assert commit.id not in (root, "")
    assert (send.start_ns, send.end_ns, commit.start_ns) == (1_000, 9_000, 2_000)
    assert (send.attributes, commit.attributes) == (SEND.attributes, COMMIT.attributes)
    assert (
        send.resource.items()
        >= {
            "service.name": "rtchat",
            "service.version": __version__,
            "service.instance.id": "pod-a",
        }.items()
    )


async def test_each_step_has_its_kind(collector: Collector, exporter: Exporter) -> None:
    for name in ("queue", "publish", "deliver"):
        exporter.emit(COMMIT._replace(name=name))
    exporter.emit(SEND._replace(name="rename"))
    await exporter.close()
    kinds = {span.name: span.kind for span in await collector.trace(TRACE.id, 4)}
    assert kinds == {
        "queue": INTERNAL, "publish": PRODUCER, "deliver": CONSUMER, "rename": SERVER,
    }  # fmt: skip


async def test_what_an_application_around_it_traces_is_left_alone(
    collector: Collector, exporter: Exporter
) -> None:
    around = SpanContext(7, 7, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    with use_span(NonRecordingSpan(around)):
        exporter.emit(SEND)
        exporter.emit(COMMIT)
    await exporter.close()
    send, commit = await collector.trace(TRACE.id, 2)
    assert (send.parent, commit.parent) == ("", send.id)


async def test_the_variables_of_opentelemetry_have_the_last_word(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "chat of ours")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=ours")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")  # rtchat has chosen already
    exporter = Exporter("pod-a")
    exporter.emit(SEND)
    await exporter.close()
    (span,) = await collector.trace(TRACE.id, 1)
    assert span.resource["service.name"] == "chat of ours"
    assert span.resource["deployment.environment.name"] == "test"
    assert span.instance == "pod-a"
    assert collector.headers[0]["x-tenant"] == "ours"


async def test_the_sdk_can_be_switched_off(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    disabled = Exporter("pod-a")
    disabled.emit(SEND)
    await disabled.close()
    monkeypatch.delenv("OTEL_SDK_DISABLED")
    enabled = Exporter("pod-b")
    enabled.emit(SEND)
    await enabled.close()
    assert [span.instance for span in await collector.trace(TRACE.id, 1)] == ["pod-b"]


# --- what must not be


async def test_the_end_does_not_wait_for_a_collector_that_hangs(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    collector.answers.clear()
    exporter = Exporter("pod-a")
    exporter.emit(SEND)
    await collector.held()
    await exporter.close()
    assert collector.holding == 1  # as yet it was not answered
    assert "spans may be lost: the collector does not answer in time" in caplog.messages


async def test_the_loop_goes_on_while_a_collector_hangs(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what does not fit is dropped, the oldest first."""
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "8")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")
    collector.answers.clear()
    exporter = Exporter("pod-a")
    for _ in range(4):
        exporter.emit(COMMIT)
    await collector.held()
    for number in range(100):
        exporter.emit(SEND._replace(attributes={"rtchat.seq": number}))
        await asyncio.sleep(0)
    assert collector.holding == 1
    collector.answers.set()
    await exporter.close()
    spans = await collector.trace(TRACE.id, 12)
    assert [span.attributes.get("rtchat.seq") for span in spans[4:]] == list(range(92, 100))


async def test_a_span_that_cannot_be_made_costs_nobody_anything_and_is_told_once(
    exporter: Exporter, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        exporter.emit(cast(Span, None))
    told = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(told) == 1


def test_variables_that_cannot_be_used_are_told_at_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "0")
    with pytest.raises(StartError, match=r"OTEL_.*max_queue_size"):
        open_traces(Config(trace_one_in=1), lambda: "epoch")


# --- an extra

# A pod without a database starts all the same, and waits for it.
# redis-py loads what it finds of OpenTelemetry's metrics, whoever installed it: that is not ours.
RUN = """
import asyncio, sys
from rtchat.app import App
from rtchat.config import Config
from rtchat.errors import StartError

TRACING = ("rtchat.otel", "opentelemetry.sdk.trace", "opentelemetry.exporter")

async def run(**settings):
    url = "postgresql://nobody@127.0.0.1:1/nothing"
    async with App(Config(database_url=url, secret_key="k" * 40, **settings)).running():
        return [name for name in sys.modules if name.startswith(TRACING)]
"""


def said(program: str) -> str:
    """What a Python of its own prints."""
    done = subprocess.run(
        [sys.executable, "-c", RUN + program], cwd=ROOT, capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_off_nothing_of_opentelemetry_is_loaded() -> None:
    off, on = said("""
print(asyncio.run(run()))
print(asyncio.run(run(trace_one_in=1)))
""").splitlines()
    assert off == "[]"
    assert "'rtchat.otel'" in on
    assert "'opentelemetry.exporter.otlp.proto.http.trace_exporter'" in on


def test_without_the_extra_the_start_fails_and_says_how_to_mend_it() -> None:
    told = said("""
sys.modules["opentelemetry.sdk.trace"] = None  # as if it was not installed
try:
    asyncio.run(run(trace_one_in=100))
except StartError as error:
    print(error)
""")
    assert "pip install 'rtchat[otel]'" in told
    assert "RTCHAT_TRACE_ONE_IN=0" in told
