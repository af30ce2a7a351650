"""A message that keeps coming is logged at once, then seldom, and nothing is left uncounted."""

import logging

import pytest

from rtchat.bus.seldom import Seldom

log = logging.getLogger(__name__)


def test_logs_the_first_of_each_kind_at_once(caplog: pytest.LogCaptureFixture):
    seldom = Seldom(log)
    for _ in range(1_000):
        seldom.warning("one kind", node="a")
        seldom.warning("other kind", error=ValueError("why"))
    assert [record.message for record in caplog.records] == ["one kind", "other kind"]
    assert vars(caplog.records[0])["node"] == "a"
    assert caplog.records[1].exc_info


def test_tells_how_many_were_left_out(caplog: pytest.LogCaptureFixture):
    times = [100.0, 101.0, 109.9, 110.0, 110.1, 120.0]
    seldom = Seldom(log, every_s=10, clock=iter(times).__next__)
    for _ in times:
        seldom.warning("kind")
    assert [vars(record)["left_out"] for record in caplog.records] == [0, 2, 1]
