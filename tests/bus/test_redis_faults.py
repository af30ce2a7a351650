"""The bus on Redis when Redis misbehaves: killed, frozen, half-open, refusing, talking nonsense.

What holds on every bus is in tests/contract. The servers here are real and are killed.
"""

import asyncio
import signal
import time

import pytest
import redis

from rtchat.server.valkey import PrivateValkey
from tests.bus.bus_pod import MakePod, bus_of, number_of_tasks, took_s, until
from tests.bus.proxy import Proxy


async def test_a_server_killed_and_started_again(server: PrivateValkey, make_pod: MakePod):
    sender, pod = make_pod(), make_pod()
    await sender.bus.start()
    await pod.bus.start()
    await pod.bus.subscribe([1])
    server.kill()
    await until(lambda: not pod.bus.connected and not sender.bus.connected)
    assert await took_s(pod.bus.subscribe(range(2, 500))) < 0.1
    for _ in range(100):
        sender.bus.publish(1, b"into the void")
    assert bus_of(sender).dropped == 100
    assert pod.restored == 0
    server.start()
    await until(lambda: pod.bus.connected and sender.bus.connected)
    assert pod.restored == 1
    for channel in (1, 2, 499):
        sender.bus.publish(channel, b"%d" % channel)
    await until(lambda: len(pod.heard) == 3)
    assert bus_of(pod).reconnects == 2
    assert pod.restored == 1


async def test_a_start_without_a_server(server: PrivateValkey, make_pod: MakePod):
    server.kill()
    pod = make_pod()
    assert await took_s(pod.bus.start()) < 0.5
    assert not pod.bus.connected
    assert await took_s(pod.bus.subscribe([1])) < 0.1
    server.start()
    await until(lambda: pod.restored == 1)
    sender = make_pod()
    await sender.bus.start()
    sender.bus.publish(1, b"hello")
    await pod.hears(b"hello")
    assert bus_of(pod).reconnects == 0


async def test_subscribers_that_the_server_kills_over_and_over(
    admin: redis.Redis, make_pod: MakePod
):
    sender, pod = make_pod(), make_pod()
    await sender.bus.start()
    await pod.bus.start()
    await pod.bus.subscribe(range(3_000))
    tasks = number_of_tasks()
    start = time.monotonic()
    for number in range(20):
        assert admin.client_kill_filter(_type="pubsub") == 2
        await until(lambda: pod.restored == sender.restored == number + 1)  # noqa: B023
        sender.bus.publish(2_999, b"%d" % number)
        await pod.hears(b"%d" % number)
    assert time.monotonic() - start < 5, "a link that worked comes back after a short wait"
    assert pod.restored == 20, "one call each"
    assert bus_of(sender).dropped == 0, "publishing has a link of its own"
    assert number_of_tasks() == tasks
    assert len(admin.client_list()) == 1 + 2 * 2


async def test_a_receiver_that_raises_when_told_of_a_loss(
    admin: redis.Redis, make_pod: MakePod, caplog: pytest.LogCaptureFixture
):
    pod = make_pod()

    def fail() -> None:
        raise ZeroDivisionError("a receiver's mistake")

    pod.bus.on_restored = fail
    await pod.bus.start()
    await pod.bus.subscribe([1])
    admin.client_kill_filter(_type="pubsub")
    await until(lambda: bus_of(pod).receiver_errors == 1)
    assert "a receiver's mistake" in caplog.text
    pod.bus.publish(1, b"hello")
    await pod.hears(b"hello")


async def test_a_frozen_server(server: PrivateValkey, make_pod: MakePod):
    limit_bytes = 8 << 20
    quick = {"probe_interval_s": 0.2, "probe_silence_s": 0.6}
    sender = make_pod(publish_buffer_bytes=limit_bytes, **quick)
    pod = make_pod(subscribe_timeout_s=0.2)
    await sender.bus.start()
    await pod.bus.start()
    await pod.bus.subscribe([1])
    server.send_signal(signal.SIGSTOP)
    sent = [b"%05d" % number + b"x" * 10_000 for number in range(3_000)]
    start = time.monotonic()
    for envelope in sent:
        sender.bus.publish(1, envelope)
    assert time.monotonic() - start < 0.5
    await asyncio.sleep(0.01)
    [node] = bus_of(sender)._nodes.values()
    wire = node._speaking.wire
    assert wire is not None
    assert 0 < wire.buffered_bytes() <= limit_bytes
    assert 1_000 < bus_of(sender).dropped < 3_000
    assert 0.15 < await took_s(pod.bus.subscribe([2, 3])) < 0.7, "given up"
    await until(lambda: not sender.bus.connected)
    server.send_signal(signal.SIGCONT)
    await until(lambda: pod.restored == 1 and sender.bus.connected)
    sender.bus.publish(1, b"the last one")
    sender.bus.publish(3, b"hello")
    await pod.hears(b"the last one")
    await pod.hears(b"hello")
    assert len(pod.heard) == len(set(pod.heard)), "nothing is repeated"


async def test_closing_is_bounded_when_the_server_is_frozen(
    server: PrivateValkey, make_pod: MakePod
):
    pod = make_pod(close_timeout_s=0.2)
    await pod.bus.start()
    server.send_signal(signal.SIGSTOP)
    waiting = asyncio.get_running_loop().create_task(took_s(pod.bus.subscribe([1])))
    for _ in range(1_000):
        pod.bus.publish(1, b"x" * 10_000)
    await asyncio.sleep(0.01)
    assert await took_s(pod.bus.close()) < 0.5
    assert await waiting < 0.5, "who waited is let go"


async def test_a_connection_that_nobody_answers_is_given_up(
    server: PrivateValkey, make_pod: MakePod
):
    server.send_signal(signal.SIGSTOP)
    pod = make_pod(connect_timeout_s=0.2)
    assert await took_s(pod.bus.start()) < 0.5
    assert await took_s(pod.bus.subscribe([1])) < 0.1
    server.send_signal(signal.SIGCONT)
    await until(lambda: pod.restored == 1 and pod.bus.connected)


@pytest.mark.parametrize(
    "nonsense",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"-NOPERM no such luck\r\n",
        b"+OK so what\r\n",
        b":1\r\n",
        b"*0\r\n",
        b"*2\r\n$7\r\nmessage\r\n$1\r\nx\r\n",
        b"*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n",
        b"$99999999\r\n" + b"x" * 200_000,
    ],
    ids=["http", "error", "status", "number", "nothing", "short", "unasked", "too-large"],
)
async def test_nonsense_costs_the_link_and_not_the_reader(
    server: PrivateValkey, make_pod: MakePod, nonsense: bytes, caplog: pytest.LogCaptureFixture
):
    async with Proxy(server.url) as proxy:
        sender, pod = make_pod(), make_pod(proxy.url, reply_bytes_max=100_000)
        await sender.bus.start()
        await pod.bus.start()
        await pod.bus.subscribe([1])
        proxy.inject(b"-sub", nonsense)
        await until(lambda: pod.restored == 1, within_s=2)  # not only once the probe notices
        sender.bus.publish(1, b"hello")
        await pod.hears(b"hello")
        proxy.inject(b"-pub", b"+nonsense\r\n")
        await until(lambda: bus_of(pod).reconnects == 2, within_s=2)
        await until(lambda: pod.bus.connected)
        assert "asyncio" not in {record.name for record in caplog.records}, "no unhandled error"


async def test_a_forged_message_reaches_the_receiver_as_it_is(
    server: PrivateValkey, admin: redis.Redis, make_pod: MakePod
):
    """Whoever can publish can forge; receivers check what is in an item."""
    pod = make_pod()
    await pod.bus.start()
    await pod.bus.subscribe([1])
    [topic] = [name for name in admin.pubsub_channels("test-*") if str(name).endswith(":1")]
    admin.publish(str(topic), "forged")
    await pod.hears(b"forged")
