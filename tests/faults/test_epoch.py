"""F50: a restored database under running pods. Who is there learns of it, starts over, and goes on.

The restore is a real one: a copy of the database as it was takes the place of the one that the pods
use, while they run.
"""

import asyncio
import os
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx2
import pytest

from rtchat.client import Client, Msg, Reset
from rtchat.server.valkey import PrivateValkey
from tests.people import People, Person
from tests.pods import Pod, Pods
from tests.services import Given
from tests.sockets import Wire, wire

SETTINGS: dict[str, Any] = {"head_check_ms": 300, "drain_return_ms": 200, "sends_per_second": 0}
PATIENCE_S = 20.0


class Backup:
    """A copy of a database, made while pods run on it, and put in its place later."""

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._name = self._parts.path[1:]
        self._copy = f"{self._name}_copy"
        self.url = self._parts._replace(path=f"/{self._copy}").geturl()

    async def _run(self, *statements: str) -> None:
        connection = await asyncpg.connect(self._parts._replace(path="/postgres").geturl())
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    async def make(self) -> None:
        """Copy; connections are refused for that moment."""
        await self._run(
            f"ALTER DATABASE {self._name} WITH ALLOW_CONNECTIONS false",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            f" WHERE datname = '{self._name}'",
            f"CREATE DATABASE {self._copy} TEMPLATE {self._name}",
            f"ALTER DATABASE {self._name} WITH ALLOW_CONNECTIONS true",
        )

    async def restore(self) -> None:
        """Put the copy in the place of the original."""
        await self._run(
            f"DROP DATABASE {self._name} WITH (FORCE)",
            f"ALTER DATABASE {self._copy} RENAME TO {self._name}",
        )


async def command(url: str, *arguments: str) -> tuple[int, str]:
    """Run `rtchat epoch …`; its status and what it prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "rtchat", "epoch", *arguments,
        env={**os.environ, "RTCHAT_DATABASE_URL": url},
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode().strip()


@pytest.fixture
async def pair(
    database_url: str, valkey: PrivateValkey | Given, pods: Pods
) -> AsyncIterator[tuple[Pod, Pod]]:
    """Two pods on a database that may be replaced."""
    settings = {"redis_urls": valkey.url, "bus_prefix": f"epoch-{secrets.token_hex(4)}"}
    pair = [pods.spawn(database_url, **SETTINGS, **settings) for _ in range(2)]
    for pod in pair:
        await pod.listening()
    yield pair[0], pair[1]
    for pod in pair:
        pod.kill()


@pytest.fixture
async def person(database_url: str) -> Person:
    async with People(database_url) as people:
        return await people.new("ann")


async def ask(pod: Pod, person: Person, method: str, path: str, **body: Any) -> Any:
    async with httpx2.AsyncClient(base_url=pod.url, timeout=20, headers=person.headers) as http:
        answer = await http.request(method, path, json=body or None)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()


async def history(pod: Pod, person: Person, channel: int) -> list[tuple[int, str]]:
    found = await ask(pod, person, "GET", f"/channels/{channel}/messages")
    return [(message["seq"], message["content"]) for message in found["items"]]


@asynccontextmanager
async def greeted(pod: Pod, person: Person) -> AsyncIterator[tuple[Wire, str]]:
    """A socket, and the epoch that its `hello` tells."""
    async with wire(pod.ws_url, additional_headers=person.headers) as socket:
        yield socket, (await socket.recv())["epoch"]


async def say(socket: Wire, channel: int, content: str) -> int:
    """Send until it is stored; returns its seq. What else arrives meanwhile is lost on us."""
    nonce = secrets.token_hex(8)
    async with asyncio.timeout(PATIENCE_S):
        while True:
            frame = {"t": "send", "ref": nonce, "ch": channel, "content": content, "nonce": nonce}
            await socket.send(frame)
            answer = (await socket.until(ref=nonce))[-1]
            if answer["t"] == "ack":
                return int(answer["seq"])
            assert answer["retry"], answer
            await asyncio.sleep(0.1)


async def test_a_restored_backup_under_running_pods(
    pair: tuple[Pod, Pod], person: Person, database_url: str
) -> None:
    """Renewed before the pods see it: each live subscriber on each pod is reset and sent away, and
    comes back into the restored history, which goes on where the backup ended."""
    channel = (await ask(pair[0], person, "POST", "/channels", name="c", type="public"))["id"]
    backup = Backup(database_url)
    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(greeted(pod, person)) for pod in pair]
        old = sockets[0][1]
        assert sockets[1][1] == old
        for socket, _ in sockets:
            await socket.ask({"t": "sub", "ref": 1, "ch": {str(channel): 0}})
        (one, _), (two, _) = sockets
        for number in (1, 2, 3):
            assert await say(one, channel, f"kept {number}") == number
        await backup.make()
        assert await say(one, channel, "lost 4") == 4
        await two.until(seq=4)
        status, printed = await command(backup.url, "renew")
        assert status == 0
        await backup.restore()
        new = (await command(database_url))[1]
        assert printed == f"the epoch was {old} and is {new}"
        for socket, _ in sockets:
            code, frames = await socket.closed()
            assert code == 4201
            *before, reset, bye = frames
            assert all(frame.get("seq", 0) <= 4 for frame in before)
            assert reset == {"t": "reset", "ch": channel, "head": 3, "epoch": new}
            assert (bye["t"], bye["code"]) == ("bye", 4201)
            assert 0 <= bye["in"] <= 200
    await lives_on(pair, person, channel, old, new)


async def lives_on(pair: tuple[Pod, Pod], person: Person, channel: int, old: str, new: str) -> None:
    """The restored history, on both pods; a cursor of before is told that it is void."""
    kept = [(number, f"kept {number}") for number in (1, 2, 3)]
    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(greeted(pod, person)) for pod in pair]
        assert [epoch for _, epoch in sockets] == [new, new]
        for (socket, _), pod in zip(sockets, pair, strict=True):
            assert await history(pod, person, channel) == kept
            ok = await socket.ask({"t": "sub", "ref": 2, "ch": {str(channel): 2}, "epoch": old})
            assert ok["ch"] == {str(channel): {"head": 3}}
            assert (await socket.recv())["t"] == "reset"
            await socket.ask({"t": "sub", "ref": 3, "ch": {str(channel): 3}, "epoch": new})
        (one, _), (two, _) = sockets
        assert await say(two, channel, "new 4") == 4
        assert (await one.until(seq=4))[-1]["content"] == "new 4"
        assert await say(one, channel, "new 5") == 5
        assert (await two.until(seq=5))[-1]["content"] == "new 5"
        news = [(4, "new 4"), (5, "new 5")]
        assert await history(pair[0], person, channel) == [*kept, *news]


async def test_a_restore_without_renewing_is_noticed_and_can_be_mended(
    pair: tuple[Pod, Pod], person: Person, database_url: str
) -> None:
    """The heads went back under the same epoch: an error tells the operator what to do, the
    subscriptions are reset, the sockets stay. Renewing it later sends everybody away after all."""
    channel = (await ask(pair[0], person, "POST", "/channels", name="c", type="public"))["id"]
    backup = Backup(database_url)
    async with greeted(pair[0], person) as (one, old), greeted(pair[1], person) as (two, _):
        for socket in (one, two):
            await socket.ask({"t": "sub", "ref": 1, "ch": {str(channel): 0}})
        await say(one, channel, "kept 1")
        await backup.make()
        assert await say(one, channel, "lost 2") == 2
        await two.until(seq=2)
        await backup.restore()
        for socket, pod in zip((one, two), pair, strict=True):
            reset = (await socket.until(t="reset"))[-1]
            assert (reset["head"], reset["epoch"]) == (1, old)
            async with asyncio.timeout(5):  # the frame may be there before the line is
                while not any("rtchat epoch renew" in line["event"] for line in pod.events()):
                    await asyncio.sleep(0.02)
            await socket.ask({"t": "sub", "ref": 2, "ch": {str(channel): 1}, "epoch": old})
        assert await say(two, channel, "new 2") == 2
        assert (await one.until(seq=2))[-1]["content"] == "new 2"
        assert (await command(database_url, "renew"))[0] == 0
        for socket in (one, two):
            code, frames = await socket.closed()
            assert code == 4201
            assert [frame["t"] for frame in frames[-2:]] == ["reset", "bye"]


async def test_the_client_goes_on_in_the_restored_history(
    pair: tuple[Pod, Pod], person: Person, database_url: str
) -> None:
    """It tells its user once a channel, follows from REST's `lastSeq`, and sends go on."""
    channel = (await ask(pair[0], person, "POST", "/channels", name="c", type="public"))["id"]
    backup = Backup(database_url)
    seen: dict[int, list[Any]] = {0: [], 1: []}
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(
                Client(pod.ws_url, token=person.token, on_event=seen[number].append)
            )
            for number, pod in enumerate(pair)
        ]
        old = clients[0].epoch
        for client in clients:
            await client.subscribe({channel: 0})
        assert (await clients[0].send(channel, "kept 1")).seq == 1
        await backup.make()
        for number in range(2, 5):
            assert (await clients[0].send(channel, f"lost {number}")).seq == number
        await until(lambda: all(last_seq(events) == 4 for events in seen.values()))
        assert (await command(backup.url, "renew"))[0] == 0
        await backup.restore()
        await until(lambda: all(resets(events) for events in seen.values()))
        for client, events in zip(clients, seen.values(), strict=True):
            assert client.epoch != old
            reset = Reset(ch=channel, head=1, epoch=client.epoch, last_seq=1)
            assert resets(events) == [reset]
            events.clear()
        assert (await clients[1].send(channel, "new 2")).seq == 2
        assert (await clients[0].send(channel, "new 3")).seq == 3
        await until(lambda: all(last_seq(events) == 3 for events in seen.values()))
        for events in seen.values():
            told = [(e.seq, e.content) for e in events if isinstance(e, Msg)]
            assert told == [(2, "new 2"), (3, "new 3")]


def resets(events: list[Any]) -> list[Reset]:
    return [event for event in events if isinstance(event, Reset)]


def last_seq(events: list[Any]) -> int:
    return max((event.seq for event in events if isinstance(event, Msg)), default=0)


async def until(condition: Any) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.02)
