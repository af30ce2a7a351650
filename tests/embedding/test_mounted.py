"""The app in another's lifespan: begun, forgotten, failed, ended, begun again; and its prefix."""

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from rtchat.api.asgi import path_of
from rtchat.api.link import AsgiLink
from rtchat.app import App, NotRunningError, create_app
from rtchat.config import Config, ConfigError
from rtchat.errors import ChatError, Code
from rtchat.tasks import Tasks
from tests.embedding.conversation import talk, talk_to_the_end
from tests.embedding.outer import Outer, outer
from tests.people import People
from tests.pods import SECRET_KEY
from tests.raw import eventually
from tests.services import Databases
from tests.sockets import wire
from tests.world import World

FORGOTTEN = ["tests.embedding.app_forgotten:app"]
WATCHED = ["tests.embedding.app_watched:app"]


def config(database_url: str) -> Config:
    return msgspec.structs.replace(
        Config(), database_url=database_url, secret_key=SECRET_KEY, lanes=1
    )


@pytest.fixture
def bare_database_url(databases: Databases) -> Iterator[str]:
    """A database without a schema."""
    with databases.fresh(migrated=False) as url:
        yield url


# --- whole processes


async def test_nothing_is_left_running(tmp_path: Path, database_url: str) -> None:
    """Mounted, stopped with sockets open: no task outlives `running`."""
    async with outer(WATCHED, database_url, tmp_path, prefix="/chat") as server:
        await talk(server)
        await talk_to_the_end(server)
        assert "left behind: []" in server.log()


async def test_a_forgotten_lifespan_is_told_with_the_way_to_mend_it(
    tmp_path: Path, database_url: str
) -> None:
    async with (
        outer(FORGOTTEN, database_url, tmp_path, prefix="/chat") as server,
        httpx2.AsyncClient(base_url=server.url) as http,
    ):
        assert (await http.get("/healthz")).status_code == 500
        await eventually(lambda: "NotRunningError: rtchat is not running." in server.log())
        assert "FastAPI(lifespan=chat.lifespan)" in server.log()


@pytest.mark.parametrize("arguments", [WATCHED, ["--factory", "rtchat.app:create_app"]])
async def test_without_a_schema_the_start_fails_and_says_what_to_do(
    arguments: list[str], tmp_path: Path, bare_database_url: str
) -> None:
    """As uvicorn ends where a lifespan fails, with 3."""
    server = Outer(arguments, bare_database_url, tmp_path)
    try:
        assert await server.ended(20) == 3
    finally:
        server.kill()
    assert "run `rtchat migrate` first" in server.log()
    assert "Application startup failed. Exiting." in server.log()


async def test_a_prefix_may_be_taken_away_before_or_not(tmp_path: Path, database_url: str) -> None:
    """FastAPI's `root_path`: the proxy in front hands paths on as they are, or without it."""
    environ = {"OUTER_ROOT_PATH": "/api"}
    async with outer(WATCHED, database_url, tmp_path, environ=environ) as server:
        for prefix in ("/api/chat", "/chat"):
            async with httpx2.AsyncClient(base_url=server.root + prefix) as http:
                assert (await http.get("/readyz")).json() == {"status": "ready"}
                assert (await http.get("/nowhere")).json()["code"] == "not_found"


async def test_the_pre_stop_call_drains_below_the_mount(tmp_path: Path, database_url: str) -> None:
    """uvicorn itself closes without a word; whoever calls this first sends its clients away."""
    token = "0123456789abcdef"
    settings = {"internal_token": token}
    async with (
        outer(WATCHED, database_url, tmp_path, prefix="/chat", settings=settings) as server,
        People(database_url) as people,
        httpx2.AsyncClient(base_url=server.url) as http,
        wire(server.ws_url, await people.new("ann")) as socket,
    ):
        headers = {"Authorization": f"Bearer {token}"}
        drained = await http.post("/internal/drain", headers=headers)
        assert drained.json() == {"status": "drained"}
        code, frames = await socket.closed()
        assert (code, [f["t"] for f in frames]) == (4201, ["bye"])
        assert (await http.get("/readyz")).status_code == 503
        await server.stop()


@pytest.mark.parametrize(
    ("path", "root", "outer_root", "found"),
    [
        ("/ws", "", None, "/ws"),
        ("/chat/ws", "/chat", None, "/ws"),
        ("/chat//ws", "/chat/", None, "/ws"),
        ("/api/chat/ws", "/api/chat", "/api", "/ws"),
        ("/chat/ws", "/api/chat", "/api", "/ws"),  # the proxy took /api away
        ("/chatter/ws", "/chat", "", "/chatter/ws"),
        ("/ws", "/api", "/api", "/ws"),  # taken away, and not mounted
        ("/elsewhere/ws", "/api/chat", "/api", "/elsewhere/ws"),
    ],
)
def test_the_path_is_what_is_below_the_mount(
    path: str, root: str, outer_root: str | None, found: str
) -> None:
    scope: dict[str, Any] = {"path": path, "raw_path": path.encode(), "root_path": root}
    if outer_root is not None:
        scope["app_root_path"] = outer_root
    assert path_of(scope) == found


# --- one process


async def test_it_runs_again_after_its_end_but_not_twice_at_once(database_url: str) -> None:
    chat = App(config(database_url))
    with pytest.raises(NotRunningError):
        _ = chat.services
    async with People(database_url) as people:
        ann = await people.new("ann")
    for _ in range(2):
        async with chat.running() as services:
            assert chat.services is services
            identity = services.sessions.authenticate(ann.token)
            assert (await services.sessions.user_of(identity)).name == "ann"
            with pytest.raises(RuntimeError, match="runs already"):
                await chat.running().__aenter__()
        with pytest.raises(NotRunningError):
            await chat({"type": "http"}, nothing_comes, nobody_hears)
        with pytest.raises(NotRunningError):
            await chat({"type": "websocket"}, nothing_comes, nobody_hears)


async def test_what_was_accepted_when_the_lifespan_ended_is_answered(database_url: str) -> None:
    """Whoever sends for a user, and whose process ends, knows what became of it."""
    chat, tasks = App(config(database_url)), Tasks("test")
    async with chat.running() as services:
        world = World(chat, services)
        user = await world.person()
        channel = await world.channel(user)
        sending = [tasks.start(services.chat.send(user, channel, "x", f"{i}")) for i in range(100)]
        await asyncio.sleep(0)
    async with asyncio.timeout(1):
        assert [(await sent)[0].seq for sent in sending] == list(range(1, 101))
    with pytest.raises(ChatError) as late:
        await services.chat.send(user, channel, "x", "late")
    assert late.value.code is Code.DRAINING


async def test_sockets_that_are_open_when_the_lifespan_ends_are_drained(database_url: str) -> None:
    """By servers that tell the app first; uvicorn has closed them by then."""
    chat, tasks = App(config(database_url)), Tasks("test")
    async with People(database_url) as people:
        ann = await people.new("ann")
    sent: list[dict[str, Any]] = []
    scope = {
        "type": "websocket", "path": "/ws", "scheme": "ws", "subprotocols": [],
        "headers": [(b"authorization", f"Bearer {ann.token}".encode())],
    }  # fmt: skip
    events = [{"type": "websocket.connect"}]

    async def receive() -> Any:
        return events.pop() if events else await nothing_comes()

    async def send(event: Any) -> None:
        sent.append(event)

    async with chat.running() as services:
        serving = tasks.start(chat(scope, receive, send))
        while not len(services.connections):
            await asyncio.sleep(0.01)
    async with asyncio.timeout(1):
        await serving
    *_, bye, close = sent
    assert '"t":"bye","code":4201' in bye["text"]
    assert (close["type"], close["code"]) == ("websocket.close", 4201)


async def nothing_comes() -> Any:
    await asyncio.Event().wait()


async def nobody_hears(_: Any) -> None:
    raise AssertionError("an answer")


# --- the link's end


@pytest.mark.parametrize("how", ["closed", "dropped"])
async def test_whoever_waits_for_a_client_is_told_of_the_end_that_we_made(how: str) -> None:
    """A server need not: then a socket that was given up would be served for ever."""
    tasks = Tasks("test")

    async def send(_: Any) -> None:
        """It leaves."""

    link = AsgiLink(send, tasks, high_bytes=1000, low_bytes=100)
    receive = link.receiver(nothing_comes)

    async def wait() -> str:
        kind: str = (await receive())["type"]
        return kind

    waiting = tasks.start(wait())
    await asyncio.sleep(0)
    if how == "closed":
        await link.send({"type": "websocket.close", "code": 4004})
    else:
        link.abort()
    async with asyncio.timeout(1):
        assert await waiting == await wait() == "websocket.disconnect"
    await tasks.close()


async def test_a_server_s_own_timeout_is_not_taken_for_that() -> None:
    tasks = Tasks("test")

    async def late() -> Any:
        raise TimeoutError

    link = AsgiLink(nobody_hears, tasks, high_bytes=1000, low_bytes=100)
    with pytest.raises(TimeoutError):
        await link.receiver(late)()
    with contextlib.suppress(asyncio.CancelledError):
        await tasks.close()


# --- the factory


def test_the_factory_reads_the_variables_and_makes_nothing_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handlers = list(logging.getLogger().handlers)
    monkeypatch.setenv("RTCHAT_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    monkeypatch.setenv("RTCHAT_SECRET_KEY", SECRET_KEY)
    monkeypatch.setenv("RTCHAT_SUBS_MAX", "7")
    assert create_app().config.subs_max == 7
    assert logging.getLogger().handlers == handlers


def test_the_factory_refuses_what_serve_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RTCHAT_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    monkeypatch.setenv("RTCHAT_SECRET_KEY", "changeme-changeme-changeme-changeme-1")
    with pytest.raises(ConfigError, match="sample"):
        create_app()
