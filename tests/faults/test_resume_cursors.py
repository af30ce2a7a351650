"""Cursors of all kinds, many at once, moved and given up: each is resumed, or its end is said.

Row G5 of the fault matrix; how much was missed, and from where it comes, is in `test_resume`.
"""

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.faults.resuming import (
    OTHER,
    PAGE,
    SAME,
    SETTINGS,
    goes_on,
    no_reads,
    opened,
    run_of,
    say,
)
from tests.faults.scene import Scene, follow, scene
from tests.pods import Pods
from tests.services import Given
from tests.sockets import wire


@pytest.fixture(scope="module")
async def two(pods: Pods, module_database_url: str, valkey: Given) -> AsyncIterator[Scene]:
    """Two pods with small pages, marks and tails."""
    async with scene(pods, module_database_url, 2, redis_urls=valkey.url, **SETTINGS) as made:
        yield made


@pytest.fixture
async def sockets() -> AsyncIterator[contextlib.AsyncExitStack]:
    """Where a test's sockets end."""
    async with contextlib.AsyncExitStack() as stack:
        yield stack


# --- cursors that are none


@pytest.mark.parametrize("ahead", [1, 1000, 2**53 - 10])
@pytest.mark.parametrize("to", [SAME, OTHER], ids=["same pod", "other pod"])
async def test_a_cursor_ahead_of_the_head_is_reset(
    two: Scene, sockets: contextlib.AsyncExitStack, to: int, ahead: int
) -> None:
    """G5: said, not kept silent about; the subscription has ended, and the head can be used."""
    ann = await two.people.new("ann")
    channel = await two.channel(ann)
    writer = await opened(sockets, two, ann)
    await say(writer, channel, 5)
    back = await opened(sockets, two, ann, to)
    assert await follow(back, channel, 5 + ahead) == 5
    reset = await back.recv()
    assert (reset["t"], reset["ch"], reset["head"]) == ("reset", channel, 5)
    await say(writer, channel, 1)
    await back.silence()
    assert await follow(back, channel, reset["head"]) == 6
    await run_of(back, channel, 5, 6)
    await goes_on(two, back, ann, channel, 6)


@pytest.mark.parametrize("cursor", [-1, 1.5, "5", True, [5], 2**64, -(2**64)])
async def test_a_cursor_that_is_no_number_is_an_error(
    two: Scene, sockets: contextlib.AsyncExitStack, cursor: Any
) -> None:
    """G5: the whole `sub` is refused, and what was subscribed stays as it is."""
    ann = await two.people.new("ann")
    channel, other = await two.channel(ann), await two.channel(ann)
    one = await opened(sockets, two, ann)
    await follow(one, channel)
    wanted = {str(other): 0, str(channel): cursor}
    await one.send(json.dumps({"t": "sub", "ref": 1, "ch": wanted}))
    refused = await one.recv()
    assert (refused["t"], refused["retry"]) == ("error", False)
    assert refused["code"] in ("bad_field", "bad_message")
    await say(await opened(sockets, two, ann), other, 1)
    await goes_on(two, one, ann, channel, 0)


async def test_a_deleted_channel_is_not_found_though_another_has_its_name(
    two: Scene, sockets: contextlib.AsyncExitStack
) -> None:
    """G5: its id never comes back; a cursor of the old one is no cursor of the new one."""
    ann = await two.people.new("ann")
    old = await two.channel(ann)
    await say(await opened(sockets, two, ann), old, 5)
    assert (await two.call(ann, "DELETE", f"/channels/{old}")).status_code == 204
    new = await two.channel(ann)  # all channels of a scene have one name
    assert new != old
    for pod in (SAME, OTHER):
        back = await opened(sockets, two, ann, pod)
        await back.send({"t": "sub", "ref": 1, "ch": {str(old): 3, str(new): 3}})
        answer = (await back.until(ref=1))[-1]  # `added` may come late to the other pod
        assert answer["ch"] == {str(old): {"error": "not_found"}, str(new): {"head": 0}}
        reset = (await back.until(t="reset"))[-1]
        assert (reset["ch"], reset["head"]) == (new, 0)
    back = await opened(sockets, two, ann)
    await follow(back, new, 0)
    await goes_on(two, back, ann, new, 0)


# --- many at once


async def test_a_hundred_channels_come_back_in_one_sub(
    two: Scene, sockets: contextlib.AsyncExitStack
) -> None:
    """G5: each from its own cursor; those that are null, ahead or not one's own as they are."""
    ann, bob = await two.people.new("ann"), await two.people.new("bob")
    channels = [await two.channel(ann) for _ in range(100)]
    strange = await two.channel(bob, kind="private")
    writer = await opened(sockets, two, ann)
    for number, channel in enumerate(channels):
        await say(writer, channel, number % 9)
    heads = {channel: number % 9 for number, channel in enumerate(channels)}
    cursors: dict[int, int | None] = {c: (c * 7) % (head + 2) for c, head in heads.items()}
    cursors |= dict.fromkeys(channels[::10])
    for pod in (SAME, OTHER):
        back = await opened(sockets, two, ann, pod)
        wanted = {str(channel): cursor for channel, cursor in {**cursors, strange: 0}.items()}
        answer = (await back.ask({"t": "sub", "ref": 1, "ch": wanted}))["ch"]
        assert answer.pop(str(strange)) == {"error": "not_found"}
        assert answer == {str(channel): {"head": head} for channel, head in heads.items()}
        expected = {
            c: [("reset", head)] if (cursor := cursors[c]) is not None and cursor > head else
            [("msg", seq) for seq in range((head if cursor is None else cursor) + 1, head + 1)]
            for c, head in heads.items()
        }  # fmt: skip
        got: dict[int, list[tuple[str, Any]]] = {channel: [] for channel in channels}
        for _ in range(sum(map(len, expected.values()))):
            frame_ = await back.recv()
            got[frame_["ch"]].append((frame_["t"], frame_.get("seq", frame_.get("head"))))
        assert got == expected
        await back.silence(0.1)


async def test_a_second_sub_moves_the_cursor(
    two: Scene, sockets: contextlib.AsyncExitStack
) -> None:
    """G5: back, forward, in mid catch-up; null changes nothing. Never two runs at once."""
    ann = await two.people.new("ann")
    channel = await two.channel(ann)
    await say(await opened(sockets, two, ann), channel, 4 * PAGE)
    head = 4 * PAGE
    one = await opened(sockets, two, ann, OTHER)
    await follow(one, channel)
    assert await follow(one, channel, head - 60) == head
    await run_of(one, channel, head - 60, head)
    await one.alive()
    assert await follow(one, channel) == head
    await one.silence(0.1)
    async with no_reads(two):
        await follow(one, channel, 0)
        await one.silence(0.1)  # its page is being read
        await follow(one, channel, head - 70)
        await follow(one, channel)
    await run_of(one, channel, head - 70, head)
    await goes_on(two, one, ann, channel, head)


async def test_an_unsub_in_mid_catch_up_stops_it_at_once(
    two: Scene, sockets: contextlib.AsyncExitStack
) -> None:
    """G5: behind its `ok` nothing follows, though a page was being read or the next was due."""
    ann = await two.people.new("ann")
    channel = await two.channel(ann)
    await say(await opened(sockets, two, ann), channel, 1500, "x" * 200)
    unsub = {"t": "unsub", "ref": "stop", "ch": [channel]}
    async with wire(two.pod.ws_url, ann) as one:
        async with no_reads(two):
            await follow(one, channel, 0)
            await one.silence(0.1)
            assert (await one.ask(unsub))["t"] == "ok"
        await one.silence()
        cut_short = 0
        for upto in range(1, 1500, 100):
            await follow(one, channel, 0)
            await run_of(one, channel, 0, upto)
            await one.send(unsub)
            rest = await one.until(ref="stop")
            assert [f["seq"] for f in rest[:-1]] == list(range(upto + 1, upto + len(rest)))
            cut_short += upto + len(rest) - 1 < 1500
            await one.alive()
        assert cut_short, "it was always through before the unsub came"
        await one.silence()
