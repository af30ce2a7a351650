"""Ready-made frames through uvicorn, and the same app on servers that know nothing of them."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import msgspec
import pytest
import uvicorn

from rtchat.api.link import AsgiLink
from rtchat.app import App
from rtchat.config import Config
from rtchat.server.run import Server, uvicorn_config
from rtchat.server.websocket import ServerLink
from tests.people import People
from tests.sockets import Wire, wire
from tests.world import SECRET


@pytest.fixture(scope="module")
def database_url(module_database_url: str) -> str:
    """One database for all: each test makes people and channels of its own."""
    return module_database_url


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
        server = Server(uvicorn_config(app, config), app, shutdown_s=8)
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
