"""A trace of one message through two pods, and what becomes of messages while nobody takes traces.

Real pods, PostgreSQL and Valkey; the collector speaks OTLP over HTTP.
"""

import secrets
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import asyncpg
import httpx2
import pytest

from rtchat.server.valkey import PrivateValkey
from rtchat.store.epoch import LATEST
from rtchat.tracing import Sample, trace_of
from tests.collector import Collector, Received, collecting
from tests.people import People
from tests.pods import Pod, Pods
from tests.services import Given
from tests.sockets import wire

CONTENT = "xyzzy, in confidence"
SENDS = 200
SPANS = {"send", "queue", "commit", "publish", "deliver"}
Spawn = Callable[..., Pod]


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


@pytest.fixture
def spawn(
    database_url: str,
    valkey: PrivateValkey | Given,
    pods: Pods,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Spawn]:
    """Starts pods that trace, to the collector at this URL."""
    settings: dict[str, Any] = {
        "redis_urls": valkey.url,
        "bus_prefix": f"traces-{secrets.token_hex(4)}",
        "trace_one_in": 1,
        "sends_per_second": 0,
    }
    started: list[Pod] = []

    def start(collector_url: str, **also: Any) -> Pod:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector_url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        started.append(pods.spawn(database_url, **{**settings, **also}))
        return started[-1]

    yield start
    for pod in started:
        pod.kill()


@pytest.fixture
async def people(database_url: str) -> AsyncIterator[People]:
    async with People(database_url) as source:
        yield source


async def channel_of(pod: Pod, owner: Any, *members: Any) -> int:
    async with httpx2.AsyncClient(base_url=pod.url, timeout=20) as http:
        body = {"name": "traced", "type": "public", "members": [m.id for m in members]}
        made = (await http.post("/channels", json=body, headers=owner.headers)).json()
    return int(made["id"])


# --- one message


async def test_one_message_through_two_pods_is_one_trace(
    spawn: Spawn, collector: Collector, people: People
) -> None:
    one, two = spawn(collector.url), spawn(collector.url)
    await one.listening()
    await two.listening()
    ann, bob = await people.new("ann"), await people.new("bob")
    channel = await channel_of(one, ann, bob)
    async with wire(one.ws_url, ann) as a, wire(two.ws_url, bob) as b:
        for socket_of in (a, b):
            await socket_of.ask({"t": "sub", "ref": 1, "ch": {str(channel): None}})
        sent = {"t": "send", "ref": 2, "ch": channel, "content": CONTENT, "nonce": "nonce-1"}
        seq = (await a.ask(sent))["seq"]
        for socket_of in (a, b):
            assert (await socket_of.recv())["content"] == CONTENT
        again = await a.ask({**sent, "ref": 3})
        assert (again["seq"], again["dup"]) == (seq, True)

    trace = trace_of(await epoch_of(one), channel, seq)
    spans = await collector.trace(trace.id, 6)
    assert sorted(span.name for span in spans) == sorted([*SPANS, "deliver"])
    here, there = (f"{socket.gethostname()}-{pod.pid}" for pod in (one, two))
    assert {span.instance for span in spans} == {here, there}
    by = {(span.name, span.instance == here): span for span in spans}
    assert {name for name, ours in by if not ours} == {"deliver"}

    root = by["send", True]
    assert (root.id, root.parent) == (f"{trace.root:016x}", "")
    assert {span.parent for span in spans if span is not root} == {root.id}
    assert len({span.id for span in spans}) == len(spans)
    require_order(by)
    require_words(by, {"rtchat.channel": channel, "rtchat.seq": seq}, ann.id)
    require_nothing_private(collector, CONTENT, "nonce-1", ann.email, bob.email, ann.token)


async def epoch_of(pod: Pod) -> str:
    connection = await asyncpg.connect(pod.database_url)
    try:
        return str(await connection.fetchval(LATEST))
    finally:
        await connection.close()


def require_order(by: dict[tuple[str, bool], Received]) -> None:
    """Each step begins when it may, by the clocks of two processes on one machine."""
    send, queue, commit = (by[name, True] for name in ("send", "queue", "commit"))
    publish, here, there = by["publish", True], by["deliver", True], by["deliver", False]
    assert send.start_ns == queue.start_ns <= queue.end_ns == commit.start_ns < commit.end_ns
    assert commit.end_ns <= send.end_ns <= here.start_ns <= here.end_ns <= publish.start_ns
    assert publish.start_ns < there.start_ns <= there.end_ns


def require_words(by: dict[tuple[str, bool], Received], entry: dict[str, int], author: int) -> None:
    """What each span says besides its entry, whole."""
    said = {
        key: {k: v for k, v in span.attributes.items() if entry.get(k) != v}
        for key, span in by.items()
    }
    assert all(span.attributes.items() >= entry.items() for span in by.values())
    assert said.pop(("publish", True)).keys() == {"rtchat.entries", "rtchat.bytes"}
    delivered = {"rtchat.subscribers": 1, "rtchat.entries": 1}
    here, there = by["deliver", True].instance, by["deliver", False].instance
    assert said == {
        ("send", True): {"rtchat.user": author},
        ("queue", True): {},
        ("commit", True): {"rtchat.rows": 1, "rtchat.lane": entry["rtchat.channel"] % 4},
        ("deliver", True): {**delivered, "rtchat.pod": here, "rtchat.source": "commit"},
        ("deliver", False): {**delivered, "rtchat.pod": there, "rtchat.source": "bus"},
    }


def require_nothing_private(collector: Collector, *words: str) -> None:
    """In none of all the bytes that were sent."""
    sent = b"".join(collector.bodies)
    assert b"rtchat.channel" in sent  # or it would be no text that can be searched
    assert [word for word in words if word.encode() in sent] == []


# --- which


async def test_pods_choose_the_same_few(spawn: Spawn, collector: Collector, people: People) -> None:
    one, two = spawn(collector.url, trace_one_in=10), spawn(collector.url, trace_one_in=10)
    await one.listening()
    await two.listening()
    ann = await people.new("ann")
    channel = await channel_of(one, ann)
    async with wire(one.ws_url, ann) as a, wire(two.ws_url, ann) as b:
        await b.ask({"t": "sub", "ref": 1, "ch": {str(channel): None}})
        for ref in range(40):
            await a.send({"t": "send", "ref": ref, "ch": channel, "content": CONTENT})
        await a.until(ref=39)
        await b.until(seq=40)
    epoch, chosen = await epoch_of(one), Sample(10).of(channel, range(1, 41))
    for seq in chosen:
        spans = await collector.trace(trace_of(epoch, channel, seq).id, 5)
        assert {span.name for span in spans} == SPANS
        assert len({span.instance for span in spans}) == 2
    seqs = {s.attributes["rtchat.seq"] for s in collector.spans if s.name == "send"}
    assert seqs == set(chosen)
    assert 3 <= len(chosen) <= 5


# --- nobody takes them


@pytest.mark.parametrize("state", ["hangs", "is away"])
async def test_messages_go_on_while_the_collector(
    state: str,
    spawn: Spawn,
    collector: Collector,
    people: People,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Acked and delivered, more than the queue of spans has room for; and the pod ends in time."""
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "32")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "16")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "60")  # longer than this takes anywhere
    collector.answers.clear()
    pod = spawn(collector.url if state == "hangs" else "http://127.0.0.1:1")
    await pod.listening()
    ann = await people.new("ann")
    channel = await channel_of(pod, ann)
    async with wire(pod.ws_url, ann) as a:
        await a.ask({"t": "sub", "ref": "sub", "ch": {str(channel): None}})
        await a.ask({"t": "send", "ref": "first", "ch": channel, "content": CONTENT})
        await a.until(seq=1)
        if state == "hangs":
            await collector.held()
        for ref in range(SENDS):
            await a.send({"t": "send", "ref": ref, "ch": channel, "content": CONTENT})
        frames = await a.until(seq=SENDS + 1, t="msg")
        assert sum(frame["t"] == "ack" for frame in frames) == SENDS
        assert sum(frame["t"] == "msg" for frame in frames) == SENDS
    assert (collector.holding, len(collector.bodies)) == ((1, 1) if state == "hangs" else (0, 0))
    pod.signal(15)
    assert await pod.ended() == 0
    assert pod.events("Queue full, dropping Span.")
