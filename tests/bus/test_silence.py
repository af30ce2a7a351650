"""What the bus on Redis takes for dead, and what it leaves alone because it is slow.

A needless reconnect is a loss that is told, to every pod of a server that stalled, at once.
"""

import asyncio
import os
import signal
import time

import pytest
import redis

from rtchat.bus.node import Node
from rtchat.server.valkey import PrivateValkey
from tests.bus.bus_pod import QUICK, BusPod, MakePod, bus_of, took_s, until
from tests.bus.proxy import Proxy


def node_of(pod: BusPod) -> Node:
    [node] = bus_of(pod)._nodes.values()
    return node


async def subscribe_for_ever(pod: BusPod) -> None:
    """As a busy pod does: there is always one on its way."""
    channel = 1_000
    while True:
        channel += 1
        await pod.bus.subscribe([channel])
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("topics", [0, 1, 100], ids=["quiet", "one", "busy"])
async def test_a_stall_shorter_than_the_time_of_silence_costs_no_link(
    server: PrivateValkey, make_pod: MakePod, topics: int
):
    """Who waits for a subscription goes on at its time limit; all are told when it stands."""
    sender, pod = make_pod(), make_pod(subscribe_timeout_s=0.1)
    await sender.bus.start()
    await pod.bus.start()
    await pod.bus.subscribe([1])
    server.send_signal(signal.SIGSTOP)
    async with asyncio.TaskGroup() as group:
        waiting = [
            group.create_task(took_s(pod.bus.subscribe([1_000 + topic]))) for topic in range(topics)
        ]
        await asyncio.sleep(0.25)  # the links, and what they hear, are given up in 2 to 3 s
    assert all(0.05 < task.result() < 1.5 for task in waiting)
    assert pod.restored == 0
    server.send_signal(signal.SIGCONT)
    await until(lambda: pod.bus.connected and pod.restored == bool(topics))
    sender.bus.publish(1, b"hello")
    sender.bus.publish(999 + topics, b"there")
    await until(lambda: pod.heard == [b"hello", b"there"][: 1 + bool(topics)])
    assert bus_of(pod).reconnects == bus_of(sender).reconnects == 0
    assert pod.restored == bool(topics), "once, however many were late"
    assert sender.restored == 0


async def test_who_is_always_late_is_told_all_the_time(server: PrivateValkey, make_pod: MakePod):
    """A server slower than the limit of waiting: what is subscribed later puts nothing off."""
    async with Proxy(server.url) as proxy:
        pod = make_pod(proxy.url, subscribe_timeout_s=0.02)
        await pod.bus.start()
        proxy.pace.pause_s = 0.1
        busy = [asyncio.get_running_loop().create_task(subscribe_for_ever(pod)) for _ in range(10)]
        await until(lambda: pod.restored >= 5)
        for task in busy:
            task.cancel()
        assert bus_of(pod).reconnects == 0
        await until(lambda: pod.bus.connected)
        told = pod.restored
        await pod.bus.subscribe([1])
        await until(lambda: pod.bus.connected and pod.restored == told + 1)


async def test_a_link_that_hears_and_is_not_heard_is_noticed(
    server: PrivateValkey, make_pod: MakePod
):
    """The heartbeat comes, and no subscription is answered; without any, nothing is missed."""
    async with Proxy(server.url) as proxy:
        sender, pod = make_pod(), make_pod(proxy.url, **QUICK)
        await sender.bus.start()
        await pod.bus.start()
        await pod.bus.subscribe([1])
        proxy.turn_deaf(b"-sub")
        await asyncio.sleep(0.5)
        sender.bus.publish(1, b"hello")
        await pod.hears(b"hello")
        assert pod.restored == 0
        await pod.bus.subscribe([2])
        await until(lambda: pod.restored == 1 and pod.bus.connected)
        sender.bus.publish(2, b"there")
        await pod.hears(b"there")
        assert bus_of(pod).reconnects >= 1


async def test_answers_do_not_hide_that_the_link_that_speaks_is_dead(
    server: PrivateValkey, make_pod: MakePod
):
    async with Proxy(server.url) as proxy:
        pod, other = make_pod(proxy.url, **QUICK), make_pod()
        await pod.bus.start()
        await other.bus.start()
        await other.bus.subscribe([1])
        busy = asyncio.get_running_loop().create_task(subscribe_for_ever(pod))
        await asyncio.sleep(0.1)
        proxy.hang(b"-pub")
        await until(lambda: bus_of(pod).reconnects == 2)
        busy.cancel()
        await until(lambda: pod.bus.connected)
        pod.bus.publish(1, b"out")
        await other.hears(b"out")


async def test_a_link_without_any_subscription_answers_a_ping_in_its_own_way(
    server: PrivateValkey, admin: redis.Redis, make_pod: MakePod
):
    """As when all slots were taken away: `+PONG`, where a subscriber's is a list."""

    def pings() -> int:
        return int(admin.info("commandstats")["cmdstat_ping"]["calls"])

    async with Proxy(server.url) as proxy:
        pod = make_pod(proxy.url, **QUICK)
        await pod.bus.start()
        hearing = node_of(pod).hearing
        wire = hearing.link.wire
        hearing.unsubscribe([bus_of(pod)._topics.control, hearing._heartbeat])
        await until(lambda: not admin.pubsub_channels())
        before = pings()
        proxy.refuses = True
        proxy.cut(b"-pub")  # while there is nothing to publish on, a PING is the sign of life
        await asyncio.sleep(0.5)
        assert wire is not None
        assert hearing.link.wire is wire, "it stands"
        assert pings() > before
        proxy.hang(b"-sub")
        await until(lambda: hearing.link.wire is None)


async def test_a_heartbeat_that_moved_does_not_wait_for_a_long_restore(
    server: PrivateValkey, make_pod: MakePod
):
    """1 s of confirmations where 0.5 s of silence are death: the heartbeat is among the first."""
    async with Proxy(server.url) as proxy:
        limits = {"probe_interval_s": 0.1, "probe_silence_s": 0.5, "subscribe_window_topics": 50}
        pod = make_pod(proxy.url, **limits, subscribe_batch_topics=50)
        await pod.bus.start()
        await pod.bus.subscribe(range(2_000))
        topics = bus_of(pod)._topics
        node_of(pod).watch(topics.probe(7, "moved"))  # as `_place` does when its slot moves
        await until(lambda: node_of(pod).hearing._subscriptions.settled)
        proxy.pace.read_bytes, proxy.pace.pause_s = 1_000, 0.01
        proxy.cut(b"-sub")
        assert await until(lambda: pod.restored == 1, within_s=20) > 0.6
        assert pod.bus.connected
        assert bus_of(pod).reconnects == 1, "it did not start over"


async def test_a_long_list_of_topics_is_not_taken_for_a_dead_link(make_pod: MakePod):
    """A subscriber goes on after its time, is told later, and the link is left to work."""
    sender, pod = make_pod(), make_pod(subscribe_timeout_s=0.02, subscribe_window_topics=500)
    await sender.bus.start()
    await pod.bus.start()
    await pod.bus.subscribe(range(50_000))
    assert not pod.bus.connected, "it waited for the whole list"
    await until(lambda: pod.restored == 1)
    assert bus_of(pod).reconnects == 0
    for channel in (0, 30_000, 49_999):
        sender.bus.publish(channel, b"%d" % channel)
    await until(lambda: len(pod.heard) == 3)


async def test_a_half_open_link_is_noticed(server: PrivateValkey, make_pod: MakePod):
    """With a fifth of the probe's own times; with those it took 3.0 s on a quiet machine."""
    fifth = {"probe_interval_s": 0.2, "probe_silence_s": 0.6}
    limits = bus_of(make_pod())._limits
    assert (limits.probe_interval_s, limits.probe_silence_s) == (1, 3)
    async with Proxy(server.url) as proxy:
        sender, pod = make_pod(), make_pod(proxy.url, **fifth)
        await sender.bus.start()
        await pod.bus.start()
        await pod.bus.subscribe([1])
        await asyncio.sleep(0.1)
        proxy.hang(b"-sub")
        [node] = bus_of(pod)._nodes.values()
        assert node._silent_beats_max == 3
        assert await until(lambda: pod.restored == 1, within_s=20) > 0.2
        sender.bus.publish(1, b"hello")
        await pod.hears(b"hello")


@pytest.mark.parametrize("link", [b"-sub", b"-pub"])
async def test_either_link_may_be_the_one_that_hangs(
    server: PrivateValkey, make_pod: MakePod, link: bytes
):
    async with Proxy(server.url) as proxy:
        pod, other = make_pod(proxy.url, **QUICK), make_pod()
        await pod.bus.start()
        await other.bus.start()
        await pod.bus.subscribe([1])
        await other.bus.subscribe([1])
        proxy.hang(link)
        await until(lambda: pod.restored == 1)
        await until(lambda: pod.bus.connected)
        pod.bus.publish(1, b"out")
        await other.hears(b"out")
        other.bus.publish(1, b"in")
        await pod.hears(b"in")


async def test_hearing_goes_on_while_there_is_no_way_to_speak(
    server: PrivateValkey, make_pod: MakePod
):
    async with Proxy(server.url) as proxy:
        sender, pod = make_pod(), make_pod(proxy.url, **QUICK)
        await sender.bus.start()
        await pod.bus.start()
        await pod.bus.subscribe([1])
        proxy.refuses = True
        proxy.cut(b"-pub")
        await until(lambda: not pod.bus.connected)
        await asyncio.sleep(0.5)
        sender.bus.publish(1, b"hello")
        await pod.hears(b"hello")
        assert pod.restored == 0
        proxy.hang(b"-sub")
        await until(lambda: not proxy.of(b"-sub"), within_s=1)
        proxy.refuses = False
        await until(lambda: pod.restored == 1 and pod.bus.connected)


async def test_a_pod_that_stalls_reads_before_it_judges(server: PrivateValkey, make_pod: MakePod):
    pod = make_pod(subscribe_timeout_s=0.1)
    await pod.bus.start()
    loop = asyncio.get_running_loop()
    read_end, write_end = os.pipe()

    def stall() -> None:
        loop.remove_reader(read_end)
        server.send_signal(signal.SIGCONT)
        time.sleep(0.3)

    # As a stalling reader of another socket does it: what comes meanwhile is read only after the
    # timers that ran out meanwhile.
    loop.add_reader(read_end, stall)
    server.send_signal(signal.SIGSTOP)
    subscribing = loop.create_task(pod.bus.subscribe([1]))
    for _ in range(3):  # enough to send it
        await asyncio.sleep(0)
    os.write(write_end, b"now")
    await subscribing
    os.close(read_end)
    os.close(write_end)
    assert pod.bus.connected
    assert pod.restored == bus_of(pod).reconnects == 0


async def test_a_quiet_healthy_link_is_left_alone(make_pod: MakePod):
    pod = make_pod(**QUICK)
    await pod.bus.start()
    await asyncio.sleep(0.3)
    time.sleep(0.5)  # noqa: ASYNC251 the pod itself stalls, for longer than the time of silence
    await asyncio.sleep(0.3)
    assert bus_of(pod).reconnects == 0
    assert pod.bus.connected
