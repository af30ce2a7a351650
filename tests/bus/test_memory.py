"""What the bus in memory promises beyond every bus: no echo, and no traces of who left."""

from rtchat.bus.memory import Exchange, MemoryBus
from tests.bus.bus_pod import BusPod, until


async def test_does_not_hear_itself():
    exchange = Exchange()
    pod, other = BusPod(MemoryBus(exchange)), BusPod(MemoryBus(exchange))
    for each in (pod, other):
        await each.bus.start()
        await each.bus.subscribe([1])
    pod.bus.publish(1, b"hello")
    pod.bus.publish_control(b"hello")
    await until(lambda: other.heard == other.controls == [b"hello"])
    assert pod.heard == pod.controls == []
    await pod.bus.close()
    await other.bus.close()


async def test_leaves_nothing_behind_and_counts():
    exchange = Exchange()
    bus, other = MemoryBus(exchange), MemoryBus(exchange)
    await bus.start()
    await other.start()
    await bus.subscribe(range(100))
    await other.subscribe([1])
    assert repr(bus) == "<MemoryBus up channels=100>"
    other.publish(1, b"delivered")
    await until(lambda: bus.received == 1)
    other.publish(1, b"on its way when the receiver leaves")
    await bus.close()
    await other.close()
    other.publish(1, b"too late")
    assert exchange.buses == []
    assert exchange.hearers == {}
    assert (other.published, other.dropped, bus.received) == (2, 1, 1)
