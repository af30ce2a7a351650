"""The bench of the chat page, in small: what it tells is of a page that was really used."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from bench.onlooker import Onlooker
from bench.page import type_messages, watch, weigh
from bench.rig import PRESENCE, SETTINGS, Rig
from tests.pods import Pods


@pytest.fixture
async def rig(database_url: str, pods: Pods) -> AsyncIterator[Rig]:
    """A server that nobody has used: the onlooker makes the first channel."""
    pod = await pods.start(database_url, **{**SETTINGS, **PRESENCE})
    yield Rig(database_url, "", [pod])
    pod.kill()


async def test_what_the_page_takes_and_gives(rig: Rig, chromium: Any) -> None:
    onlooker = Onlooker(chromium, rig.url)
    channel = await onlooker.comes_in()
    weight = await weigh(onlooker)
    assert weight["strangers"] == 0
    assert weight["kb"] > 10 < weight["requests"]
    typed = await type_messages(onlooker, 3)
    assert 0 < typed["p50_ms"] <= typed["p95_ms"] <= typed["max_ms"]
    rows = [
        row async for row in watch(onlooker, rig, channel, per_second=50, seconds=0.5, window_s=1.0)
    ]
    assert [row["part"] for row in rows] == ["watch"]
    assert rows[0]["per_second"] > 0 < rows[0]["frames_per_s"]
    assert rows[0]["browser_mb"] > rows[0]["heap_mb"] > 0 < rows[0]["nodes"]
