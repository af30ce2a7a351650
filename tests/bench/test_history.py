"""The history bench on a real pod: every message is found on the way back and by who comes back."""

import asyncio

import pytest

from bench import history
from bench.load.process import LoadClient, LoadFailedError
from bench.rig import Rig

MESSAGES = 1050


@pytest.fixture(scope="module")
async def log(rig: Rig) -> history.Log:
    return await asyncio.to_thread(history.Log, rig, MESSAGES, 3)


async def test_scrolling_back_finds_every_message_once(log: history.Log) -> None:
    row = await asyncio.to_thread(history.scroll, log)
    assert row["wrong"] == 0
    assert row["per_s"] * row["seconds"] == pytest.approx(6), "five pages of 200, and the rest"


async def test_pages_are_read_at_any_depth(load: LoadClient, log: history.Log) -> None:
    """Even where fewer messages than a page are left below."""
    rows = [
        await asyncio.to_thread(history.pages, log, load, above, seconds=0.3)
        for above in (0, MESSAGES - 10)
    ]
    assert [row["depth"] for row in rows] == [0, MESSAGES - 10]
    assert all(row["answered"] > 0 for row in rows)
    shown = history.with_flatness(rows)
    assert shown[0]["flat"] in (0, 1)


async def test_who_comes_back_gets_all_that_was_missed(load: LoadClient, log: history.Log) -> None:
    row = await asyncio.to_thread(history.catch_up, log, load, 1000)
    assert (row["entries"], row["readers"], row["wrong"]) == (3 * 1000, 3, 0)
    assert 0 < row["p50_ms"] <= row["p99_ms"]


async def test_a_cursor_that_cannot_be_resumed_ends_the_bench(
    rig: Rig, load: LoadClient, log: history.Log
) -> None:
    member = {"channel": log.channel, "cursor": MESSAGES + 5, "head": MESSAGES + 9}
    with pytest.raises(LoadFailedError, match="reset"):
        await asyncio.to_thread(
            load.run, "catchup", url=rig.url, dialect="rtchat",
            members=[rig.member(log.people[0], **member)], deadline_s=5,
        )  # fmt: skip
