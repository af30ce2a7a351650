"""The load client on a real pod: what it counts is what was sent, stored and delivered."""

import asyncio

import pytest

from bench import fanout, ingest, latency
from bench.load.process import LoadClient, LoadFailedError
from bench.rig import Rig


async def test_every_member_gets_every_message(rig: Rig, load: LoadClient) -> None:
    row = await asyncio.to_thread(fanout.measure, rig, load, 20, 8, 0.5, 0.2)
    assert row["missing"] == 0
    assert row["delivered"] > 20 * 8
    assert row["stored"] * 20 >= row["delivered"]
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
    assert row["unanswered"] == 0
    assert row["ack_n"] == row["delivery_n"] == pytest.approx(200, abs=30)
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
