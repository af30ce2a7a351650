"""What the bus in memory promises beyond every bus: no echo, and no traces of who left."""

import pytest

from rtchat.bus.memory import Exchange, MemoryBus
from rtchat.envelope import Envelope
from rtchat.rooms import Rooms
from tests.bus.bus_pod import BusPod, until
from tests.world import world


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


async def test_knows_whether_anybody_else_is_there():
    exchange = Exchange()
    bus, other = MemoryBus(exchange), MemoryBus(exchange)
    await bus.start()
    alone = [bus.alone]
    await other.start()
    alone.append(bus.alone)
    await other.close()
    alone.append(bus.alone)
    assert alone == [True, False, True]
    await bus.close()


async def test_a_pod_alone_makes_no_bytes_for_others(
    database_url: str, monkeypatch: pytest.MonkeyPatch
):
    """They would be two copies of all that is sent; with another pod there they are made."""
    exchange = Exchange()
    made: list[Envelope] = []
    stamped = Rooms.stamped

    def noted(rooms: Rooms, envelope: Envelope) -> bytes:
        made.append(envelope)
        return stamped(rooms, envelope)

    monkeypatch.setattr(Rooms, "stamped", noted)
    async with world(database_url, MemoryBus(exchange)) as pod:
        user = await pod.person()
        channel = await pod.channel(user)
        await pod.send(user, channel, "to nobody else")
        assert made == []
        async with world(database_url, MemoryBus(exchange)) as other:
            socket = other.connect(user)
            await socket.sub({channel: None})
            await pod.send(user, channel, "to the other pod")
            assert await socket.seqs(2) == [2]
            assert [envelope.first for envelope in made] == [2]
