"""Attacks in short, for what they must not do: lose an ack, fill memory, end without a word.

How long acks take meanwhile is for `python -m bench attack`.
"""

import asyncio
from typing import Any

import pytest

from bench.attack import SETTINGS, Attackers, Flow
from bench.attackers import ATTACKS
from bench.load.process import LoadClient
from bench.rig import SETTINGS as RIG, Rig
from tests.calm import complaints
from tests.pods import Pods
from tests.raw import peak_mb, rss_mb
from tests.services import Databases

SECONDS = 5.0
GROWTH_MB = 60  # of all attacks at once; each alone has 20 (tests/faults/test_server_limits.py)
TOLD = {  # what connections that lived long enough to be told were told
    "pings": {"4008"}, "bad JSON": {"4008"}, "deep JSON": {"4008"}, "sends": {"4008"},
    "frames": {"1009"}, "fragments": {"4009"}, "deflate": {"1002"}, "bodies": {"413"},
    "chunks": {"413"}, "guests": {"4001"},
}  # fmt: skip


@pytest.fixture
def attacked(databases: Databases, pods: Pods):
    """A pod with its limits as they are by default."""
    with databases.fresh() as url:
        pod = pods.spawn(url, **{**RIG, **SETTINGS}).wait()
        yield Rig(url, "", [pod])
        pod.kill()


async def test_others_have_their_acks_during_all_attacks_at_once(
    attacked: Rig, load: LoadClient
) -> None:
    """Every ack and delivery comes, memory stays bounded, and who is closed is told why."""
    pod = attacked.pods[0]

    def attack() -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        flow, attackers = Flow(attacked, 10, 2), Attackers(attacked, log=2000)
        flow.measure(load, 50, 0.2)
        rss_mb(pod)
        with attackers.attack([*ATTACKS], SECONDS, lead_s=1.0) as told:
            row = flow.measure(load, 50, SECONDS - 2)
        return row, told["attacks"]

    before = rss_mb(pod)
    row, told = await asyncio.to_thread(attack)
    assert (row["unanswered"], row["undelivered"]) == (0, 0)
    assert row["ack_n"] == pytest.approx(50 * (SECONDS - 2), abs=20)
    assert peak_mb(pod) - before < GROWTH_MB
    for name, figures in told.items():
        assert figures["opened"] > 5, name
        said = {end for end in figures["ends"] if end.isdigit()}
        assert said <= TOLD.get(name, set()) | {"503", "429", "4101"}, (name, said)
    assert {name for name in TOLD if TOLD[name] & told[name]["ends"].keys()} >= {
        "pings", "bad JSON", "sends", "frames", "fragments", "deflate", "bodies", "chunks",
    }  # fmt: skip
    assert complaints(pod.log()) == []
