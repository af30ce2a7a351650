"""What every bus promises (`rtchat.bus`), proved on each of them: this suite runs on all."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from rtchat.bus import Bus
from rtchat.bus.memory import Exchange, MemoryBus
from rtchat.bus.redis import RedisBus
from rtchat.server.valkey import PrivateValkey
from tests.bus.bus_pod import BusPod, until
from tests.bus.valkey_cluster import ValkeyCluster
from tests.services import Given

MakeBus = Callable[[], Bus]
MakePod = Callable[[], BusPod]
StartPods = Callable[[int], Awaitable[list[BusPod]]]


@pytest.fixture(scope="module")
def second_valkey() -> Iterator[PrivateValkey]:
    with PrivateValkey() as server:
        yield server


@pytest.fixture(params=["memory", "redis", "redis-two-nodes", "redis-cluster"])
def make_bus(request: pytest.FixtureRequest) -> MakeBus:
    """Makes buses that hear each other, and nobody else."""
    if request.param == "memory":
        exchange = Exchange()
        return lambda: MemoryBus(exchange)
    prefix = f"test-{secrets.token_hex(4)}"
    if request.param == "redis-cluster":
        cluster: ValkeyCluster = request.getfixturevalue("valkey_cluster")
        return lambda: RedisBus(cluster.urls[:2], cluster=True, prefix=prefix)
    valkey: PrivateValkey | Given = request.getfixturevalue("valkey")
    urls = [valkey.url]
    if request.param == "redis-two-nodes":
        urls.append(request.getfixturevalue("second_valkey").url)
    return lambda: RedisBus(urls, prefix=prefix)


@pytest.fixture
async def make_pod(make_bus: MakeBus) -> AsyncIterator[MakePod]:
    """Makes pods and closes them at the end."""
    made: list[BusPod] = []

    def make() -> BusPod:
        made.append(BusPod(make_bus()))
        return made[-1]

    yield make
    for pod in made:
        await pod.bus.close()


@pytest.fixture
async def start_pods(make_pod: MakePod) -> StartPods:
    """Makes pods and starts them."""

    async def start(number: int) -> list[BusPod]:
        pods = [make_pod() for _ in range(number)]
        for pod in pods:
            await pod.bus.start()
        return pods

    return start


async def test_an_envelope_reaches_every_other_pod_that_subscribed(start_pods: StartPods):
    sender, one, other = await start_pods(3)
    await one.bus.subscribe([7])
    await other.bus.subscribe([7])
    sender.bus.publish(7, b"hello")
    await one.hears(b"hello")
    await other.hears(b"hello")
    assert one.heard == other.heard == [b"hello"]
    assert one.controls == []


async def test_a_pod_hears_only_what_it_subscribed(start_pods: StartPods):
    sender, pod = await start_pods(2)
    await pod.bus.subscribe([1, 3])
    for channel in (1, 2, 3, 4):
        sender.bus.publish(channel, b"%d" % channel)
    await until(lambda: len(pod.heard) == 2)
    await asyncio.sleep(0.05)
    assert sorted(pod.heard) == [b"1", b"3"]


async def test_one_channels_envelopes_arrive_in_order(start_pods: StartPods):
    sender, pod = await start_pods(2)
    await pod.bus.subscribe([5])
    sent = [b"%d" % number for number in range(5_000)]
    for number, envelope in enumerate(sent):
        sender.bus.publish(5, envelope)
        if number % 700 == 0:
            await asyncio.sleep(0)
    await until(lambda: len(pod.heard) == len(sent))
    assert pod.heard == sent


async def test_two_publishers_keep_their_own_order(start_pods: StartPods):
    one, other, pod = await start_pods(3)
    await pod.bus.subscribe([5])
    for number in range(500):
        one.bus.publish(5, b"a%03d" % number)
        other.bus.publish(5, b"b%03d" % number)
        if number % 50 == 0:
            await asyncio.sleep(0)
    await until(lambda: len(pod.heard) == 1_000)
    for name in (b"a", b"b"):
        heard = [envelope for envelope in pod.heard if envelope.startswith(name)]
        assert heard == sorted(heard)


async def test_after_unsubscribing_nothing_more_arrives(start_pods: StartPods):
    sender, pod = await start_pods(2)
    await pod.bus.subscribe([1, 2])
    pod.bus.unsubscribe([1])
    await asyncio.sleep(0.05)  # what is on its way may still arrive
    sender.bus.publish(1, b"one")
    sender.bus.publish(2, b"two")
    await pod.hears(b"two")
    await asyncio.sleep(0.05)
    assert pod.heard == [b"two"]


async def test_unsubscribing_what_was_never_subscribed_is_nothing(start_pods: StartPods):
    sender, pod = await start_pods(2)
    pod.bus.unsubscribe([1, 2, 3])
    await pod.bus.subscribe([2])
    sender.bus.publish(2, b"two")
    await pod.hears(b"two")


async def test_subscribing_twice_is_one_subscription(start_pods: StartPods):
    sender, pod = await start_pods(2)
    await pod.bus.subscribe([1, 1])
    await pod.bus.subscribe([1])
    sender.bus.publish(1, b"once")
    sender.bus.publish(1, b"end")
    await pod.hears(b"end")
    assert pod.heard == [b"once", b"end"]
    pod.bus.unsubscribe([1])
    await asyncio.sleep(0.05)
    sender.bus.publish(1, b"late")
    await asyncio.sleep(0.05)
    assert pod.heard == [b"once", b"end"]


@pytest.mark.parametrize("pauses", [False, True], ids=["in-one-turn", "over-turns"])
async def test_what_was_wanted_last_holds(start_pods: StartPods, pauses: bool):
    """Whatever the mix of subscribing and unsubscribing, and whatever of it is on its way."""
    sender, pod = await start_pods(2)
    async with asyncio.TaskGroup() as group:
        for turn in range(40):
            for channel in range(10):
                if (turn + channel) % 2:
                    group.create_task(pod.bus.subscribe([channel]))
                else:
                    pod.bus.unsubscribe([channel])
            if pauses or turn % 7 == 0:
                await asyncio.sleep(0)
    pod.bus.unsubscribe([0, 1, 2])
    pod.bus.unsubscribe([3])
    await pod.bus.subscribe([3, 4, 5])
    pod.bus.unsubscribe(range(6, 10))
    await asyncio.sleep(0.05)
    for channel in range(10):
        sender.bus.publish(channel, b"%d" % channel)
    await until(lambda: len(pod.heard) >= 3)
    await asyncio.sleep(0.05)
    assert sorted(pod.heard) == [b"3", b"4", b"5"]


async def test_two_thousand_channels_at_once(start_pods: StartPods):
    sender, pod = await start_pods(2)
    channels = range(10**15, 10**15 + 2_000)
    await pod.bus.subscribe(channels)
    for channel in channels:
        sender.bus.publish(channel, b"%d" % channel)
    await until(lambda: len(pod.heard) == 2_000)
    assert set(pod.heard) == {b"%d" % channel for channel in channels}
    pod.bus.unsubscribe(channels)
    await pod.bus.subscribe([1])
    await asyncio.sleep(0.05)
    for channel in channels:
        sender.bus.publish(channel, b"late")
    sender.bus.publish(1, b"end")
    await pod.hears(b"end")
    await asyncio.sleep(0.05)
    assert b"late" not in pod.heard


async def test_what_is_published_after_a_subscription_was_confirmed_arrives(start_pods: StartPods):
    sender, pod = await start_pods(2)

    async def race(channel: int) -> None:
        await pod.bus.subscribe([channel])
        sender.bus.publish(channel, b"%d" % channel)

    for channel in range(300):
        await race(channel)
    async with asyncio.TaskGroup() as group:
        for channel in range(300, 1_000):
            group.create_task(race(channel))
    await until(lambda: len(pod.heard) == 1_000)


async def test_confirmed_again_after_it_was_taken_back(start_pods: StartPods):
    """The confirmation that counts is the last one, not that of a subscription since ended."""
    sender, pod = await start_pods(2)
    for number in range(200):
        first = asyncio.get_running_loop().create_task(pod.bus.subscribe([1]))
        for _ in range(number % 4):
            await asyncio.sleep(0)
        pod.bus.unsubscribe([1])
        for _ in range(number % 3):
            await asyncio.sleep(0)
        await pod.bus.subscribe([1])
        sender.bus.publish(1, b"%d" % number)
        await pod.hears(b"%d" % number)
        await first
        pod.bus.unsubscribe([1])


async def test_a_control_item_reaches_every_other_pod(start_pods: StartPods):
    sender, *others = await start_pods(4)
    sender.bus.publish_control(b"revoked")
    await until(lambda: all(pod.controls == [b"revoked"] for pod in others))
    assert not any(pod.heard for pod in others)


@pytest.mark.parametrize(
    "envelope",
    [b"", b"\0", b"\r\n", b"$5\r\nhello\r\n", bytes(range(256)), b"\xff" * 1_000_000],
    ids=["empty", "nul", "line-end", "resp", "all-bytes", "1MB"],
)
async def test_an_envelope_is_any_bytes(start_pods: StartPods, envelope: bytes):
    sender, pod = await start_pods(2)
    await pod.bus.subscribe([1])
    sender.bus.publish(1, envelope)
    sender.bus.publish_control(envelope)
    await until(lambda: pod.heard == [envelope] and pod.controls == [envelope])


async def test_a_receiver_that_raises_costs_one_item(
    start_pods: StartPods, caplog: pytest.LogCaptureFixture
):
    sender, pod, other = await start_pods(3)
    await pod.bus.subscribe([1])
    await other.bus.subscribe([1])

    def fragile(item: bytes) -> None:
        if item.startswith(b"bad"):
            raise ZeroDivisionError("a receiver's mistake")
        pod.heard.append(item)

    pod.bus.on_envelope = pod.bus.on_control = fragile
    sender.bus.publish_control(b"bad control")
    sender.bus.publish(1, b"first")
    for _ in range(100):
        sender.bus.publish(1, b"bad")
    sender.bus.publish(1, b"last")
    await pod.hears(b"last")
    await other.hears(b"last")
    assert pod.heard == [b"first", b"last"]
    assert len(other.heard) == 102
    assert pod.bus.connected
    assert pod.restored == 0
    logged = [record for record in caplog.records if record.exc_info]
    assert 1 <= len(logged) <= 2, "one a node"


async def test_receivers_are_not_called_inside_publish(start_pods: StartPods):
    sender, pod = await start_pods(2)
    await pod.bus.subscribe([1])
    sender.bus.publish(1, b"later")
    sender.bus.publish_control(b"later")
    assert pod.heard == pod.controls == []
    await pod.hears(b"later")


async def test_a_receiver_may_use_the_bus(start_pods: StartPods):
    one, other = await start_pods(2)
    await one.bus.subscribe([1])
    await other.bus.subscribe([2])

    def answer(item: bytes) -> None:
        one.bus.unsubscribe([1])
        one.bus.publish(2, b"answer to " + item)

    one.bus.on_envelope = answer
    other.bus.publish(1, b"hello")
    await other.hears(b"answer to hello")


async def test_publishing_is_never_an_error(make_pod: MakePod):
    pod = make_pod()
    pod.bus.publish(1, b"before the start")
    pod.bus.publish_control(b"before the start")
    connected = [pod.bus.connected]
    await pod.bus.start()
    connected.append(pod.bus.connected)
    pod.bus.publish(1, b"nobody hears this")
    await pod.bus.close()
    connected.append(pod.bus.connected)
    pod.bus.publish(1, b"after the end")
    pod.bus.publish_control(b"after the end")
    await pod.bus.subscribe([1])
    pod.bus.unsubscribe([1])
    await pod.bus.close()
    assert connected == [False, True, False]


async def test_subscribing_before_the_start_counts(start_pods: StartPods, make_pod: MakePod):
    [sender] = await start_pods(1)
    pod = make_pod()
    await pod.bus.subscribe([1])
    await pod.bus.start()
    sender.bus.publish(1, b"hello")
    await pod.hears(b"hello")
    assert pod.restored == 1, "until the start it could miss something"


async def test_a_closed_bus_hears_nothing_and_the_others_go_on(start_pods: StartPods):
    sender, leaver, pod = await start_pods(3)
    await leaver.bus.subscribe([1])
    await pod.bus.subscribe([1])
    await leaver.bus.close()
    sender.bus.publish(1, b"hello")
    sender.bus.publish_control(b"hello")
    await pod.hears(b"hello")
    assert leaver.heard == leaver.controls == []


async def test_what_was_published_before_closing_is_sent(start_pods: StartPods):
    sender, pod = await start_pods(2)
    await pod.bus.subscribe(range(500))
    for channel in range(500):
        sender.bus.publish(channel, b"x" * 1_000)
    await sender.bus.close()
    await until(lambda: len(pod.heard) == 500)


async def test_an_undisturbed_bus_restores_nothing(start_pods: StartPods):
    sender, pod = await start_pods(2)
    await pod.bus.subscribe([1])
    sender.bus.publish(1, b"hello")
    await pod.hears(b"hello")
    assert pod.restored == sender.restored == 0
