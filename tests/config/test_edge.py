"""The settings of the edge: what clients meet there has an answer that they can read."""

import pytest

from rtchat.config import Config
from rtchat.config.edge import Edge
from rtchat.config.rates import Rates
from rtchat.settings import meta

OWN = [name for name in Edge.__struct_fields__ if name not in Rates.__struct_fields__]
SAID_OTHERWISE = {"heartbeat_s", "expiring_s", "hsts_s"}  # by a ping, a frame, a header
WHERE = OWN[: OWN.index("content_max_chars")]  # the parts are, and what is logged


@pytest.mark.parametrize("name", [name for name in OWN if name not in WHERE])
def test_a_limit_that_clients_meet_says_what_happens_there(name: str):
    extra = meta(name).extra or {}
    assert bool(extra.get("at")) != (name in SAID_OTHERWISE)


def test_it_is_a_part_of_the_one_list():
    assert set(OWN) < set(Config.__struct_fields__)
    assert issubclass(Config, Edge)
