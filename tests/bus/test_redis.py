"""The bus on Redis when all is well: nodes, prefixes, commands, passwords, the status line."""

import asyncio

import pytest
import redis

from rtchat.bus.redis import RedisBus
from rtchat.server.valkey import PrivateValkey
from tests.bus.bus_pod import MakePod, bus_of, took_s, until


async def test_two_nodes_share_the_channels(server: PrivateValkey, make_pod: MakePod):
    with PrivateValkey() as second:
        urls = [server.url, second.url]
        sender, pod = make_pod(*urls), make_pod(*reversed(urls))
        await sender.bus.start()
        await pod.bus.start()
        await pod.bus.subscribe(range(1_000))
        for channel in range(1_000):
            sender.bus.publish(channel, b"%d" % channel)
        sender.bus.publish_control(b"for all")
        await until(lambda: len(pod.heard) == 1_000 and pod.controls == [b"for all"])
        for url in urls:
            with redis.Redis.from_url(url) as admin:
                assert 250 < len(admin.pubsub_channels()) < 750

        second.kill()
        await until(lambda: not pod.bus.connected and not sender.bus.connected)
        assert await took_s(pod.bus.subscribe(range(1_000, 2_000))) < 0.5
        pod.heard.clear()
        for channel in range(2_000):
            sender.bus.publish(channel, b"%d" % channel)
        alive = 2_000 - bus_of(sender).dropped
        assert 500 < alive < 1_500
        await until(lambda: len(pod.heard) == alive)
        second.start()
        await until(lambda: pod.bus.connected and sender.bus.connected)
        assert pod.restored == 1
        pod.heard.clear()
        for channel in range(2_000):
            sender.bus.publish(channel, b"%d" % channel)
        await until(lambda: len(pod.heard) == 2_000)
        await sender.bus.close()
        await pod.bus.close()


async def test_pods_of_other_prefixes_are_not_heard(make_pod: MakePod):
    pod, stranger = make_pod(), make_pod(prefix="other")
    await pod.bus.start()
    await stranger.bus.start()
    await pod.bus.subscribe([1])
    stranger.bus.publish(1, b"hello")
    stranger.bus.publish_control(b"hello")
    pod.bus.publish(1, b"own echo")
    await pod.hears(b"own echo")
    assert pod.heard == [b"own echo"]
    assert pod.controls == []


async def test_a_heartbeat_is_not_an_item(admin: redis.Redis, make_pod: MakePod):
    pod = make_pod(probe_interval_s=0.01, probe_silence_s=5)
    await pod.bus.start()
    [topic] = [str(name) for name in admin.pubsub_channels() if ":probe:" in str(name)]
    for _ in range(10):
        assert admin.publish(topic, "somebody else's") == 1
    await pod.bus.subscribe([1])
    pod.bus.publish(1, b"hello")
    await pod.hears(b"hello")
    assert pod.heard == [b"hello"]
    assert bus_of(pod).received == bus_of(pod).published == 1


async def test_who_subscribes_in_the_same_turn_shares_a_command(
    admin: redis.Redis, make_pod: MakePod
):
    def calls() -> int:
        stats = admin.info("commandstats")
        return int(stats.get("cmdstat_subscribe", {"calls": 0})["calls"])

    pod = make_pod(subscribe_batch_topics=500)
    await pod.bus.start()
    before = calls()
    async with asyncio.TaskGroup() as group:
        for channel in range(100):
            group.create_task(pod.bus.subscribe([channel, channel + 1]))
    assert calls() == before + 1
    await pod.bus.subscribe([0, 100])
    assert calls() == before + 1, "nothing to ask for"
    await pod.bus.subscribe(range(1_000, 2_600))
    assert calls() == before + 1 + 4, "a command is bounded"


async def test_a_window_bounds_what_is_not_confirmed(make_pod: MakePod, admin: redis.Redis):
    sender = make_pod()
    pod = make_pod(subscribe_batch_topics=10, subscribe_window_topics=20)
    await sender.bus.start()
    await pod.bus.start()
    await pod.bus.subscribe(range(1_000))
    admin.client_kill_filter(_type="pubsub")
    await until(lambda: pod.restored == 1)
    for channel in range(1_000):
        sender.bus.publish(channel, b"%d" % channel)
    await until(lambda: len(pod.heard) == 1_000)


async def test_what_the_server_refuses_is_counted_and_logged_once(
    server: PrivateValkey, admin: redis.Redis, make_pod: MakePod, caplog: pytest.LogCaptureFixture
):
    admin.acl_setuser(
        "half",
        enabled=True,
        passwords=["+p/w@ü"],
        categories=["+@all"],
        channels=["mine*"],
        reset=True,
        reset_channels=True,
    )
    url = server.url.replace("//", "//half:p%2Fw%40%C3%BC@")
    pod = make_pod(url, prefix="mine")
    await pod.bus.start()
    assert pod.bus.connected
    await pod.bus.subscribe([1])
    pod.bus.publish(1, b"allowed")
    await pod.hears(b"allowed")
    admin.acl_setuser("half", enabled=True, commands=["-publish"])
    for _ in range(100):
        pod.bus.publish(1, b"forbidden")
    await until(lambda: bus_of(pod).refused >= 100)
    assert bus_of(pod).dropped == 0
    refusals = [record for record in caplog.records if record.message == "bus item refused"]
    assert len(refusals) == 1
    assert "NOPERM" in vars(refusals[0])["why"]


async def test_a_password_in_the_url(caplog: pytest.LogCaptureFixture, make_pod: MakePod):
    with PrivateValkey({"requirepass": "s3cret/%"}) as locked:
        good, bad, none = (
            make_pod(locked.url.replace("//", f"//{login}"))
            for login in (":s3cret%2F%25@", ":wr0ng@", "")
        )
        for pod in (good, bad, none):
            assert await took_s(pod.bus.start()) < 0.5
        assert [pod.bus.connected for pod in (good, bad, none)] == [True, False, False]
        await good.bus.subscribe([1])
        assert await took_s(bad.bus.subscribe([1])) < 0.1
        good.bus.publish(1, b"hello")
        await good.hears(b"hello")
        reasons = {str(vars(record).get("why")) for record in caplog.records}
        assert any("WRONGPASS" in reason for reason in reasons)
        assert any("NOAUTH" in reason for reason in reasons)
        told = caplog.text + repr(reasons) + repr(good.bus) + repr(bad.bus)
        assert "s3cret" not in told
        assert "wr0ng" not in told
        for pod in (good, bad, none):
            await pod.bus.close()


async def test_the_status_line_names_nodes_and_state(server: PrivateValkey, make_pod: MakePod):
    pod = make_pod()
    assert repr(pod.bus) == f"<RedisBus [<Node 127.0.0.1:{server.port} down topics=2>]>"
    await pod.bus.start()
    await pod.bus.subscribe([1, 2, 3])
    assert repr(pod.bus) == f"<RedisBus [<Node 127.0.0.1:{server.port} up topics=5>]>"


@pytest.mark.parametrize("urls", [[], ["redis://a", "redis://a:6379/1"], ["http://a"]])
def test_a_bad_list_of_nodes_is_refused(urls: list[str]):
    with pytest.raises(ValueError, match=r"(?i)redis"):
        RedisBus(urls)
