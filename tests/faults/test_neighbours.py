"""What one channel, one user or one dead link does to the others: nothing to speak of.

Rows F30, F42 and F43 of the fault matrix.
"""

import asyncio
import collections
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any, cast

import orjson
import pytest
from websockets.exceptions import ConnectionClosed

from tests.faults.proxy import FaultProxy
from tests.faults.scene import Scene, eventually, follow, message, scene
from tests.people import Person
from tests.pods import Pods
from tests.raw import TEXT, frame, handshake
from tests.sockets import Wire, wire

SLACK_S = 2.0  # what busy cores may add
HEARTBEAT_S = 1


@pytest.fixture(scope="module")
async def one_pod(pods: Pods, module_database_url: str) -> AsyncIterator[Scene]:
    """A pod that soon looks whether its clients are there, with the usual limit of sends."""
    settings: dict[str, Any] = {
        "sends_per_second": 20,
        "heartbeat_s": HEARTBEAT_S,
        "heartbeat_timeout_s": HEARTBEAT_S,
    }
    async with scene(pods, module_database_url, **settings) as made:
        yield made


class Latency:
    """Sends to a quiet channel now and then, and notes how long ack and delivery take."""

    def __init__(self, one: Wire, channel: int) -> None:
        self._one = one
        self._channel = channel
        self.acks: list[float] = []
        self.deliveries: list[float] = []

    async def measure(self, count: int, pause_s: float) -> None:
        await follow(self._one, self._channel)
        for number in range(count):
            began = time.monotonic()
            await self._one.send(message(number, self._channel, "quiet"))
            await self._one.until(t="ack", ref=number)
            self.acks.append(time.monotonic() - began)
            await self._one.until(t="msg", ch=self._channel)
            self.deliveries.append(time.monotonic() - began)
            await asyncio.sleep(pause_s)


# --- F42: a hot channel


class Listener(asyncio.Protocol):
    """A subscriber that counts what it hears, at little cost to the machine that all share."""

    def __init__(self, person: Person, channel: int) -> None:
        sub = {"t": "sub", "ref": "sub", "ch": {str(channel): None}}
        self._hello = handshake(person)
        self._sub = frame(TEXT, orjson.dumps(sub))
        self._tail = b""
        self.follows = asyncio.Event()
        self.heard = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        self.transport.write(self._hello)

    def data_received(self, data: bytes) -> None:
        data = self._tail + data
        if not self.follows.is_set():
            if b'"hello"' in data and self._sub:
                self.transport.write(self._sub)
                self._sub = b""
            if b'"head"' in data:
                self.follows.set()
                data = data[data.index(b'"head"') :]
        self.heard += data.count(b'"t":"msg"')
        self._tail = data[-8:] if self.follows.is_set() else data


async def listeners(made: Scene, person: Person, channel: int, count: int) -> list[Listener]:
    """So many subscribers."""
    loop = asyncio.get_running_loop()
    crowd = []
    for _ in range(count):
        _, one = await loop.create_connection(
            lambda: Listener(person, channel), "127.0.0.1", made.pod.port
        )
        crowd.append(one)
    for one in crowd:
        async with asyncio.timeout(20):
            await one.follows.wait()
    return crowd


async def shout(one: Wire, channel: int, count: int, per_second: float) -> None:
    """Send at a rate."""
    began = time.monotonic()
    for number in range(count):
        await one.send(message(number, channel, f"hot {number}"))
        await asyncio.sleep(max(0.0, began + (number + 1) / per_second - time.monotonic()))
    await one.until(t="ack", ref=count - 1)


async def test_a_hot_channel_leaves_a_quiet_one_alone(pods: Pods, module_database_url: str) -> None:
    """F42: 200 hear 200 messages a second, all of them; a quiet channel is acked as ever."""
    limits: dict[str, Any] = {"connections_per_user": 300, "sends_per_second": 0}
    async with scene(pods, module_database_url, **limits) as made:
        ann, bob = await made.people.new("ann"), await made.people.new("bob")
        hot, quiet = await made.channel(ann), await made.channel(bob)
        crowd = await listeners(made, ann, hot, 200)
        async with wire(made.pod.ws_url, ann) as loud, wire(made.pod.ws_url, bob) as calm:
            before, during = Latency(calm, quiet), Latency(calm, quiet)
            await before.measure(20, 0.01)
            async with asyncio.TaskGroup() as group:
                group.create_task(shout(loud, hot, 600, 200))
                await during.measure(40, 0.05)
        async with asyncio.timeout(20):
            while any(one.heard < 600 for one in crowd):
                await asyncio.sleep(0.05)
        assert {one.heard for one in crowd} == {600}
        for one in crowd:
            one.transport.abort()
    assert sorted(during.acks)[20] < 0.25
    assert max(during.acks + during.deliveries) < SLACK_S
    assert "Traceback" not in made.pod.log()


# --- F43: a flood


async def test_a_flood_is_slowed_down_and_then_ended(one_pod: Scene) -> None:
    """F43: `rate_limited` with the time to wait, then 4008; another user notices nothing."""
    eve, bob = await one_pod.people.new("eve"), await one_pod.people.new("bob")
    shared = await one_pod.channel(bob, eve)
    async with wire(one_pod.pod.ws_url, eve) as flood, wire(one_pod.pod.ws_url, bob) as calm:
        latency = Latency(calm, shared)

        async def pour() -> None:
            with contextlib.suppress(ConnectionClosed):
                for number in range(100_000):
                    await flood.send(message(number, shared, f"{number}"))
                    if number % 20 == 0:  # at most 2000 a second: the end is to be read, too
                        await asyncio.sleep(0.01)

        async with asyncio.TaskGroup() as group:
            group.create_task(pour())
            ended = group.create_task(flood.closed())
            await latency.measure(20, 0.06)
        code, frames = ended.result()
    assert code == 4008
    kinds = collections.Counter(f.get("code", f["t"]) for f in frames)
    assert kinds["ack"] <= 40 + 20 * 10
    assert kinds["rate_limited"] >= 100
    limited = [f for f in frames if f.get("code") == "rate_limited"]
    assert all(f["retry"] and 0 < f["after"] <= 2050 for f in limited)
    assert max(latency.acks + latency.deliveries) < SLACK_S
    acked = {f"{f['ref']}" for f in frames if f["t"] == "ack"}
    stored = {text for text in await one_pod.texts(shared) if text != "quiet"}
    assert acked <= stored
    assert not stored & {f"{f['ref']}" for f in limited}
    async with wire(one_pod.pod.ws_url, eve) as back:  # a new socket begins anew
        assert (await back.ask(message(1, shared, "calm again")))["t"] == "ack"


# --- F30: half-open


async def test_a_half_open_client_is_gone_in_time(one_pod: Scene) -> None:
    """F30: no byte passes any more, no reset either: gone within heartbeat and timeout."""
    ann, bob = await one_pod.people.new("ann"), await one_pod.people.new("bob")
    channel = await one_pod.channel(ann, bob)
    proxy = FaultProxy(one_pod.pod.url)
    await proxy.start()
    through = f"ws://{proxy.url.removeprefix('http://')}/ws"
    quiet = {"ping_interval": None}
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(proxy.close)
        gone = [await stack.enter_async_context(wire(through, ann, **quiet)) for _ in range(2)]
        stays = await stack.enter_async_context(wire(one_pod.pod.ws_url, bob))
        await follow(gone[0], channel)  # one with something to write to it, one without
        await asyncio.sleep(1.5 * HEARTBEAT_S)
        for one in gone:  # as long as pongs come, it stays
            await one.alive()
        assert disconnected(one_pod, ann) == 0
        proxy.swallows = True
        began = time.monotonic()

        async def both_gone() -> bool:
            await stays.ask(message(1, channel, "x" * 1000))
            return disconnected(one_pod, ann) == 2

        await eventually(both_gone)
        assert time.monotonic() - began < 2 * HEARTBEAT_S + SLACK_S
        await stays.alive()


def disconnected(made: Scene, person: Person) -> int:
    """How many sockets of this person have ended, by the pod's log."""
    return len([line for line in made.pod.events("disconnected") if line["user"] == person.id])
