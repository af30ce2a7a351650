"""A client that comes back gets exactly what it missed, on any pod, or is told that it cannot.

Row G5 of the fault matrix: the size of the gap, the pod, and what that pod still has of it.
"""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg
import pytest

from tests.faults.scene import Scene, answers, follow, message, scene
from tests.people import Person
from tests.pods import Pods
from tests.raw import TEXT, frame, raw
from tests.services import Given
from tests.sockets import Wire, wire

PAGE = 50
TAIL_BYTES = 20_000
SAME, OTHER = 0, 1  # the client was on the first pod
HAS_IT, SHED_IT, CLOSED = "the tail has it", "the tail has shed it", "the room is closed"
FAST: dict[str, Any] = {"room_linger_ms": 10, "head_check_ms": 50}


@pytest.fixture(scope="module")
async def two(pods: Pods, module_database_url: str, valkey: Given) -> AsyncIterator[Scene]:
    """Two pods with small pages and marks, and short tails; empty rooms close at once."""
    settings: dict[str, Any] = {
        "catch_up_rows": PAGE, "tail_max_bytes": TAIL_BYTES,
        "write_high_bytes": 32_768, "write_low_bytes": 8192, **FAST,
    }  # fmt: skip
    async with scene(pods, module_database_url, 2, redis_urls=valkey.url, **settings) as made:
        yield made


@pytest.fixture
async def sockets() -> AsyncIterator[contextlib.AsyncExitStack]:
    """Where a test's sockets end."""
    async with contextlib.AsyncExitStack() as stack:
        yield stack


# --- parts of a story


async def say(one: Wire, channel: int, count: int, text: str = "x") -> None:
    """Store so many messages, each acked."""
    for begin in range(0, count, 200):  # fewer than may be unanswered
        refs = range(begin, min(begin + 200, count))
        for ref in refs:
            await one.send(message(ref, channel, text))
        await answers(one, set(refs))


async def run_of(one: Wire, channel: int, after: int, upto: int) -> None:
    """The next frames of a channel are exactly its entries with after < seq <= upto."""
    for seq in range(after + 1, upto + 1):
        got = await one.recv()
        assert (got["t"], got["ch"], got["seq"]) == ("msg", channel, seq)


async def goes_on(made: Scene, one: Wire, ann: Person, channel: int, head: int) -> None:
    """The socket is live: it gets what is said next, from either pod, and nothing else."""
    for number, pod in enumerate(made.pods, 1):
        path = f"/channels/{channel}/messages"
        assert (await made.call(ann, "POST", path, {"content": "next"}, pod)).status_code == 201
        await run_of(one, channel, head + number - 1, head + number)
    await one.alive()


@contextlib.asynccontextmanager
async def no_reads(made: Scene) -> AsyncIterator[None]:
    """Let whoever reads the log wait."""
    held = await asyncpg.connect(made.pod.database_url)
    try:
        async with held.transaction():
            await held.execute("LOCK TABLE messages IN ACCESS EXCLUSIVE MODE")
            yield
    finally:
        await held.close()


async def opened(
    sockets: contextlib.AsyncExitStack, made: Scene, person: Person, pod: int = 0
) -> Wire:
    """A socket on a pod, past the hints of the channels that were just made."""
    one = await sockets.enter_async_context(wire(made.pods[pod].ws_url, person))
    await one.send({"t": "ping", "ref": "there"})
    await one.until(ref="there")
    return one


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
        answer = await back.ask({"t": "sub", "ref": 1, "ch": {str(old): 3, str(new): 3}})
        assert answer["ch"] == {str(old): {"error": "not_found"}, str(new): {"head": 0}}
        reset = await back.recv()
        assert (reset["t"], reset["ch"], reset["head"]) == ("reset", new, 0)
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


SEQS = re.compile(rb'"seq":(\d+),')


def seqs(data: bytes | bytearray) -> Sequence[int]:
    """The seqs in what came, in order."""
    return [int(found) for found in SEQS.findall(data)]


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
        while not seqs(slow.received[-4000:]) or seqs(slow.received[-4000:])[-1] < head:
            assert await slow.recv(), "the pod ended it"
        assert seqs(slow.received) == list(range(1, head + 1))
    assert head > 1500
