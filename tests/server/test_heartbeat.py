"""Pings by the wheel, and who stays for which answer. The application here only accepts."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import msgspec
import pytest
import uvicorn

from rtchat.api.asgi import Receive, Scope, Send
from rtchat.config import Config
from rtchat.reached import Reached
from rtchat.server.heartbeat import Wheel
from rtchat.server.run import uvicorn_config
from rtchat.server.websocket import FrameProtocol
from tests.raw import CONT, PONG, TEXT, Raw, eventually, frame, raw
from tests.world import SECRET

PING = b"\x89\x04"


class Accepting:
    """Takes every socket, and what it says."""

    def __init__(self) -> None:
        self.reached = Reached()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        while (event := await receive())["type"] not in (
            "lifespan.shutdown",
            "websocket.disconnect",
        ):
            if event["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            if event["type"] == "websocket.connect":
                await send({"type": "websocket.accept"})
            if event["type"] == "websocket.receive":
                await send({"type": "websocket.send", "text": "heard"})


@pytest.fixture
async def server() -> AsyncIterator[uvicorn.Server]:
    config = msgspec.structs.replace(
        Config(), secret_key=SECRET, port=0, heartbeat_s=1, heartbeat_timeout_s=1
    )
    server = uvicorn.Server(uvicorn_config(Accepting(), config))  # type: ignore[arg-type]
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
    task = asyncio.get_running_loop().create_task(server.serve())
    while not server.started:
        assert not task.done()
        await asyncio.sleep(0.01)
    yield server
    server.should_exit = True
    await task


@pytest.fixture
async def client(server: uvicorn.Server) -> AsyncIterator[Raw]:
    async with raw(server.servers[0].sockets[0].getsockname()[1]) as client:
        yield await client.upgrade()


async def pinged(client: Raw) -> bytes:
    """What the next ping says."""
    client.received.clear()
    while (at := client.received.find(PING)) < 0 or len(client.received) < at + 6:
        assert await client.recv(), client.close_code()
    return bytes(client.received[at + 2 : at + 6])


async def test_who_answers_stays(client: Raw):
    """In one piece or in several, with whatever mask, and between the parts of a message."""
    await client.send(frame(PONG, await pinged(client)))
    answer = frame(PONG, await pinged(client))
    await client.send(answer[:7])
    await asyncio.sleep(0.05)
    await client.send(answer[7:])
    payload = await pinged(client)
    masked = bytes(a ^ b for a, b in zip(payload, b"mask", strict=True))
    await client.send(bytes([0x8A, 0x84]) + b"mask" + masked)
    answer = frame(PONG, await pinged(client))
    await client.send(frame(TEXT, b"a", fin=False) + answer + frame(CONT, b"b"))
    await client.until(b"heard")
    await pinged(client)


async def test_who_does_not_answer_is_closed(client: Raw):
    await client.rest()
    assert client.close_code() == 1011


async def test_only_the_last_ping_s_own_pong_answers_it(client: Raw):
    first = await pinged(client)
    await client.send(frame(PONG, first))
    assert await pinged(client) != first
    await client.send(frame(PONG, first) + frame(PONG) + frame(PONG, b"none"))
    await client.rest()
    assert client.close_code() == 1011


async def test_nobody_is_gone_because_we_were_late(client: Raw):
    """The pong lies there unread while we do something else for longer than it may take."""
    client.sock.send(frame(PONG, await pinged(client)))
    time.sleep(2.5)  # noqa: ASYNC251
    await pinged(client)


async def test_who_has_ended_is_looked_at_no_more(server: uvicorn.Server, client: Raw):
    (served,) = server.server_state.connections
    assert isinstance(served, FrameProtocol)
    slots = served.wheel._slots
    assert [it for slot in slots.values() for it in slot] == [served]
    client.sock.close()
    await eventually(lambda: not any(slots.values()))


class Thing:
    """Remembers when it was looked at, and may have trouble with it."""

    def __init__(self, *, trouble: bool = False) -> None:
        self.looks: list[float] = []
        self._trouble = trouble

    def look(self) -> None:
        self.looks.append(asyncio.get_running_loop().time())
        if self._trouble:
            raise OSError("no more memory")


async def test_a_wheel_looks_once_and_not_too_early():
    wheel, things = Wheel(), [Thing() for _ in range(30)]
    began = asyncio.get_running_loop().time()
    for n, thing in enumerate(things):
        wheel.add(thing, n / 50)
    await eventually(lambda: all(thing.looks for thing in things))
    await asyncio.sleep(0.3)
    assert [len(thing.looks) for thing in things] == [1] * 30
    assert all(thing.looks[0] >= began + n / 50 - 0.001 for n, thing in enumerate(things))


async def test_one_s_trouble_costs_the_others_nothing():
    wheel = Wheel()
    things = [Thing(trouble=n < 3) for n in range(6)]
    for thing in things:
        wheel.add(thing, 0)
    await eventually(lambda: all(thing.looks for thing in things))


async def test_what_is_discarded_is_not_looked_at():
    wheel, gone, last = Wheel(), Thing(), Thing()
    wheel.add(gone, 0).discard(gone)
    wheel.add(last, 0.2)
    await eventually(lambda: last.looks)
    assert gone.looks == []


async def test_an_empty_wheel_stands_still_and_goes_on():
    wheel, first, second = Wheel(), Thing(), Thing()
    wheel.add(first, 0)
    await eventually(lambda: wheel._timer is None)
    await asyncio.sleep(0.25)
    wheel.add(second, 0)
    await eventually(lambda: second.looks)
    assert len(first.looks) == 1
