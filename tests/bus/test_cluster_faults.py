"""The bus on a Redis Cluster whose primaries are killed, frozen, replaced and cut off.

Whatever happens to one node, the channels on the others go on, and what was lost is told once.
"""

import asyncio
import signal

from tests.bus.bus_pod import (
    QUICK,
    BusPod,
    MakePod,
    bus_of,
    channel_of,
    number_of_tasks,
    took_s,
    until,
)
from tests.bus.valkey_cluster import ValkeyCluster, ask, until_blocking

ALL = range(1, 501)


async def two_pods(make_pod: MakePod, **limits: float) -> tuple[BusPod, BusPod]:
    """One that publishes and one that hears, all channels subscribed."""
    sender, pod = make_pod(**limits), make_pod(**limits)
    await sender.bus.start()
    await pod.bus.start()
    await pod.bus.subscribe(ALL)
    return sender, pod


async def hears_everything(sender: BusPod, pod: BusPod) -> None:
    await until(lambda: sender.bus.connected and pod.bus.connected, within_s=30)
    pod.heard.clear()
    for channel in ALL:
        sender.bus.publish(channel, b"all %d" % channel)
    await until(lambda: len(pod.heard) >= len(ALL))
    assert set(pod.heard) == {b"all %d" % channel for channel in ALL}


async def test_subscribers_that_a_primary_kills_over_and_over(
    cluster: ValkeyCluster, make_cluster_pod: MakePod
):
    sender, pod = await two_pods(make_cluster_pod)
    tasks = number_of_tasks()
    victim = cluster.owner("0")
    heard = channel_of(0)
    for number in range(10):
        assert ask(victim, "CLIENT", "KILL", "TYPE", "pubsub") == 2
        await until(lambda: pod.restored == sender.restored == number + 1)  # noqa: B023
        sender.bus.publish(heard, b"%d" % number)
        await pod.hears(b"%d" % number)
    assert pod.restored == 10, "one call each"
    assert bus_of(sender).dropped == bus_of(sender).refused == 0
    await until(lambda: number_of_tasks() == tasks)
    assert len(ask(victim, "CLIENT", "LIST").splitlines()) <= 1 + 2 * 2 + 2, "links, and a reading"


async def test_a_primary_killed_and_started_again(
    cluster: ValkeyCluster, make_cluster_pod: MakePod
):
    sender, pod = await two_pods(make_cluster_pod)
    victim = cluster.owner("0")
    dead, alive = channel_of(0), channel_of(1)
    assert cluster.owner("1") is not victim
    victim.kill()
    await until(lambda: not pod.bus.connected and not sender.bus.connected)
    sender.bus.publish(dead, b"into the void")
    sender.bus.publish(alive, b"still heard")
    await pod.hears(b"still heard")
    assert await took_s(pod.bus.subscribe([channel_of(0) + 10**9])) < 0.5
    assert bus_of(sender).dropped == 1
    assert pod.restored == 0
    victim.start()
    await until(lambda: pod.bus.connected and sender.bus.connected, within_s=30)
    assert pod.restored == sender.restored == 1
    await hears_everything(sender, pod)


async def test_a_frozen_primary(cluster: ValkeyCluster, make_cluster_pod: MakePod):
    limit_bytes = 100_000
    sender, pod = await two_pods(
        make_cluster_pod, **QUICK, publish_buffer_bytes=limit_bytes, connect_timeout_s=0.3
    )
    victim = cluster.owner("0")
    frozen, alive = channel_of(0), channel_of(1)
    victim.send_signal(signal.SIGSTOP)
    for number in range(100):
        sender.bus.publish(frozen, b"frozen %d" % number + b"x" * 10_000)
        sender.bus.publish(alive, b"alive %d" % number)
        await asyncio.sleep(0.01)
    await until(lambda: b"alive 99" in pod.heard)
    assert bus_of(sender).dropped > 10
    assert not pod.bus.connected
    victim.send_signal(signal.SIGCONT)
    await until(lambda: sender.bus.connected and pod.bus.connected, within_s=30)
    assert pod.restored >= 1
    sender.bus.publish(frozen, b"thawed")
    await pod.hears(b"thawed")
    assert len(pod.heard) == len(set(pod.heard)), "nothing is repeated"
    await hears_everything(sender, pod)


async def test_a_replica_takes_over_from_a_killed_primary(
    cluster: ValkeyCluster, make_cluster_pod: MakePod
):
    victim = cluster.owner("0")
    replica = cluster.replica(victim)
    sender, pod = await two_pods(make_cluster_pod, map_interval_s=600)
    assert f":{replica.port} " not in repr(pod.bus), "it carries nothing yet"
    with cluster.quick_to_judge():
        victim.kill()
        await until(lambda: not pod.bus.connected)
        await until(lambda: pod.restored == 1, within_s=30)
    await hears_everything(sender, pod)
    assert f":{replica.port} " in repr(pod.bus)
    assert f":{victim.port} " not in repr(pod.bus), "its links were closed"
    assert pod.restored == 1
    victim.start()  # as a replica of what was its replica
    await asyncio.sleep(0.3)
    await hears_everything(sender, pod)


async def test_a_primary_that_hands_over_in_good_order(
    cluster: ValkeyCluster, make_cluster_pod: MakePod
):
    """No link breaks. The old primary, a replica now, would take SPUBLISH and tell nobody."""
    first = cluster.owner("0")
    replica = cluster.replica(first)
    sender, pod = await two_pods(make_cluster_pod, map_interval_s=600)
    until_blocking(lambda: ask(replica, "INFO", "replication")["master_link_status"] == "up")
    ask(replica, "CLUSTER", "FAILOVER")
    until_blocking(lambda: cluster.agrees("0", replica))
    await until(lambda: f":{replica.port} " in repr(pod.bus), within_s=20)
    await until(lambda: f":{replica.port} " in repr(sender.bus), within_s=20)
    await until(lambda: pod.restored >= 1)
    await hears_everything(sender, pod)
    assert bus_of(pod).reconnects == 0


async def test_closing_while_the_cluster_is_away(cluster: ValkeyCluster, make_cluster_pod: MakePod):
    tasks = number_of_tasks()
    pod = make_cluster_pod(close_timeout_s=0.2)
    await pod.bus.start()
    for node in cluster.nodes:
        node.send_signal(signal.SIGSTOP)
    pod.bus.publish(1, b"x" * 10_000)
    waiting = asyncio.get_running_loop().create_task(pod.bus.subscribe([1]))
    await asyncio.sleep(0.05)
    assert await took_s(pod.bus.close()) < 2
    await waiting
    assert not pod.bus.connected
    assert number_of_tasks() == tasks


async def test_a_start_while_the_cluster_is_away(cluster: ValkeyCluster, make_cluster_pod: MakePod):
    for node in cluster.nodes:
        node.send_signal(signal.SIGSTOP)
    pod = make_cluster_pod(connect_timeout_s=0.2)
    assert await took_s(pod.bus.start()) < 2
    assert await took_s(pod.bus.subscribe([1, 2])) < 0.1
    pod.bus.publish(1, b"dropped")
    assert bus_of(pod).dropped == 1
    for node in cluster.nodes:
        node.send_signal(signal.SIGCONT)
    await until(lambda: pod.bus.connected, within_s=30)
    await until(lambda: pod.restored >= 1)
    pod.bus.publish(1, b"hello")
    await pod.hears(b"hello")
