"""The bench of growth, in small: everything sent is delivered and stored, on any number of pods."""

import os
import subprocess
import sys

from bench.load.process import LoadClient
from bench.projection import Factors
from bench.rig import SETTINGS, Rig
from bench.scale import IN_FLIGHT, channels, factors, room, rooms, spent_by
from rtchat.server.valkey import PrivateValkey
from tests.pods import Pods
from tests.services import Databases, Given


def test_rooms_of_several_sizes(rig: Rig, load: LoadClient):
    rows = rooms(rig, load, [2, 5], 0.2, 4)
    assert [row["members"] for row in rows] == [1, 2, 5]
    assert all(row["missing"] == 0 and row["deliveries_per_s"] > 0 for row in rows)


def test_senders_over_fewer_and_more_channels(rig: Rig, load: LoadClient):
    for spread in (1, 300):
        row = channels(rig, load, spread, 0.2)
        assert row["missing"] == 0
        assert row["database_us_per_message"] >= 0
        assert row["redis_us_per_message"] >= 0


def test_two_pods(
    databases: Databases, valkey: PrivateValkey | Given, pods: Pods, load: LoadClient
):
    """A room on both, and channels of one that are heard on the other."""
    with databases.fresh() as url:
        settings = {**SETTINGS, "redis_urls": valkey.url, "bus_prefix": "scale"}
        pair = [pods.spawn(url, **settings).wait() for _ in range(2)]
        it = Rig(url, valkey.url, pair)
        row = room(it, load, 6, 0.3)
        assert (row["missing"], row["pods"]) == (0, 2)
        heard = channels(it, load, 20, 0.3, heard=True)
        assert heard["missing"] == 0
        # Not of its CPU time: that is counted in ticks of 10 ms, and so short a run may take none.
        assert heard["messages_per_s"] > 0
        for pod in pair:
            pod.kill()


def test_the_factors_are_of_messages_that_come_alone():
    rows = [
        {"part": "room", "in_flight": IN_FLIGHT, "us_per_delivery": 0.3},
        {"part": "room", "in_flight": 1, "us_per_delivery": 5.0},
        {
            "part": "channels",
            "us_per_message": 40.0,
            "database_us_per_message": 20.0,
            "redis_us_per_message": 1.0,
        },
        {"part": "pods", "in_flight": IN_FLIGHT, "pods": 4, "us_per_message": 900.0},
        {"part": "heard", "us_per_message": 30.0, "redis_us_per_message": 2.0},
    ]
    assert factors(rows) == Factors(40.0, 5.0, 30.0, 20.0, 2.0)


def test_a_process_that_has_ended_is_passed_over():
    """PostgreSQL's backends come and go between two looks."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert list(spent_by([os.getpid(), ended.pid])) == [os.getpid()]
