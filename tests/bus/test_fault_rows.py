"""Rows of the fault matrix that concern the bus and are not in `test_redis_faults` or
`test_cluster_faults`: refusals, floods, frozen and emptied servers, forged and shuffled envelopes.
"""

import asyncio
import random
import secrets
import signal
from collections.abc import AsyncIterator

import pytest
import redis

from rtchat.bus.memory import Exchange, MemoryBus
from rtchat.bus.redis import RedisBus
from rtchat.envelope import Envelope
from rtchat.server.valkey import PrivateValkey
from tests.bus.bus_pod import BusPod, MakePod, bus_of, number_of_tasks, until
from tests.bus.proxy import Proxy
from tests.world import World, world


def topic_of(admin: redis.Redis, channel: int) -> str:
    [topic] = [str(name) for name in admin.pubsub_channels() if str(name).endswith(f":{channel}")]
    return topic


async def test_f11_a_redis_frozen_for_long_repeats_nothing(
    server: PrivateValkey, make_pod: MakePod
):
    """All times a tenth: 1 s frozen where the probe takes 0.3 s and an attempt to connect 0.2."""
    tenth = {"probe_interval_s": 0.1, "probe_silence_s": 0.3, "connect_timeout_s": 0.2}
    limit_bytes = 100_000
    sender = make_pod(**tenth, publish_buffer_bytes=limit_bytes)
    pod = make_pod(**tenth)
    await sender.bus.start()
    await pod.bus.start()
    await pod.bus.subscribe([1])
    tasks = number_of_tasks()
    [node] = bus_of(sender)._nodes.values()
    server.send_signal(signal.SIGSTOP)
    for number in range(1_000):
        sender.bus.publish(1, b"%04d" % number + b"x" * 2_000)
        wire = node._speaking.wire
        assert wire is None or wire.buffered_bytes() <= limit_bytes
        await asyncio.sleep(0.001)
    assert bus_of(sender).dropped > 250
    assert not sender.bus.connected
    assert not pod.bus.connected
    server.send_signal(signal.SIGCONT)
    await until(lambda: pod.bus.connected and sender.bus.connected, within_s=20)
    sender.bus.publish(1, b"the last one")
    await pod.hears(b"the last one", within_s=20)
    assert len(pod.heard) == len(set(pod.heard)), "nothing is repeated"
    assert pod.restored >= 1
    assert number_of_tasks() == tasks


async def test_f14_a_pod_too_slow_for_redis_is_cut_and_told(admin: redis.Redis, make_pod: MakePod):
    """The pod stands still while 40 MB are published; the server hangs up on it at 1 MB."""
    admin.config_set("client-output-buffer-limit", "pubsub 1mb 512kb 1")
    pod, other = make_pod(), make_pod()
    await pod.bus.start()
    await other.bus.start()
    await pod.bus.subscribe([1])
    topic = topic_of(admin, 1)
    with admin.pipeline(transaction=False) as pipe:  # in the loop: nobody reads meanwhile
        for number in range(4_000):
            pipe.publish(topic, b"%04d" % number + b"x" * 10_000)
        pipe.execute()
    assert int(admin.info("clients")["connected_clients"]) < 1 + 2 * 2, "it was cut"
    await until(lambda: pod.restored == 1 and pod.bus.connected, within_s=20)
    assert pod.heard == sorted(pod.heard)
    assert len(pod.heard) == len(set(pod.heard)) < 4_000
    assert bus_of(pod).reconnects == 1
    assert other.restored == 0, "who heard nothing was not cut"
    admin.publish(topic, "again")
    await pod.hears(b"again")


@pytest.mark.parametrize(
    "refusal",
    [
        b"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
        b"-NOPERM No permissions to access a channel\r\n",
        b"-LOADING Redis is loading the dataset in memory\r\n",
        b"-MISCONF Redis is configured to save RDB snapshots\r\n",
        b"-MOVED 1234 10.0.0.1:6379\r\n",
    ],
    ids=["oom", "noperm", "loading", "misconf", "moved"],
)
async def test_f15_a_refusal_is_counted_and_harmless(
    server: PrivateValkey, make_pod: MakePod, refusal: bytes
):
    async with Proxy(server.url) as proxy:
        pod = make_pod(proxy.url)
        await pod.bus.start()
        await pod.bus.subscribe([1])
        for number in range(100):
            proxy.inject(b"-pub", refusal)
            pod.bus.publish(1, b"%d" % number)
        await until(lambda: bus_of(pod).refused == 100 and len(pod.heard) == 100)
        assert bus_of(pod).reconnects == pod.restored == bus_of(pod).dropped == 0
        assert pod.bus.connected


async def test_f15_a_redis_without_memory_still_carries_the_bus(
    admin: redis.Redis, make_pod: MakePod
):
    admin.config_set("maxmemory", 1)
    with pytest.raises(redis.exceptions.OutOfMemoryError):
        admin.set("key", "value")
    pod = make_pod()
    await pod.bus.start()
    await pod.bus.subscribe([1])
    pod.bus.publish(1, b"hello")
    await pod.hears(b"hello")
    assert bus_of(pod).refused == 0


async def test_f15_a_redis_that_is_loading_is_waited_for(server: PrivateValkey, make_pod: MakePod):
    async with Proxy(server.url) as proxy:
        proxy.answers = b"-LOADING Redis is loading the dataset in memory\r\n"
        pod = make_pod(proxy.url)
        await pod.bus.start()
        assert not pod.bus.connected
        await pod.bus.subscribe([1])
        pod.bus.publish(1, b"dropped")
        proxy.answers = b""
        await until(lambda: pod.restored == 1 and pod.bus.connected)
        pod.bus.publish(1, b"hello")
        await pod.hears(b"hello")
        assert pod.heard == [b"hello"]


async def test_f16_flushall_changes_nothing(admin: redis.Redis, make_pod: MakePod):
    pod = make_pod()
    await pod.bus.start()
    await pod.bus.subscribe([1])
    assert admin.dbsize() == 0, "nothing is kept there"
    admin.flushall()
    admin.script_flush()
    pod.bus.publish(1, b"hello")
    await pod.hears(b"hello")
    assert bus_of(pod).reconnects == pod.restored == 0


class Heard:
    """A world on Redis, another one whose envelopes the test carries over, and a subscriber."""

    def __init__(self, here: World, there: World, tap: BusPod, redis_url: str) -> None:
        self.here = here
        self.there = there
        self.tap = tap
        self.admin = redis.Redis.from_url(redis_url, decode_responses=True)

    async def channel(self) -> tuple[int, int]:
        """A channel and its owner; what is sent in it there is on the tap."""
        user = await self.here.person()
        channel = await self.here.channel(user)
        await self.tap.bus.subscribe([channel])
        return user, channel

    async def envelopes(self, user: int, channel: int, number: int) -> list[bytes]:
        """Send that many messages there, each in an envelope of its own."""
        self.tap.heard.clear()
        for _ in range(number):
            await self.there.send(user, channel, "x")
        await until(lambda: len(self.tap.heard) == number)
        return list(self.tap.heard)

    def carry(self, channel: int, *items: bytes) -> None:
        """Publish these on the channel's topic, as another pod would, or somebody who forges."""
        for item in items:
            assert self.admin.publish(topic_of(self.admin, channel), item) == 1


@pytest.fixture
async def heard(server: PrivateValkey, database_url: str) -> AsyncIterator[Heard]:
    """Without a head check in the test's time: what comes, comes over the bus or by a hole."""
    exchange = Exchange()
    tap = BusPod(MemoryBus(exchange))
    await tap.bus.start()
    bus = RedisBus([server.url], prefix=f"test-{secrets.token_hex(4)}")
    async with (
        world(database_url, bus, head_check_ms=60_000, reorder_ms=50) as here,
        world(database_url, MemoryBus(exchange)) as there,
    ):
        both = Heard(here, there, tap, server.url)
        yield both
        both.admin.close()
    await tap.bus.close()


async def test_f44_envelopes_out_of_order_are_delivered_in_order(heard: Heard):
    user, channel = await heard.channel()
    socket = heard.here.connect(user)
    await socket.sub({channel: None})
    for round_ in range(5):
        envelopes = await heard.envelopes(user, channel, 10)
        random.Random(round_).shuffle(envelopes)
        heard.carry(channel, *envelopes)
        assert await socket.seqs(10 * round_ + 10) == list(range(10 * round_ + 1, 10 * round_ + 11))


async def test_f45_forged_and_repeated_envelopes_are_harmless(heard: Heard):
    """Garbage, old, far ahead, of another channel, of none; on the control topic too."""
    user, channel = await heard.channel()
    stranger, other = await heard.channel()
    socket, others = heard.here.connect(user), heard.here.connect(stranger)
    await socket.sub({channel: None})
    await others.sub({other: None})
    first = await heard.envelopes(user, channel, 3)
    elsewhere = await heard.envelopes(stranger, other, 1)
    garbage = [b"", b"\0", b"garbage", b"\xff" * 1_000, first[0][:-1], first[0] + b"x"]
    far = [bytes(Envelope(channel, seq, (2,), (), b"xx")) for seq in (1_000_000, 2**53 - 1)]
    nowhere = bytes(Envelope(2**53 - 1, 1, (2,), (), b"xx"))
    heard.carry(channel, *garbage, *first, *first, first[0], *far, nowhere, *garbage)
    control = f"{topic_of(heard.admin, channel).split(':')[0]}:{{control}}"
    for item in [*garbage, b"{}", b"[]", b"null", *first]:
        assert heard.admin.publish(control, item) == 1
    heard.carry(channel, *elsewhere)  # true, on the wrong topic: an envelope says what it is of
    assert await others.seqs(1) == [1]
    assert await socket.seqs(3) == [1, 2, 3]
    heard.carry(channel, *await heard.envelopes(user, channel, 3))
    assert await socket.seqs(6) == [4, 5, 6]
    bus = heard.here.app.bus
    assert isinstance(bus, RedisBus)
    assert bus.connected
    assert bus.reconnects == 0
    assert bus.receiver_errors == 0, "what is wrong is refused where it is read"
    assert socket.closed_with is others.closed_with is None
