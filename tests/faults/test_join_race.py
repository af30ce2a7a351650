"""Joining while messages arrive: what is read and what is heard meet without a hole or a double.

Row G6 of the fault matrix. The pods pause by lot between registering, reading the membership and
the head, and reading rows (`pausing_pod`), so that each order of these and of what arrives occurs.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from rtchat.model import Kind
from tests.faults.scene import Scene, answers, message, scene
from tests.people import Person
from tests.pods import Pods
from tests.services import Given
from tests.sockets import Wire, wire

SOCKETS = 40
ROUNDS = 15  # subscriptions of each: 600
REMOVALS = 40
LOG_KINDS = ("msg", "join", "leave")


@pytest.fixture(scope="module")
async def two(pods: Pods, module_database_url: str, valkey: Given) -> AsyncIterator[Scene]:
    """Two pausing pods; small pages, short tails, and rooms that close when they are empty."""
    settings: dict[str, Any] = {
        "module": "tests.faults.pausing_pod", "redis_urls": valkey.url, "pool_max": 30,
        "catch_up_rows": 20, "tail_max_bytes": 4000, "room_linger_ms": 50, "head_check_ms": 100,
    }  # fmt: skip
    async with scene(pods, module_database_url, 2, **settings) as made:
        yield made


@contextlib.asynccontextmanager
async def talk(made: Scene, channel: int, *people: Person) -> AsyncIterator[None]:
    """Let each of them, on both pods, say something every few milliseconds."""
    over = asyncio.Event()

    async def talking(pod: int, person: Person) -> None:
        async with wire(made.pods[pod].ws_url, person) as one:
            ref = 0
            while not over.is_set():
                burst = set(range(ref, ref + random.randint(1, 4)))
                for ref in burst:
                    await one.send(message(ref, channel, "steady"))
                await answers(one, burst)
                ref += 1
                await asyncio.sleep(random.uniform(0, 0.02))

    async with asyncio.TaskGroup() as group:
        for person in people:
            for pod in range(len(made.pods)):
                group.create_task(talking(pod, person))
        try:
            yield
        finally:
            over.set()


async def ok_of(one: Wire, channel: int, cursor: int | None, ref: Any) -> dict[str, Any]:
    """Subscribe; what the answer says of the channel. What comes before it is let go."""
    await one.send({"t": "sub", "ref": ref, "ch": {str(channel): cursor}})
    answer = (await one.until(ref=ref))[-1]
    assert answer["t"] == "ok", answer
    found: dict[str, Any] = answer["ch"][str(channel)]
    return found


# --- whole runs


async def join_again_and_again(made: Scene, number: int, person: Person, channel: int) -> int:
    """Subscribe `ROUNDS` times; each run is dense from its cursor on. Returns the entries seen."""
    rng = random.Random(number)
    seen = head = 0
    stays = False
    async with wire(made.pods[number % 2].ws_url, person) as one:
        for ref in range(ROUNDS):
            cursor = rng.choice([head, max(0, head - rng.randint(1, 60)), *[None] * (not stays)])
            head = (await ok_of(one, channel, cursor, ref))["head"]
            after = head if cursor is None else cursor
            for seq in range(after + 1, head + rng.randint(2, 12)):
                got = await one.recv()
                assert (got["t"], got["seq"]) == ("msg", seq), f"cursor {cursor}, head {head}"
                seen += 1
            stays = rng.random() < 0.3  # the next `sub` moves a cursor, live or catching up
            if not stays:
                await one.send({"t": "unsub", "ref": "end", "ch": [channel]})
                await one.until(ref="end")
                if rng.random() < 0.2:
                    await one.silence(0.03)
            head = seq
            if rng.random() < 0.1:
                await asyncio.sleep(rng.uniform(0, 0.3))  # others come in first, or the room closes
    return seen


async def test_six_hundred_joins_under_a_stream_are_dense(two: Scene) -> None:
    """G6: from the head that the `ok` tells, or from the cursor that was given."""
    ann = await two.people.new("ann")
    crowd = await two.people.several(SOCKETS)
    channel = await two.channel(ann, *crowd)
    async with talk(two, channel, ann), asyncio.TaskGroup() as group:
        joining = [
            group.create_task(join_again_and_again(two, number, person, channel))
            for number, person in enumerate(crowd)
        ]
    assert sum(task.result() for task in joining) > SOCKETS * ROUNDS * 5
    assert len(await two.log(channel)) > 200, "hardly anything was said meanwhile"


async def test_the_first_joins_of_a_room_are_dense(two: Scene) -> None:
    """G6: the room opens, on both pods at once, with several who wait for it."""
    ann, bob = await two.people.new("ann"), await two.people.new("bob")
    channels = [await two.channel(ann, bob) for _ in range(12)]

    async def first(number: int, channel: int, cursor: int | None) -> None:
        async with wire(two.pods[number % 2].ws_url, bob) as one:
            head = (await ok_of(one, channel, cursor, "sub"))["head"]
            after = head if cursor is None else cursor
            for seq in range(after + 1, head + 8):
                got = await one.recv()
                assert (got["t"], got["seq"]) == ("msg", seq)

    async with contextlib.AsyncExitStack() as stack:
        for channel in channels:
            await stack.enter_async_context(talk(two, channel, ann))
        await asyncio.sleep(0.2)
        async with asyncio.TaskGroup() as group:
            for number, channel in enumerate(channels * 4):
                group.create_task(first(number // 12, channel, 0 if number % 3 else None))


# --- a removal in the middle


async def joins_and_is_removed(
    made: Scene, number: int, ann: Person, channel: int
) -> list[dict[str, Any]]:
    """One who subscribes and is removed at the same time: what came of the channel, `ok` first."""
    bob = await made.people.new("bob")
    path = f"/channels/{channel}/members"
    added = await made.call(ann, "POST", path, {"userId": bob.id})
    assert added.status_code == 201
    rng = random.Random(number)
    async with wire(made.pods[number % 2].ws_url, bob) as one:
        cursor = rng.choice([None, 0, 5])

        async def remove() -> None:
            await asyncio.sleep(rng.uniform(0, 0.25))
            pod = made.pods[number // 2 % 2]
            gone = await made.call(ann, "DELETE", f"{path}/{bob.id}", pod=pod)
            assert gone.status_code == 204

        async with asyncio.TaskGroup() as group:
            group.create_task(remove())
            ok = await ok_of(one, channel, cursor, "sub")
        frames = [ok | {"after": ok.get("head", 0) if cursor is None else cursor, "user": bob.id}]
        if "head" in ok:
            frames += await one.until(t="removed", ch=channel)
        await one.send({"t": "ping", "ref": "behind"})
        behind = (await one.until(ref="behind"))[:-1]
        await asyncio.sleep(0.3)  # of the stream, had it been left in
        await one.send({"t": "ping", "ref": "late"})
        behind += (await one.until(ref="late"))[:-1]
        assert [f for f in behind if f["t"] in LOG_KINDS] == []
    return frames


async def test_who_is_removed_while_joining_gets_nothing_behind_it(two: Scene) -> None:
    """G6, G13: whichever step the removal meets, on the same pod or the other one.

    Either the answer says `not_found`, or a dense run follows that `removed` ends.
    """
    ann = await two.people.new("ann")
    channel = await two.channel(ann, kind="private")
    async with talk(two, channel, ann), asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(joins_and_is_removed(two, number, ann, channel))
            for number in range(REMOVALS)
        ]
    log = await two.log(channel)
    left = {row["target"]: row["seq"] for row in log if row["kind"] == Kind.LEAVE}
    refused = 0
    for task in tasks:
        ok, *frames = task.result()
        if "error" in ok:
            assert ok["error"] == "not_found"
            refused += 1
            continue
        entries = [f["seq"] for f in frames if f["t"] in LOG_KINDS and f["seq"] > ok["after"]]
        assert entries == list(range(ok["after"] + 1, ok["after"] + 1 + len(entries)))
        assert all(seq <= left[ok["user"]] for seq in entries)
    assert 0 < refused < REMOVALS, "the removal was always first, or always last"
