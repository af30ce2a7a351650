"""A pod without memory: it refuses or dies, and that is all. Row F7 of the fault matrix.

Never half a frame followed by another, nothing acked is lost, and who was there goes on elsewhere.
"""

import asyncio
import contextlib
import random
import resource
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.faults.checker import check
from tests.faults.crowd import Crowd, Load
from tests.faults.history import read_log
from tests.faults.run import texts
from tests.faults.scene import Scene, answers, message, scene
from tests.faults.starving_pod import COMMIT, STEPS, TRANSPORT
from tests.faults.text import render
from tests.people import Person
from tests.pods import Pod, Pods
from tests.raw import CLOSE, PING, PONG, TEXT, Raw, frame, handshake, raw
from tests.services import Given
from tests.sockets import wire

SEED = 1
FELT_S = 15.0  # until the limit is felt; mostly a second
STRUCK_S = 1.0
QUIET_S = 20.0


def begin(made: Scene) -> Crowd:
    """A crowd on all pods."""
    rng = random.Random(SEED)
    return Crowd(made.pod.database_url, lambda: rng.choice(made.pods).ws_url, texts(), Load(), SEED)


async def end(crowd: Crowd, url: str) -> None:
    """Let everybody come to the heads, and compare what they saw with the log."""
    await crowd.finish(QUIET_S)
    rows, heads = await read_log(url)
    ends = [(chatter.number, c) for chatter in crowd.chatters for c in chatter.channels]
    verdict = check(crowd.history, rows, heads, ends=ends, members=crowd.members)
    assert verdict.ok, render(verdict)


# --- allocations that fail, step by step


@pytest.fixture
async def starving(
    pods: Pods, database_url: str, valkey: Given
) -> AsyncIterator[Scene]:  # fmt: skip
    """Two pods that have no memory once in twenty times, at nearly every step of a message."""
    settings: dict[str, Any] = {
        "module": "tests.faults.starving_pod", "redis_urls": valkey.url,
        "test_starves": ",".join([*STEPS, COMMIT, TRANSPORT]),
    }  # fmt: skip
    async with scene(pods, database_url, 2, **settings) as made:
        yield made


async def test_an_allocation_that_fails_breaks_no_promise(
    starving: Scene, database_url: str
) -> None:
    """F7: whichever step it hits, before the commit or behind it; and the pod goes on."""
    crowd = begin(starving)
    await crowd.begin()
    await asyncio.sleep(2.0)
    await end(crowd, database_url)
    assert all("MemoryError" in pod.log() for pod in starving.pods), "nothing failed"
    assert [pod.process.poll() for pod in starving.pods] == [None, None]


# --- the kernel's limit


def limit(pod: Pod, size: int) -> None:
    """Let a pod have so many bytes of addresses and no more."""
    resource.prlimit(pod.pid, resource.RLIMIT_AS, (size, resource.RLIM_INFINITY))


def size_of(pod: Pod) -> int:
    """What it has."""
    status = Path(f"/proc/{pod.pid}/status").read_text()
    return int(status.partition("VmSize:")[2].split()[0]) * 1024


def felt(pod: Pod) -> bool:
    """Whether it has died of its limit, or has met it."""
    return pod.process.poll() is not None or "MemoryError" in pod.log()


def whole_frames(data: bytes) -> int:
    """Check that this is a row of whole frames, the last one perhaps cut off; returns how many."""
    at = count = 0
    while at + 2 <= len(data):
        first, size, start = data[at], data[at + 1], at + 2
        assert first & 0xF0 == 0x80, f"no frame begins with {data[at : at + 20]!r}"
        assert first & 0x0F in (TEXT, CLOSE, PING, PONG)
        assert size < 128, "masked"
        if size > 125:
            width = 2 if size == 126 else 8
            size, start = int.from_bytes(data[start : start + width]), start + width
        if start + size > len(data):
            break
        if first & 0x0F == TEXT:
            assert "t" in orjson.loads(data[start : start + size])
        at, count = start + size, count + 1
    return count


async def observe(one: Raw, person: Person, channels: list[int], over: asyncio.Event) -> int:
    """Follow channels and keep every byte, to the end of the socket or of the story."""
    await one.send(handshake(person))
    await one.until(b'"hello"')
    wanted = {str(channel): 0 for channel in channels}
    await one.send(frame(TEXT, orjson.dumps({"t": "sub", "ref": 1, "ch": wanted})))
    while not over.is_set():
        try:
            async with asyncio.timeout(0.2):
                if not await one.recv():
                    break
        except TimeoutError:
            continue
    head, _, frames = bytes(one.received).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101")
    return whole_frames(frames)


@pytest.mark.skipif(sys.platform != "linux", reason="limits another process, and reads /proc")
async def test_a_pod_at_its_limit_refuses_or_dies(
    pods: Pods, database_url: str, valkey: Given
) -> None:
    """F7: whole frames to everybody, up to its end if it ends; else it serves once it has memory.

    It may be ended by a signal: libraries in C do not all survive an allocation that fails.
    """
    async with scene(pods, database_url, 2, redis_urls=valkey.url) as made:
        crowd = begin(made)
        await crowd.begin()
        crowd.loud = True
        over = asyncio.Event()
        async with contextlib.AsyncExitStack() as stack:
            group = await stack.enter_async_context(asyncio.TaskGroup())
            observing = []
            for chatter in crowd.chatters[:5]:
                one = await stack.enter_async_context(raw(made.pod.port))
                following = observe(one, chatter.person, list(chatter.cursors), over)
                observing.append(group.create_task(following))
            await asyncio.sleep(1.0)
            limit(made.pod, size_of(made.pod))
            async with asyncio.timeout(FELT_S):
                while not felt(made.pod):
                    crowd.reset_some(0.2)  # coming back takes memory
                    await asyncio.sleep(0.2)
            await asyncio.sleep(STRUCK_S)
            over.set()
            await asyncio.wait(observing)
        assert sum(task.result() for task in observing) > 50, "hardly anything was observed"
        if made.pod.process.poll() is None:
            limit(made.pod, resource.RLIM_INFINITY)
            await serves(made.pod, crowd)
        await end(crowd, database_url)


async def serves(pod: Pod, crowd: Crowd) -> None:
    """It has not lost a lane; whether rooms still deliver the heads show."""
    async with wire(pod.ws_url, crowd.chatters[0].person) as one:
        for number, channel in enumerate(crowd.chatters[0].cursors):
            nonce = f"{number}-{pod.pid}"
            crowd.history.send(0, crowd.chatters[0].person.id, channel, nonce, "still there")
            await one.send(message(number, channel, "still there", nonce))
            ack = (await answers(one, {number}))[number]
            assert ack["t"] == "ack", ack
            crowd.history.ack(0, channel, nonce, ack["seq"], False)
