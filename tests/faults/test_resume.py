"""A client that comes back gets exactly what it missed, on any pod, or is told that it cannot.

Row G5 of the fault matrix: the size of the gap, the pod, and what that pod still has of it.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator

import pytest

from tests.faults.resuming import (
    FAST,
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
from tests.faults.scene import Scene, answers, follow, message, scene
from tests.pods import Pods
from tests.raw import TEXT, frame, raw
from tests.services import Given
from tests.sockets import Wire, wire

HAS_IT, SHED_IT, CLOSED = "the tail has it", "the tail has shed it", "the room is closed"


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


async def shed(made: Scene, sockets: contextlib.AsyncExitStack) -> None:
    """Fill the tails of both pods with something else."""
    bob = await made.people.new("bob")
    other = await made.channel(bob)
    keepers = [await opened(sockets, made, bob, pod) for pod in (SAME, OTHER)]
    for keeper in keepers:
        await follow(keeper, other)
    await say(await opened(sockets, made, bob), other, 8, "y" * 4000)
    for keeper in keepers:
        await keeper.until(seq=8)


# --- the matrix


@pytest.mark.parametrize("tail", [HAS_IT, SHED_IT, CLOSED])
@pytest.mark.parametrize("to", [SAME, OTHER], ids=["same pod", "other pod"])
@pytest.mark.parametrize("gap", [0, 1, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE + 20])
async def test_who_comes_back_gets_what_it_missed(
    two: Scene, sockets: contextlib.AsyncExitStack, gap: int, to: int, tail: str
) -> None:
    """G5: exactly the entries behind its cursor, dense, then what is said next.

    While nobody can read the log only a tail can serve them: so each case is what it says.
    """
    ann = await two.people.new("ann")
    channel = await two.channel(ann)
    writer = await opened(sockets, two, ann)
    await say(writer, channel, 3)
    async with wire(two.pod.ws_url, ann) as before:
        after = await follow(before, channel)
    keepers = [] if tail is CLOSED else [await opened(sockets, two, ann, pod) for pod in (0, 1)]
    for keeper in keepers:
        await follow(keeper, channel)
    await say(writer, channel, gap)
    head = after + gap
    for keeper in keepers if gap else []:
        await keeper.until(seq=head)
    if tail is SHED_IT:
        await shed(two, sockets)
    elif tail is CLOSED:
        await asyncio.sleep(0.2)
    back = await opened(sockets, two, ann, to)
    async with no_reads(two):
        assert await follow(back, channel, after) == head
        if tail is HAS_IT:
            await run_of(back, channel, after, head)
        else:
            await back.silence(0.05)
    if tail is not HAS_IT:
        await run_of(back, channel, after, head)
    await goes_on(two, back, ann, channel, head)


async def test_a_tail_that_has_only_the_end_is_read_behind_the_log(
    two: Scene, sockets: contextlib.AsyncExitStack
) -> None:
    """G5: the beginning in pages from the log, the end from the tail, nothing twice."""
    ann = await two.people.new("ann")
    channel = await two.channel(ann)
    keepers = [await opened(sockets, two, ann, pod) for pod in (SAME, OTHER)]
    for keeper in keepers:
        await follow(keeper, channel)
    writer = await opened(sockets, two, ann)
    for _ in range(40):  # in batches of their own: an envelope is in a tail, or is not
        await say(writer, channel, 5, "z" * 300)
    for keeper in keepers:
        await keeper.until(seq=200)
    for pod in (SAME, OTHER):
        back = await opened(sockets, two, ann, pod)
        async with no_reads(two):
            assert await follow(back, channel, 195) == 200
            await run_of(back, channel, 195, 200)
            assert await follow(back, channel, 0) == 200
            await back.silence(0.05)
        await run_of(back, channel, 0, 200)
        await back.alive()


async def test_ten_thousand_entries_come_back_too(
    pods: Pods, database_url: str, valkey: Given, sockets: contextlib.AsyncExitStack
) -> None:
    """G5: with pages, marks and tails as in production; from the tails, then from the log."""
    count = 10_000
    async with scene(pods, database_url, 2, redis_urls=valkey.url, **FAST) as made:
        ann = await made.people.new("ann")
        channel = await made.channel(ann)
        async with contextlib.AsyncExitStack() as present:
            keepers = [await opened(present, made, ann, pod) for pod in (SAME, OTHER)]
            for keeper in keepers:
                await follow(keeper, channel)
            await say(await opened(sockets, made, ann), channel, count)
            async with asyncio.TaskGroup() as group:
                for keeper in keepers:
                    group.create_task(keeper.until(seq=count))
            for pod in (SAME, OTHER):
                back = await opened(present, made, ann, pod)
                async with no_reads(made):
                    assert await follow(back, channel, 0) == count
                    await run_of(back, channel, 0, count)
        await asyncio.sleep(0.2)
        for pod in (SAME, OTHER):
            back = await opened(sockets, made, ann, pod)
            assert await follow(back, channel, 0) == count
            await run_of(back, channel, 0, count)
            await back.alive()


# --- while the world goes on


async def chatter(one: Wire, channel: int, until: asyncio.Event) -> None:
    """Say something again and again; what is acked is somebody else's to read."""
    ref = 0
    while not until.is_set():
        await one.send(message(ref, channel, "steady"))
        await answers(one, {ref})
        ref += 1
        await asyncio.sleep(0.005)


async def dense_to_the_end(one: Wire, channel: int, after: int) -> int:
    """Read what comes, dense behind the cursor, to the last message; returns its seq."""
    while True:
        got, after = await one.recv(), after + 1
        assert (got["t"], got["ch"], got["seq"]) == ("msg", channel, after)
        if got["content"] == "the end":
            return after


@pytest.mark.parametrize("tail", [HAS_IT, CLOSED])
async def test_who_comes_back_under_a_stream_misses_nothing(
    two: Scene, sockets: contextlib.AsyncExitStack, tail: str
) -> None:
    """G5: twenty at once on both pods, each from elsewhere, while both pods are talked to."""
    ann = await two.people.new("ann")
    channel = await two.channel(ann)
    await say(await opened(sockets, two, ann), channel, 5 * PAGE)
    for pod in (SAME, OTHER) if tail is HAS_IT else ():
        await follow(await opened(sockets, two, ann, pod), channel)
    over = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        talking = [
            group.create_task(chatter(await opened(sockets, two, ann, pod), channel, over))
            for pod in (SAME, OTHER)
        ]
        reading = []
        for number, cursor in enumerate(range(0, 5 * PAGE, PAGE // 4)):
            back = await opened(sockets, two, ann, number % 2)
            await follow(back, channel, cursor)
            reading.append(group.create_task(dense_to_the_end(back, channel, cursor)))
            await asyncio.sleep(0.02)
        over.set()
        await asyncio.wait(talking)
        await say(await opened(sockets, two, ann), channel, 1, "the end")
    head = len(await two.log(channel))
    assert {task.result() for task in reading} == {head}
    assert head > 5 * PAGE + 10, "hardly anything was said meanwhile"


async def test_a_slow_client_comes_back_page_by_page(
    two: Scene, sockets: contextlib.AsyncExitStack
) -> None:
    """G5: with a small window, and while messages go on arriving; all of it, once, in order."""
    ann = await two.people.new("ann")
    channel = await two.channel(ann)
    await say(await opened(sockets, two, ann), channel, 1500, "x" * 1000)
    over = asyncio.Event()
    async with asyncio.TaskGroup() as group, raw(two.pods[OTHER].port, rcvbuf=4096) as slow:
        talker = await opened(sockets, two, ann)
        talking = group.create_task(chatter(talker, channel, over))
        await slow.upgrade(ann)
        await slow.send(frame(TEXT, b'{"t":"sub","ref":1,"ch":{"%d":0}}' % channel))
        for _ in range(50):  # sips, so that it stays behind for a while
            await slow.recv(2048)
            await asyncio.sleep(0.005)
        over.set()
        await talking
        head = len(await two.log(channel))
        seen = [
            int(seq) for seq in re.findall(rb'"seq":(\d+),', await slow.until(b'"seq":%d,' % head))
        ]
        assert seen == list(range(1, head + 1))
    assert head > 1500
