"""Ready-made frames through uvicorn, and the same app on servers that know nothing of them."""

import asyncio
import contextlib
import gc
import re
import socket
import sys
import weakref
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx2
import msgspec
import orjson
import pytest
import uvicorn

from rtchat.api.link import AsgiLink
from rtchat.app import App
from rtchat.config import Config
from rtchat.server.run import Server, uvicorn_config
from rtchat.server.upgrade import ServerLink
from tests.people import People
from tests.raw import CLOSE, CONT, PING, TEXT, eventually, frame, handshake, raw
from tests.sockets import Wire, wire
from tests.world import SECRET


@pytest.fixture(scope="module")
def database_url(module_database_url: str) -> str:
    """One database for all: each test makes people and channels of its own."""
    return module_database_url


COMMANDS = (b"ping", b"sub", b"ping", b"ping")


class Running:
    """An app on a uvicorn in this process."""

    def __init__(self, app: App, server: uvicorn.Server, url: str) -> None:
        self.app = app
        self.server = server
        self.url = url
        self.ws_url = url.replace("http", "ws") + "/ws"

    def links(self) -> set[type]:
        assert self.app.services is not None
        return {type(c.link) for c in self.app.services.connections}


@contextlib.asynccontextmanager
async def running(database_url: str, *, stock: bool, **settings: Any) -> AsyncIterator[Running]:
    config = msgspec.structs.replace(
        Config(), database_url=database_url, secret_key=SECRET, bcrypt_cost=10, lanes=1,
        port=0, **settings,
    )  # fmt: skip
    app = App(config)
    server: uvicorn.Server
    if stock:
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="on"))
    else:
        timeout_ms = config.tcp_user_timeout_ms
        server = Server(uvicorn_config(app, config), app, shutdown_s=8, peer_timeout_ms=timeout_ms)
    with contextlib.ExitStack() as signals:  # the test's own loop keeps its signals
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
        signals.callback(lambda: None)
        task = asyncio.get_running_loop().create_task(server.serve())
        while not server.started:
            assert not task.done()
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        try:
            yield Running(app, server, f"http://127.0.0.1:{port}")
        finally:
            server.should_exit = True
            await task


@pytest.mark.parametrize("stock", [False, True], ids=["own server", "stock uvicorn"])
async def test_the_app_is_the_same_with_and_without_ready_made_frames(
    database_url: str, stock: bool
) -> None:
    """Messages, order and close codes do not depend on the server; only the link does."""
    async with (
        running(database_url, stock=stock) as server,
        People(database_url, SECRET) as people,
        httpx2.AsyncClient(base_url=server.url) as http,
    ):
        ann = await people.new("ann")
        body = {"name": "x", "type": "public"}
        channel = (await http.post("/channels", json=body, headers=ann.headers)).json()["id"]
        async with wire(server.ws_url, ann) as one, wire(server.ws_url, ann) as two:
            assert server.links() == {AsgiLink if stock else ServerLink}
            for each in (one, two):
                await each.ask({"t": "sub", "ref": 1, "ch": {str(channel): None}})
            for i in range(30):
                content = "x" * (i * 100 + 1)
                await one.send({"t": "send", "ref": i, "ch": channel, "content": content})
            frames = [f for f in await one.until(t="msg", seq=30) if f["t"] == "ack"]
            assert [f["seq"] for f in frames] == list(range(1, 31))
            seen = await two.until(seq=30)
            assert [len(f["content"]) for f in seen] == [i * 100 + 1 for i in range(30)]
            await http.post("/auth/logout", json={"refreshToken": ann.refresh_token})
            assert (await one.closed())[0] == 4004


@pytest.mark.parametrize("stock", [False, True], ids=["own server", "stock uvicorn"])
async def test_a_client_that_does_not_read_delays_nobody(database_url: str, stock: bool) -> None:
    """Its socket fills up and it leaves the fan-out; when it reads again it has missed nothing."""
    marks = {"write_high_bytes": 16_384, "write_low_bytes": 4_096, "sends_per_second": 0}
    async with (
        running(database_url, stock=stock, **marks) as server,
        People(database_url, SECRET) as people,
        httpx2.AsyncClient(base_url=server.url) as http,
    ):
        ann = await people.new("ann")
        body = {"name": "x", "type": "public"}
        channel = (await http.post("/channels", json=body, headers=ann.headers)).json()["id"]
        slow_options = {"max_queue": 1, "sock": small_socket(server.url)}
        async with (
            wire(server.ws_url, ann) as quick,
            wire(server.ws_url, ann, **slow_options) as slow,
        ):
            for each in (slow, quick):
                await each.ask({"t": "sub", "ref": 1, "ch": {str(channel): None}})
            await talk(quick, channel)
            assert server.app.services is not None
            paused = [c for c in server.app.services.connections if c.paused]
            assert len(paused) == 1
            seen = await slow.until(seq=1000)
            assert [f["seq"] for f in seen] == list(range(1, 1001))


@pytest.mark.parametrize("piece", [10**6, 7, 1], ids=["at once", "in pieces", "byte by byte"])
@pytest.mark.parametrize("stock", [False, True], ids=["own server", "stock uvicorn"])
async def test_commands_are_answered_in_their_order(
    database_url: str, stock: bool, piece: int
) -> None:
    """Whether they can be served on the spot or take waiting, in one frame or in fragments."""
    async with (
        running(database_url, stock=stock) as server,
        People(database_url, SECRET) as people,
        raw(int(server.url.rpartition(":")[2])) as client,
    ):
        await client.upgrade(await people.new("ann"))
        data = b"".join(map(four_commands, range(0, 20, 4)))
        for at in range(0, len(data), piece):
            await client.send(data[at : at + piece])
            await asyncio.sleep(0)  # the loop is the server's too: it reads piece by piece
        await client.until(b'"ref":19')
        answered = re.findall(rb'"t":"(\w+)","ref":(\d+)', bytes(client.received))
    kinds = [b"pong", b"ok", b"pong", b"pong"]
    assert answered == [(kinds[ref % 4], b"%d" % ref) for ref in range(20)]


def four_commands(ref: int) -> bytes:
    """Three that are served on the spot, one that takes waiting; the last one in fragments."""
    texts = [b'{"t":"%b","ref":%d,"ch":{}}' % (t, ref + n) for n, t in enumerate(COMMANDS)]
    *whole, last = texts
    fragments = frame(TEXT, last[:9], fin=False) + frame(PING, b"-") + frame(CONT, last[9:])
    return b"".join(frame(TEXT, text) for text in whole) + fragments


async def talk(socket: Wire, channel: int) -> None:
    """Send a thousand long messages: more than any kernel keeps for one who does not read."""
    for i in range(1000):
        await socket.send({"t": "send", "ref": i, "ch": channel, "content": "x" * 4000})
        if i % 50 == 49:
            await socket.until(t="ack", ref=i)


def small_socket(url: str) -> socket.socket:
    """A connected socket that takes little unread."""
    host, _, port = url.removeprefix("http://").partition(":")
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.connect((host, int(port)))
    made.setblocking(False)
    return made


async def test_where_writes_have_no_limit_frames_have_none(database_url: str) -> None:
    """Else the one would be the other; what floods a socket is then for the operator to say."""
    async with (
        running(database_url, stock=False, sends_per_second=0, commands_per_second=1) as server,
        People(database_url, SECRET) as people,
        wire(server.ws_url, await people.new("ann")) as socket,
    ):
        for _ in range(300):
            await socket.alive()


async def test_frames_may_be_twice_as_many_as_writes(database_url: str) -> None:
    """However low their own limit is; then they are a flood."""
    limits = {"sends_per_second": 50, "sends_burst": 50, "commands_per_second": 1}
    async with (
        running(database_url, stock=False, **limits) as server,
        People(database_url, SECRET) as people,
        wire(server.ws_url, await people.new("ann")) as socket,
    ):
        for _ in range(400):
            await socket.alive()
        for _ in range(2000):
            await socket.send({"t": "ping", "ref": 1})
        assert (await socket.closed())[0] == 4008


async def test_the_reason_of_a_close_arrives_before_the_end(database_url: str) -> None:
    """Though the client goes on sending: a reset would overtake the close."""
    async with running(database_url, stock=False) as server, People(database_url, SECRET) as people:
        port = int(server.url.rpartition(":")[2])
        async with raw(port) as client:
            await client.upgrade(await people.new("ann"))
            big = b"\x81\xff" + (2**21).to_bytes(8) + bytes(4) + b"x" * 2**21
            await client.send(big)
            await client.rest()
            assert client.close_code() == 1009


@pytest.mark.skipif(sys.platform != "linux", reason="TCP_USER_TIMEOUT is Linux's")
async def test_sockets_have_the_peer_timeout(database_url: str) -> None:
    """Of the listening socket, and so from their first byte on; WebSockets are done with it."""
    async with (
        running(database_url, stock=False, tcp_user_timeout_ms=4321) as server,
        raw(int(server.url.rpartition(":")[2])) as client,
    ):
        await client.send(b"GET")
        while not server.server.server_state.connections:
            await asyncio.sleep(0.01)
        (served,) = server.server.server_state.connections
        accepted = served.transport.get_extra_info("socket")
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 4321
        await client.send(handshake().removeprefix(b"GET"))
        await client.until(b"101")
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 0


async def test_stopping_does_not_wait_for_a_stuck_client(database_url: str) -> None:
    """Its close frame cannot be delivered, so it is cut; the server ends within its time."""
    async with People(database_url, SECRET) as people:
        ann = await people.new("ann")
        async with running(database_url, stock=False, sends_per_second=0) as server:
            async with httpx2.AsyncClient(base_url=server.url) as http:
                body = {"name": "x", "type": "public"}
                answer = await http.post("/channels", json=body, headers=ann.headers)
                channel = answer.json()["id"]
            options = {"max_queue": 1, "sock": small_socket(server.url)}
            async with wire(server.ws_url, ann, **options) as stuck:
                await stuck.ask({"t": "sub", "ref": 1, "ch": {str(channel): None}})
                async with wire(server.ws_url, ann) as quick:
                    await talk(quick, channel)
                assert server.app.services is not None
                assert [c.paused for c in server.app.services.connections] == [True]
                server.server.should_exit = True
                async with asyncio.timeout(5):
                    while server.app.services.connections or server.server.server_state.connections:
                        await asyncio.sleep(0.05)


async def test_what_has_ended_is_freed_without_the_collector(database_url: str) -> None:
    """However it ended: by the client, well or not, by us, or refused."""
    async with running(database_url, stock=False) as server, People(database_url, SECRET) as people:
        ann = await people.new("ann")
        port = int(server.url.rpartition(":")[2])
        refs: list[weakref.ref[Any]] = []

        def note() -> None:
            refs.extend(map(weakref.ref, server.server.server_state.connections))

        gc.collect()
        gc.disable()
        try:
            async with wire(server.ws_url, ann) as socket:
                await socket.alive()
                note()
            async with raw(port) as client:
                await client.upgrade(ann)
                note()
            async with raw(port) as client:
                await client.upgrade(ann)
                note()
                await client.send(frame(CLOSE, (1000).to_bytes(2)))
                await client.rest()
            async with raw(port) as client:
                await client.send(handshake(path="/nowhere"))
                await client.until(b"404")
                note()
            async with httpx2.AsyncClient(base_url=server.url) as http:
                async with wire(server.ws_url, ann) as socket:
                    note()
                    await http.post("/auth/logout", json={"refreshToken": ann.refresh_token})
                    assert (await socket.closed())[0] == 4004
                note()
            assert len(refs) >= 5
            await eventually(lambda: not server.server.server_state.connections)
            await eventually(lambda: [ref() for ref in refs if ref() is not None] == [], 5)
        finally:
            gc.enable()


@pytest.mark.parametrize("stock", [False, True], ids=["own server", "stock uvicorn"])
async def test_no_more_is_accepted_than_may_be_unanswered(database_url: str, stock: bool) -> None:
    """The rest waits where it came from, and has its turn when answers have left."""
    async with (
        running(database_url, stock=stock, sends_in_flight=2) as server,
        People(database_url, SECRET) as people,
        httpx2.AsyncClient(base_url=server.url) as http,
    ):
        ann = await people.new("ann")
        body = {"name": "x", "type": "public"}
        channel = (await http.post("/channels", json=body, headers=ann.headers)).json()["id"]
        other = await asyncpg.connect(database_url)
        async with wire(server.ws_url, ann) as socket:
            transaction = other.transaction()
            await transaction.start()
            await other.execute("LOCK TABLE messages IN ACCESS EXCLUSIVE MODE")
            for ref in range(9):
                await socket.send({"t": "send", "ref": ref, "ch": channel, "content": "x"})
            assert server.app.services is not None
            (connection,) = server.app.services.connections
            await eventually(lambda: connection.unanswered >= 2)
            await asyncio.sleep(0.2)
            assert connection.unanswered == 2
            await transaction.rollback()
            assert [f["ref"] for f in await socket.until(ref=8)] == list(range(9))
        await other.close()


async def test_who_is_held_back_need_not_be_heard(database_url: str) -> None:
    """While a socket's writes wait for the database it is not read, and its pongs are not seen."""
    settings = {"heartbeat_s": 1, "heartbeat_timeout_s": 1, "sends_in_flight": 1}
    async with (
        running(database_url, stock=False, **settings) as server,
        People(database_url, SECRET) as people,
        httpx2.AsyncClient(base_url=server.url) as http,
    ):
        ann = await people.new("ann")
        body = {"name": "x", "type": "public"}
        channel = (await http.post("/channels", json=body, headers=ann.headers)).json()["id"]
        other = await asyncpg.connect(database_url)
        async with wire(server.ws_url, ann) as socket:
            transaction = other.transaction()
            await transaction.start()
            await other.execute("LOCK TABLE messages IN ACCESS EXCLUSIVE MODE")
            for ref in range(3):
                await socket.send({"t": "send", "ref": ref, "ch": channel, "content": "x"})
            await asyncio.sleep(4)
            await transaction.rollback()
            await socket.until(ref=2)
            await socket.alive()
        await other.close()


async def test_an_application_that_fails_is_told_of_like_any_failure(database_url: str) -> None:
    """Before the 101: a problem with the headers of every answer, and nothing of the failure."""

    async def fail(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("of db-7.internal")

    async with running(database_url, stock=False) as served:
        served.app._ws = fail  # type: ignore[assignment]
        async with raw(int(served.url.rpartition(":")[2])) as client:
            await client.send(handshake())
            head, _, body = (await client.rest()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 500 ")
    assert b"content-security-policy: default-src 'none'" in head
    assert orjson.loads(body)["code"] == "internal"
    assert b"db-7" not in head + body
