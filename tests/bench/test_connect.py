"""The benches of coming and of doing nothing, on real pods: all arrive, resume and stay."""

import asyncio

from bench import connect, idle
from bench.load.process import LoadClient
from bench.rig import SETTINGS, Rig
from tests.pods import Pods


async def test_all_come_and_come_back_to_another_pod(
    rig: Rig, load: LoadClient, pods: Pods
) -> None:
    """Each waits for its last entry, so all have resumed."""
    settings = {**SETTINGS, "redis_urls": rig.redis_url, "bus_prefix": "storm"}
    two = [await pods.start(rig.database_url, **settings) for _ in range(2)]
    storm = Rig(rig.database_url, rig.redis_url, two)
    rows = await asyncio.to_thread(
        connect.measure, storm, load, clients=60, channels=3, at_once=20, behind=2
    )
    assert [(row["phase"], row["clients"]) for row in rows] == [("come", 60), ("come back", 60)]
    assert all(0 < row["p50_ms"] <= row["p99_ms"] <= row["max_ms"] for row in rows)
    assert two[0].process.returncode is not None
    assert two[1].process.poll() is None
    two[1].kill()


async def test_who_does_nothing_stays_and_answers_pings(
    rig: Rig, load: LoadClient, pods: Pods
) -> None:
    settings = {**SETTINGS, "heartbeat_s": 1, "heartbeat_timeout_s": 1}
    pod = await pods.start(rig.database_url, **settings)
    lone = Rig(rig.database_url, "", [pod])
    row = await asyncio.to_thread(
        idle.measure, lone, load, connections=30, subs=2, seconds=2.5, settle_s=0.5
    )
    assert (row["connections"], row["left"], row["subs"]) == (30, 30, 2)
    assert row["pings"] >= 30
    pod.kill()
