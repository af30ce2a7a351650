"""The load client on a real pod: what it counts is what was sent, stored and delivered."""

import asyncio
import time
from types import SimpleNamespace

import pytest

from bench import fanout, ingest, latency
from bench.load.jobs.latency import _Pace, told
from bench.load.process import LoadClient, LoadFailedError
from bench.rig import Rig


async def test_every_member_gets_every_message(rig: Rig, load: LoadClient) -> None:
    row = await asyncio.to_thread(fanout.measure, rig, load, 20, 8, 0.5, 0.2)
    assert (row["missing"], row["lost"]) == (0, 0)
    assert row["delivered"] > 20 * 8
    assert row["stored"] == row["sent_in_all"]
    assert 0 < row["server_cpu_s"] < row["seconds"] * 2


async def test_every_ack_is_a_stored_message(rig: Rig, load: LoadClient) -> None:
    row = await asyncio.to_thread(
        ingest.measure, rig, load, senders=10, channels=3, in_flight=4, seconds=0.5, listeners=2,
        warmup_s=0.2,
    )  # fmt: skip
    assert (row["lost"], row["unanswered"]) == (0, 0)
    assert row["stored"] == row["sent_in_all"] > 40
    assert row["delivered_per_s"] > 0


async def test_an_open_loop_keeps_its_rate_and_times_every_message(
    rig: Rig, load: LoadClient
) -> None:
    row = await asyncio.to_thread(
        latency.measure, rig, load, per_second=200, senders=10, channels=2, seconds=1.0,
        warmup_s=0.2,
    )  # fmt: skip
    assert (row["unanswered"], row["undelivered"]) == (0, 0)
    assert 0 < row["ack_n"] == row["delivery_n"] <= 230  # less where the machine stood still
    assert 0 < row["ack_p50_ms"] <= row["ack_p99_ms"] <= row["ack_max_ms"]


async def test_a_member_that_is_refused_ends_the_job_with_the_reason(
    rig: Rig, load: LoadClient
) -> None:
    person = (await asyncio.to_thread(rig.people, 1))[0]
    stranger = {**rig.member(person, subs={999_999: None}), "channel": 999_999}
    with pytest.raises(LoadFailedError, match="not_found"):
        await asyncio.to_thread(
            load.run, "ingest", url=rig.url, dialect="rtchat", members=[stranger], in_flight=1,
            seconds=0.1, warmup_s=0.1, content_bytes=10,
        )  # fmt: skip
    nobody = {"token": "x", "run": "x"}
    with pytest.raises(LoadFailedError, match="401"):
        await asyncio.to_thread(load.run, "fanout", url=rig.url, dialect="rtchat", members=[nobody])


class Nobody:
    """An engine on which nothing comes."""

    bytes_in = 0
    turn = run = staticmethod(lambda *_: None)


def pace(sent: int, conns: list[SimpleNamespace]) -> _Pace:
    """An open loop of which so many messages were due, one a second, up to now."""
    crew = SimpleNamespace(engine=Nobody(), dialect=SimpleNamespace(text=True), conns=conns)
    it = _Pace(crew, 1.0, 100)  # type: ignore[arg-type]
    it.sent = sent
    it._due.extend(time.perf_counter() - age for age in reversed(range(sent)))
    return it


def test_what_never_came_counts_as_late_as_can_be_told() -> None:
    """A percentile of only those that came would be the better, the more are lost."""
    it = pace(100, [SimpleNamespace(member={"channel": 1})])
    for number in range(90):
        it.acks[0].append(number)
        it.acks[1].append(it._due[number] + 0.001)
    figures = told(it.latencies(it.acks, 0, 100))
    assert figures["n"] == 100
    assert figures["p50_ms"] == pytest.approx(1, rel=0.01)
    assert figures["p99_ms"] > 8000, "of the ten, the first has waited for ten seconds"
    assert it.lacking(it.acks, 0, 100) == 10


def test_a_latency_beyond_what_is_told_apart_is_not_left_out() -> None:
    it = pace(1, [SimpleNamespace(member={"channel": 1})])
    it.acks[0].append(0)
    it.acks[1].append(it._due[0] + 1000.0)
    assert told(it.latencies(it.acks, 0, 1))["p99_ms"] == pytest.approx(60_000, rel=0.01)
