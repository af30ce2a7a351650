"""The bus on a Redis Cluster follows its map: who serves what at first, and after every move."""

import asyncio
from itertools import pairwise

import pytest
import redis

import rtchat.bus.cluster
from rtchat.app import make_bus
from rtchat.bus.address import Address
from rtchat.bus.cluster import Cluster
from rtchat.bus.shards import Topics
from rtchat.config import Config
from rtchat.server.valkey import PrivateValkey
from tests.bus.bus_pod import BusPod, MakePod, bus_of, channel_of, number_of_tasks, took_s, until
from tests.bus.valkey_cluster import ValkeyCluster, ask
from tests.services import Given

ALL = range(1, 1_001)


def readings(pod: BusPod) -> int:
    cluster = bus_of(pod)._cluster
    assert cluster is not None
    return cluster.readings


def clients_of(node: PrivateValkey, name: str) -> int:
    return sum(f"name={name}" in line for line in str(ask(node, "CLIENT", "LIST")).splitlines())


async def hears_everything(sender: BusPod, pod: BusPod, within_s: float = 5) -> None:
    pod.heard.clear()
    for channel in ALL:
        sender.bus.publish(channel, b"%d" % channel)
    await until(lambda: len(pod.heard) >= len(ALL), within_s)
    assert set(pod.heard) == {b"%d" % channel for channel in ALL}


async def test_all_primaries_share_the_channels(cluster: ValkeyCluster, make_cluster_pod: MakePod):
    sender, pod = make_cluster_pod(cluster.urls[0]), make_cluster_pod(cluster.urls[1])
    await sender.bus.start()
    await pod.bus.start()
    assert pod.bus.connected
    await pod.bus.subscribe(ALL)
    await hears_everything(sender, pod)
    assert len(cluster.primaries) == 3
    for node in cluster.primaries:
        assert 200 < len(ask(node, "PUBSUB", "SHARDCHANNELS")) < 500
    assert pod.restored == sender.restored == 0
    assert bus_of(sender).refused == bus_of(sender).dropped == 0


async def test_a_dead_seed_is_passed_over(cluster: ValkeyCluster, make_cluster_pod: MakePod):
    pods = [make_cluster_pod("redis://127.0.0.1:1", cluster.urls[2]) for _ in range(4)]
    for pod in pods:
        await pod.bus.start()
        assert pod.bus.connected
        assert pod.restored == 0


async def test_the_seeds_password_holds_for_every_node(
    cluster: ValkeyCluster, make_cluster_pod: MakePod, caplog: pytest.LogCaptureFixture
):
    for node in cluster.nodes:
        ask(node, "CONFIG", "SET", "requirepass", "s3cret")
    try:
        pod = make_cluster_pod(cluster.urls[0].replace("//", "//:s3cret@"))
        stranger = make_cluster_pod(cluster.urls[0])
        await pod.bus.start()
        await stranger.bus.start()
        assert (pod.bus.connected, stranger.bus.connected) == (True, False)
        await pod.bus.subscribe(ALL)
        await hears_everything(pod, pod)
        told = caplog.text + repr(pod.bus) + repr([vars(record) for record in caplog.records])
        assert "NOAUTH" in told
        assert "s3cret" not in told
    finally:
        for node in cluster.nodes:
            with redis.Redis.from_url(node.url, password="s3cret") as admin:
                admin.config_set("requirepass", "")


async def test_the_rights_that_operators_are_told_to_give_are_enough(
    cluster: ValkeyCluster, make_cluster_pod: MakePod
):
    told = " ".join((rtchat.bus.cluster.__doc__ or "").split())
    rights = told.split("rights: ")[1].split(", and")[0].split()
    assert len(rights) == 7
    for node in cluster.nodes:
        ask(node, "ACL", "SETUSER", "pod", "reset", "on", ">pw", "&mine:*", *rights)
    pod = make_cluster_pod(cluster.urls[0].replace("//", "//pod:pw@"), prefix="mine")
    await pod.bus.start()
    await pod.bus.subscribe(ALL)
    await hears_everything(pod, pod)
    pod.bus.unsubscribe(ALL)
    assert pod.bus.connected
    assert bus_of(pod).refused == 0
    await pod.bus.close()
    assert not [line for node in cluster.nodes for line in ask(node, "ACL", "LOG")]


async def test_a_server_that_is_no_cluster_is_named_in_the_log(
    valkey: PrivateValkey | Given, make_cluster_pod: MakePod, caplog: pytest.LogCaptureFixture
):
    pod = make_cluster_pod(valkey.url)
    assert await took_s(pod.bus.start()) < 1
    assert not pod.bus.connected
    assert await took_s(pod.bus.subscribe([1])) < 0.1
    pod.bus.publish(1, b"to nobody")
    assert bus_of(pod).dropped == 1
    assert "cluster support disabled" in repr([vars(record) for record in caplog.records])


async def test_topics_of_one_shard_share_a_command(
    cluster: ValkeyCluster, make_cluster_pod: MakePod
):
    def calls() -> int:
        stats = [ask(node, "INFO", "commandstats") for node in cluster.nodes]
        return sum(of.get("cmdstat_ssubscribe", {"calls": 0})["calls"] for of in stats)

    pod = make_cluster_pod()
    await pod.bus.start()
    before = calls()
    async with asyncio.TaskGroup() as group:
        for channel in range(1, 2_001):
            group.create_task(pod.bus.subscribe([channel]))
    assert calls() == before + 64


async def test_a_slot_that_moves_while_subscribed(
    cluster: ValkeyCluster, make_cluster_pod: MakePod
):
    sender, pod = make_cluster_pod(), make_cluster_pod()
    await sender.bus.start()
    await pod.bus.start()
    await pod.bus.subscribe(ALL)
    shard, moved = 3, channel_of(3)
    owner = cluster.owner(str(shard))
    for number in range(3):
        cluster.migrate(str(shard), cluster.other(cluster.owner(str(shard))))
        await until(lambda: pod.restored == number + 1 and pod.bus.connected)  # noqa: B023
        pod.heard.clear()
        sender.bus.publish(moved, b"perhaps to the old owner")
        await until(lambda: sender.bus.connected)
        await asyncio.sleep(0.2)
        sender.bus.publish(moved, b"%d" % number)
        await pod.hears(b"%d" % number)
        assert len(pod.heard) == len(set(pod.heard))
    await hears_everything(sender, pod)
    cluster.migrate(str(shard), owner)
    await until(lambda: pod.restored == 4)
    assert bus_of(pod).reconnects == bus_of(sender).reconnects == 0, "no link was given up for it"
    assert sender.restored <= 1, "it heard nothing there but perhaps its own heartbeat"


async def test_who_publishes_to_the_old_owner_learns_the_new_one(
    cluster: ValkeyCluster, make_cluster_pod: MakePod
):
    """A pod that hears nothing in the slot is not told of the move but by MOVED."""
    pod, sender = make_cluster_pod(), make_cluster_pod()
    await pod.bus.start()
    await sender.bus.start()
    shard = 20  # not the first shard of any node: no heartbeat is in it
    await pod.bus.subscribe([channel_of(shard)])
    cluster.migrate(str(shard), cluster.other(cluster.owner(str(shard))))
    await until(lambda: pod.restored == 1)
    refused = bus_of(sender).refused
    sender.bus.publish(channel_of(shard), b"lost")
    await until(lambda: bus_of(sender).refused == refused + 1)
    await until(lambda: readings(sender) == 2)
    await asyncio.sleep(0.1)
    sender.bus.publish(channel_of(shard), b"heard")
    await pod.hears(b"heard")
    assert pod.heard == [b"heard"]
    assert sender.restored == 0


async def test_the_control_topic_moves_too(cluster: ValkeyCluster, make_cluster_pod: MakePod):
    pod, other = make_cluster_pod(), make_cluster_pod()
    await pod.bus.start()
    await other.bus.start()
    cluster.migrate(Topics.CONTROL, cluster.other(cluster.owner(Topics.CONTROL)))
    await until(lambda: pod.restored == other.restored == 1)
    await until(lambda: pod.bus.connected and other.bus.connected)
    pod.bus.publish_control(b"revoked")
    await until(lambda: pod.controls == other.controls == [b"revoked"])


async def test_a_node_that_loses_its_last_slot_is_left_and_one_that_gets_some_is_joined(
    cluster: ValkeyCluster, make_cluster_pod: MakePod
):
    sender, pod = make_cluster_pod(), make_cluster_pod()
    await sender.bus.start()
    await pod.bus.start()
    await pod.bus.subscribe(ALL)
    name, tasks = bus_of(pod)._client_name, number_of_tasks()
    emptied, *others = cluster.primaries
    ask(emptied, "CLIENT", "KILL", "TYPE", "pubsub")
    await until(lambda: pod.restored == sender.restored == 1)
    assert bus_of(pod).reconnects == 1
    tags = [tag for tag in Topics("x", 64).tags if cluster.owner(tag) is emptied]
    assert len(tags) > 10
    started_at = readings(pod)
    for at, tag in enumerate(tags):
        cluster.migrate(tag, others[at % 2])
        await asyncio.sleep(0)
    await until(lambda: clients_of(emptied, name) == 0, 20)
    assert bus_of(pod).reconnects >= 1, "a count does not shrink"
    assert number_of_tasks() < tasks
    assert readings(pod) - started_at <= 2 * len(tags) + 5, "readings are coalesced"
    await until(lambda: pod.bus.connected and sender.bus.connected)
    await asyncio.sleep(0.2)
    await hears_everything(sender, pod)
    for tag in tags:
        cluster.migrate(tag, emptied)
    await until(lambda: clients_of(emptied, name) == 2, 20)
    await until(lambda: pod.bus.connected and sender.bus.connected)
    await asyncio.sleep(0.2)
    await hears_everything(sender, pod)
    assert number_of_tasks() == tasks


async def test_a_slot_that_nobody_serves(cluster: ValkeyCluster, make_cluster_pod: MakePod):
    """Its channels wait, all others go on, and the map is not asked for without a pause."""
    sender, pod = make_cluster_pod(), make_cluster_pod()
    await sender.bus.start()
    await pod.bus.start()
    lost, kept = channel_of(10), channel_of(11)
    await pod.bus.subscribe([lost, kept])
    owner = cluster.owner("10")
    [slot] = {ask(node, "CLUSTER", "KEYSLOT", "{10}") for node in cluster.nodes}
    for node in cluster.nodes:
        ask(node, "CLUSTER", "DELSLOTS", slot)
    await until(lambda: not pod.bus.connected)
    before = readings(pod)
    sender.bus.publish(lost, b"lost")
    sender.bus.publish(kept, b"kept")
    await pod.hears(b"kept")
    assert await took_s(pod.bus.subscribe([lost])) < 0.5, "refused, so there is nothing to wait for"
    await asyncio.sleep(0.5)
    assert readings(pod) - before < 20
    assert pod.restored == 0, "nothing was"
    ask(owner, "CLUSTER", "ADDSLOTS", slot)
    await until(lambda: pod.restored == 1 and pod.bus.connected)
    await until(lambda: cluster.agrees("10", owner))
    sender.bus.publish(lost, b"found")
    await pod.hears(b"found")
    assert pod.heard == [b"kept", b"found"]
    assert bus_of(pod).reconnects == 0


async def test_the_map_is_looked_at_though_nobody_says_that_it_changed(
    cluster: ValkeyCluster, make_cluster_pod: MakePod
):
    """A server may be silent about a change; a rare look bounds how long it goes unseen."""
    often, seldom = make_cluster_pod(map_interval_s=0.05), make_cluster_pod(map_interval_s=600)
    await often.bus.start()
    await seldom.bus.start()
    await until(lambda: readings(often) > 5)
    assert readings(seldom) == 1
    assert often.restored == bus_of(often).reconnects == 0
    assert often.bus.connected


async def test_a_map_that_could_not_be_taken_is_read_again(
    cluster: ValkeyCluster, make_cluster_pod: MakePod, caplog: pytest.LogCaptureFixture
):
    taken: list[int] = []

    def on_map(owners: list[Address | None]) -> None:
        taken.append(len(owners))
        if len(taken) < 3:
            raise ZeroDivisionError("a mistake in what takes it")

    limits = bus_of(make_cluster_pod())._limits
    seeds = [Address.parse(url) for url in cluster.urls]
    following = Cluster(seeds, ["0", "1"], limits, client_name="test", on_map=on_map)
    task = asyncio.get_running_loop().create_task(following.run())
    await until(lambda: taken == [2, 2, 2])
    assert following.tried.is_set()
    following.stale()
    await until(lambda: len(taken) == 4)
    assert not task.done()
    task.cancel()
    assert "a mistake in what takes it" in caplog.text


async def test_while_slots_move_the_map_is_read_often(
    cluster: ValkeyCluster, make_cluster_pod: MakePod
):
    """A shard that moved is deaf until the next reading; twenty changes at a doubling pause."""
    limits = bus_of(make_cluster_pod(backoff_base_ms=2, backoff_cap_ms=600_000))._limits
    here, there = cluster.owner("0"), cluster.other(cluster.owner("0"))
    maps: list[set[str]] = []

    def on_map(owners: list[Address | None]) -> None:
        maps.append({owner.name for owner in owners if owner is not None})
        if len(maps) < 20:
            cluster.migrate("0", there if len(maps) % 2 else here)
            following.stale()

    seeds = [Address.parse(url) for url in cluster.urls]
    following = Cluster(seeds, ["0"], limits, client_name="test", on_map=on_map)
    task = asyncio.get_running_loop().create_task(following.run())
    await until(lambda: len(maps) >= 20, within_s=20)
    task.cancel()
    assert all(one != other for one, other in pairwise(maps[:20]))
    cluster.migrate("0", here)


async def test_a_heartbeat_is_in_a_slot_that_is_served(
    cluster: ValkeyCluster, make_cluster_pod: MakePod
):
    """Or one slot without an owner would cost its last owner's links, over and over."""
    pod = make_cluster_pod(probe_interval_s=0.1, probe_silence_s=0.3)
    await pod.bus.start()
    owner = cluster.owner("0")
    [node] = [node for node in bus_of(pod)._nodes if node.endswith(f":{owner.port}")]
    shard = bus_of(pod)._probed[bus_of(pod)._nodes[node]]
    [slot] = {ask(node, "CLUSTER", "KEYSLOT", f"{{{shard}}}") for node in cluster.nodes}
    await pod.bus.subscribe([channel_of(shard)])
    for each in cluster.nodes:
        ask(each, "CLUSTER", "DELSLOTS", slot)
    await until(lambda: bus_of(pod)._probed[bus_of(pod)._nodes[node]] != shard)
    reconnects = bus_of(pod).reconnects  # until the map was read, the heartbeat was not served
    await asyncio.sleep(0.7)
    assert bus_of(pod).reconnects == reconnects
    ask(owner, "CLUSTER", "ADDSLOTS", slot)
    await until(lambda: cluster.agrees(str(shard), owner))
    await until(lambda: pod.bus.connected)


async def test_the_settings_make_a_bus_on_a_cluster(valkey_cluster: ValkeyCluster):
    config = Config(redis_urls=valkey_cluster.urls[0], redis_cluster=1, bus_prefix="settings")
    pod = BusPod(make_bus(config))
    await pod.bus.start()
    await pod.bus.subscribe([1])
    pod.bus.publish(1, b"hello")
    await pod.hears(b"hello")
    assert len(bus_of(pod)._nodes) == 3
    await pod.bus.close()
