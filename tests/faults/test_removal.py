"""Who was removed hears and says nothing more, on any pod: one, many under load, a whole channel.

Rows F38 (G13) and F39 of the fault matrix. What is delivered is cut at the removal's own seq; with
Valkey away the other pod learns of it when it looks at the heads of its rooms, every two seconds.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import orjson
import pytest
from websockets.exceptions import ConnectionClosed

from rtchat.model import Kind
from rtchat.server.valkey import PrivateValkey
from tests.faults.scene import Scene, answers, follow, message, scene
from tests.people import Person
from tests.pods import Pods
from tests.raw import TEXT, Raw, frame, raw
from tests.sockets import Wire, wire

SLACK_S = 2.0  # what busy cores may add
ENTRIES = ("msg", "edit", "del", "react", "join", "leave", "chan")


@pytest.fixture(scope="module")
def private_valkey() -> Iterator[PrivateValkey]:
    """One that may be killed."""
    with PrivateValkey() as server:
        yield server


@pytest.fixture(scope="module")
async def two(
    pods: Pods, module_database_url: str, private_valkey: PrivateValkey
) -> AsyncIterator[Scene]:
    """Two pods; sockets that do not read are felt soon, and everything goes through one lane."""
    settings: dict[str, Any] = {"write_high_bytes": 8192, "write_low_bytes": 2048, "lanes": 1}
    async with scene(
        pods, module_database_url, 2, redis_urls=private_valkey.url, **settings
    ) as made:
        yield made


async def chatter(one: Wire, channel: int, until: asyncio.Event, pause_s: float) -> None:
    """Say something again and again; what comes back is somebody else's to read."""
    number = 0
    with contextlib.suppress(ConnectionClosed):
        while not until.is_set():
            await one.send(message(number, channel, "steady"))
            number += 1
            await asyncio.sleep(pause_s)


async def drop_all(one: Wire) -> None:
    """Read and forget."""
    with contextlib.suppress(ConnectionClosed):
        async for _ in one.socket:
            pass


class Follower:
    """A subscribed socket that keeps the entries it gets, and when it was told of its end."""

    def __init__(self, one: Wire, person: Person, channel: int) -> None:
        self.one = one
        self.person = person
        self.channel = channel
        self.seqs: list[int] = []
        self.left_at: int | None = None  # the seq of its own `leave`
        self.removed_at: float | None = None
        self.behind: list[dict[str, Any]] = []  # what came of the channel after `removed`
        self.errors: list[str] = []

    async def read(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for data in self.one.socket:
                self._take(orjson.loads(data))

    def _take(self, got: dict[str, Any]) -> None:
        if got["t"] == "error":
            self.errors.append(got["code"])
        elif got["t"] == "removed":
            self.removed_at = time.monotonic()
        elif got["t"] in ENTRIES:
            if self.removed_at is not None:
                self.behind.append(got)
            self.seqs.append(got["seq"])
            if got["t"] == "leave" and got["user"] == self.person.id:
                self.left_at = got["seq"]

    def check(self, first: int, removal: int) -> None:
        """It got all up to its removal, and nothing behind it."""
        assert self.left_at == removal
        assert self.seqs == list(range(first, removal + 1))
        assert self.removed_at is not None
        assert self.behind == []


async def removals(made: Scene, channel: int) -> dict[int, int]:
    """By the log: who was removed, at which seq."""
    return {r["target"]: r["seq"] for r in await made.log(channel) if r["kind"] == Kind.LEAVE}


# --- F38: one


@pytest.mark.parametrize(("valkey_runs", "limit_s"), [(True, 2.0), (False, 2.5)])
@pytest.mark.parametrize(("kind", "code"), [("public", "forbidden"), ("private", "not_found")])
async def test_a_removed_member_hears_and_says_no_more(
    two: Scene, private_valkey: PrivateValkey, valkey_runs: bool, limit_s: float, kind: str,
    code: str,
) -> None:  # fmt: skip
    """F38: nothing behind the removal on both pods, its sends final, its history closed."""
    ann, bob = await two.people.new("ann"), await two.people.new("bob")
    channel = await two.channel(ann, bob, kind=kind)
    over = asyncio.Event()
    async with contextlib.AsyncExitStack() as stack:
        group = await stack.enter_async_context(asyncio.TaskGroup())
        owner = await stack.enter_async_context(wire(two.pod.ws_url, ann))
        heads, followers = [], []
        for pod in two.pods:
            one = await stack.enter_async_context(wire(pod.ws_url, bob))
            heads.append(await follow(one, channel))
            followers.append(Follower(one, bob, channel))
        talking = [chatter(owner, channel, over, 0.01), drop_all(owner)]
        tasks = [group.create_task(c) for c in [*talking, *(f.read() for f in followers)]]
        await asyncio.sleep(0.2)
        if not valkey_runs:
            private_valkey.kill()
        try:
            gone = await two.call(ann, "DELETE", f"/channels/{channel}/members/{bob.id}")
            began = time.monotonic()
            assert gone.status_code == 204
            await asyncio.sleep(0.2)
            for number, follower in enumerate(followers):  # sends are judged by the database
                await follower.one.send(message(number, channel, "too late"))
            for pod in two.pods:
                path = f"/channels/{channel}/messages"
                for answer in (
                    await two.call(bob, "GET", path, pod=pod),
                    await two.call(bob, "GET", f"{path}/1", pod=pod),
                    await two.call(bob, "POST", path, {"content": "too late"}, pod=pod),
                ):
                    assert answer.json()["code"] == code
            async with asyncio.timeout(limit_s + 10):
                while any(f.removed_at is None for f in followers):
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.3)
        finally:
            if not valkey_runs:
                private_valkey.start()
        over.set()
        for task in tasks[1:]:
            task.cancel()
    removal = (await removals(two, channel))[bob.id]
    for head, follower in zip(heads, followers, strict=True):
        follower.check(head + 1, removal)
        assert follower.errors == [code]
        assert (follower.removed_at or 0) - began < limit_s + SLACK_S
    assert "too late" not in await two.texts(channel)


# --- F38: many


async def test_a_hundred_removals_under_a_stream_of_sends(two: Scene) -> None:
    """F38, G13: each gets all up to its removal and nothing behind it; nor is it heard any more."""
    ann, *crowd = await two.people.several(101)
    channel = await two.channel(ann, *crowd[:99])
    await two.call(ann, "POST", f"/channels/{channel}/members", {"userId": crowd[99].id})
    over = asyncio.Event()
    async with contextlib.AsyncExitStack() as stack:
        group = await stack.enter_async_context(asyncio.TaskGroup())
        owner = await stack.enter_async_context(wire(two.pod.ws_url, ann))
        followers, heads, tasks = [], [], []
        for number, person in enumerate(crowd):
            one = await stack.enter_async_context(wire(two.pods[number % 2].ws_url, person))
            heads.append(await follow(one, channel))
            followers.append(Follower(one, person, channel))
            tasks.append(group.create_task(followers[-1].read()))
        for follower in followers:
            group.create_task(chatter(follower.one, channel, over, 2.0))
        group.create_task(chatter(owner, channel, over, 0.02))
        tasks.append(group.create_task(drop_all(owner)))
        await asyncio.sleep(0.5)
        for number, person in enumerate(crowd):  # all at once would be one batch: spread them
            pod = two.pods[number // 2 % 2]
            path = f"/channels/{channel}/members/{person.id}"
            assert (await two.call(ann, "DELETE", path, pod=pod)).status_code == 204
            await followers[number].one.send(message("late", channel, f"late {person.id}"))
        async with asyncio.timeout(10):
            while any(f.removed_at is None for f in followers):
                await asyncio.sleep(0.01)
        over.set()
        await asyncio.sleep(0.3)
        for task in tasks:
            task.cancel()
    gone = await removals(two, channel)
    assert gone.keys() == {person.id for person in crowd}
    for head, follower in zip(heads, followers, strict=True):
        follower.check(head + 1, gone[follower.person.id])
        assert set(follower.errors) == {"forbidden"}
    said = [r for r in await two.log(channel) if r["kind"] == Kind.MESSAGE]
    assert len({r["user_id"] for r in said}) > 20, "the removed had nothing to say before either"
    late = [r["seq"] for r in said if r["seq"] > gone.get(r["user_id"], 1 << 60)]
    assert late == []
    assert not [r for r in said if r["content"].startswith("late")]


# --- F39: a channel is deleted


@contextlib.asynccontextmanager
async def no_commits(url: str) -> AsyncIterator[None]:
    """Let whatever is to be stored wait: the next batch in its COPY, others behind it."""
    held = await asyncpg.connect(url)
    try:
        async with held.transaction():
            await held.execute("LOCK TABLE messages IN SHARE MODE")
            yield
    finally:
        await held.close()


async def stuck(stack: contextlib.AsyncExitStack, made: Scene, bob: Person, channel: int) -> Raw:
    """A subscribed socket that does not read."""
    one = await stack.enter_async_context(raw(made.pods[1].port, rcvbuf=4096))
    await one.upgrade(bob)
    await one.send(frame(TEXT, orjson.dumps({"t": "sub", "ref": 1, "ch": {str(channel): None}})))
    await one.until(b'"head"')
    return one


async def fill(one: Wire, channel: int, count: int) -> None:
    """A log that takes a while to read, and to write to a socket."""
    for number in range(count):
        await one.send(message(number, channel, f"{number}".ljust(4000)))
    await answers(one, {count - 1})


async def last_of(one: Wire, channel: int) -> list[dict[str, Any]]:
    """What a socket gets of a channel, up to being told of its end; nothing comes behind that."""
    frames = await one.until(t="removed", ch=channel)
    assert frames[-1]["reason"] == "deleted"
    await one.alive()
    await one.silence()
    return frames


async def test_a_deleted_channel_takes_only_its_own_sends_along(two: Scene) -> None:
    """F39: sends behind it in the batch are final, the rest is stored; who follows is told.

    Whoever follows: live on both pods, paused, catching up, or joining in that moment.
    """
    ann, bob = await two.people.new("ann"), await two.people.new("bob")
    doomed, other = await two.channel(ann, bob), await two.channel(ann, bob)
    from_the_start = {"t": "sub", "ref": "sub", "ch": {str(doomed): 0}}
    async with contextlib.AsyncExitStack() as stack:
        owner = await stack.enter_async_context(wire(two.pod.ws_url, ann))
        paused = await stuck(stack, two, bob, doomed)
        await fill(owner, doomed, 1500)
        live = [await stack.enter_async_context(wire(pod.ws_url, bob)) for pod in two.pods]
        behind, joining = [
            await stack.enter_async_context(wire(two.pods[1].ws_url, bob)) for _ in range(2)
        ]
        for one in live:
            await follow(one, doomed)
        group = await stack.enter_async_context(asyncio.TaskGroup())
        async with no_commits(two.pod.database_url):
            await owner.send(message("else", other, "else"))  # this batch waits in its COPY
            await owner.alive()
            for number in range(3):
                await owner.send(message(f"before {number}", doomed, "before"))
                await owner.send(message(f"else {number}", other, "else"))
            await owner.alive()
            deleting = group.create_task(two.call(ann, "DELETE", f"/channels/{doomed}"))
            await asyncio.sleep(0.3)  # it is in the queue
            for number in range(3):
                await owner.send(message(f"after {number}", doomed, "after"))
                await owner.send(message(f"else {number + 3}", other, "else"))
            await owner.alive()
            await behind.send(from_the_start)
            await behind.until(ref="sub")
        await joining.send(from_the_start)
        _check_answers(await answers(owner, {f"after {n}" for n in range(3)} | {"else 5"}))
        assert (await deleting).status_code == 204
        for one in live:
            said = [f["content"] for f in await last_of(one, doomed) if f["t"] == "msg"]
            assert said == ["before"] * 3
        await last_of(behind, doomed)
        answer = (await joining.until(ref="sub"))[-1]["ch"][str(doomed)]
        if "error" in answer:
            assert answer["error"] == "not_found"
        else:
            await last_of(joining, doomed)
        assert (await paused.until(b'"removed"')).count(b'"msg"') < 1400, "it was not paused"
        assert (await two.call(bob, "GET", f"/channels/{doomed}/messages")).status_code == 404
    assert await two.texts(other) == ["else"] * 7


def _check_answers(got: dict[Any, dict[str, Any]]) -> None:
    assert {ref for ref, answer in got.items() if answer["t"] == "ack"} >= {
        "else", *(f"else {n}" for n in range(6)), *(f"before {n}" for n in range(3))
    }  # fmt: skip
    refused = [got[f"after {n}"] for n in range(3)]
    assert [(f["code"], f["retry"]) for f in refused] == [("not_found", False)] * 3
