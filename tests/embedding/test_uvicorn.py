"""Stock uvicorn: each of its WebSocket implementations, clients that do not read, workers."""

import asyncio
import contextlib
import importlib.util
import socket
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest

from rtchat.server.valkey import PrivateValkey
from tests.embedding.conversation import follow, new_channel, say, talk, talk_to_the_end
from tests.embedding.outer import outer
from tests.people import People
from tests.raw import eventually
from tests.services import Given
from tests.sockets import Wire, wire

APP = ("--factory", "rtchat.app:create_app")
LOGGED = ("--log-config", "log.json")
IMPLEMENTATIONS = ["websockets-sansio", "websockets"]
IMPLEMENTATIONS += ["wsproto"] if importlib.util.find_spec("wsproto") else []
OTHER = {"websockets": ["--http=h11", "--loop=asyncio"]}
# What a thousand messages of 4000 bytes are too much for.
NARROW = {"write_high_bytes": 65_536, "write_low_bytes": 16_384, "sends_per_second": 0}


@pytest.mark.parametrize("ws", IMPLEMENTATIONS)
async def test_the_chat_is_the_same_on_each(ws: str, files: Path, database_url: str) -> None:
    arguments = [*APP, f"--ws={ws}", *OTHER.get(ws, [])]
    async with outer(arguments, database_url, files) as server:
        await talk(server)
        await talk_to_the_end(server)


async def test_a_client_that_does_not_read_delays_nobody_and_misses_nothing(
    files: Path, database_url: str
) -> None:
    """It falls out of live, and catches up in order when it reads again."""
    async with (
        outer(APP, database_url, files, settings=NARROW) as server,
        People(database_url) as people,
        httpx2.AsyncClient(base_url=server.url) as http,
    ):
        ann = await people.new("ann")
        channel = await new_channel(http, ann)
        sock = narrow(server.root)
        options: dict[str, Any] = {"max_queue": 1, "sock": sock}
        async with wire(server.ws_url, ann) as quick, wire(server.ws_url, ann, **options) as slow:
            for each in (quick, slow):
                await follow(each, channel, None)
            await flood(quick, channel)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**18)  # or reading takes 5 s
            seen = await slow.until(seq=1000)
            assert [frame["seq"] for frame in seen] == list(range(1, 1001))


async def flood(sender: Wire, channel: int) -> None:
    """More than any kernel keeps for one who does not read; all of it is acked."""
    for i in range(0, 1000, 50):
        for n in range(i, i + 49):
            await sender.send({"t": "send", "ref": n, "ch": channel, "content": "x" * 4000})
        await say(sender, channel, "x" * 4000)


def narrow(url: str) -> socket.socket:
    """A connected socket that takes little unread."""
    host, _, port = url.removeprefix("http://").partition(":")
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.connect((host, int(port)))
    made.setblocking(False)
    return made


@pytest.mark.skipif(sys.platform != "linux", reason="SO_RCVBUF is not kept so small elsewhere")
async def test_a_client_that_takes_nothing_is_given_up_and_does_not_hold_up_the_end(
    files: Path, database_url: str
) -> None:
    """Its place in the chat is free at the deadline; uvicorn cuts it when its own time is over."""
    settings = {**NARROW, "slow_deadline_ms": 500}
    arguments = [*APP, *LOGGED, "--timeout-graceful-shutdown=1"]
    async with (
        outer(arguments, database_url, files, settings=settings) as server,
        People(database_url) as people,
        httpx2.AsyncClient(base_url=server.url) as http,
    ):
        ann, bob = await people.new("ann"), await people.new("bob")
        channel = await new_channel(http, ann, bob)
        options: dict[str, Any] = {"max_queue": 1, "sock": narrow(server.root)}
        async with wire(server.ws_url, bob, **options) as stuck, wire(server.ws_url, ann) as sender:
            await follow(stuck, channel, None)
            await flood(sender, channel)
            async with asyncio.timeout(5):
                while bob.id not in {line["user"] for line in server.events("disconnected")}:
                    await asyncio.sleep(0.05)
            assert server.events("client too slow")
            await sender.alive()
            log = await server.stop(5)
            assert "task failed" not in log
            assert (await stuck.closed())[0] == 1006


async def test_processes_find_each_other_by_redis(
    files: Path, database_url: str, valkey: PrivateValkey | Given
) -> None:
    """Two workers on one port; nobody waits for the next look at the heads, a minute away."""
    settings = {"redis_urls": valkey.url, "bus_prefix": "embedding", "head_check_ms": 60_000}
    arguments = [*APP, *LOGGED, "--workers=2"]
    async with (
        outer(arguments, database_url, files, settings=settings) as server,
        People(database_url) as people,
        httpx2.AsyncClient(base_url=server.url) as http,
        contextlib.AsyncExitStack() as sockets,
    ):
        await eventually(lambda: len(server.events("started")) == 2)
        ann = await people.new("ann")
        channel = await new_channel(http, ann)
        first = await sockets.enter_async_context(wire(server.ws_url, ann))
        await follow(first, channel, None)

        def on_both() -> bool:  # each process counts its connections
            return [line["connection"] for line in server.events("connected")].count(1) == 2

        last = first
        async with asyncio.timeout(10):
            while not on_both():
                last = await sockets.enter_async_context(wire(server.ws_url, ann))
        await follow(last, channel, None)
        await say(first, channel, "from one")
        assert (await last.until(t="msg"))[-1]["content"] == "from one"
        await say(last, channel, "from the other")
        await first.until(t="msg", content="from the other")
        server.process.terminate()
        await server.ended(10)
        assert "Traceback" not in server.log()
