"""What the tests of single faults share: pods on one database and one bus, REST in few words.

Owns: the parts of one scene, from start to end. A test makes people and channels of its own, so
that a module can share the pods.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import httpx2

from tests.people import People, Person
from tests.pods import Pod, Pods
from tests.sockets import Wire

PATIENCE_S = 20.0  # for what comes in milliseconds, on busy cores


class Scene:
    """Pods, people, and a connection to their database."""

    def __init__(self, pods: list[Pod], people: People, sql: asyncpg.Connection) -> None:
        self.pods = pods
        self.people = people
        self.sql = sql
        # The server closes what is idle for 5 s; a request must not be on its way just then.
        limits = httpx2.Limits(keepalive_expiry=2)
        self._http = {
            pod: httpx2.AsyncClient(base_url=pod.url, limits=limits, timeout=PATIENCE_S)
            for pod in pods
        }

    @property
    def pod(self) -> Pod:
        """The first one."""
        return self.pods[0]

    async def call(
        self,
        person: Person | None,
        method: str,
        path: str,
        json: Any = None,
        pod: Pod | None = None,
    ) -> httpx2.Response:
        """Ask a pod over REST, the first one by default."""
        headers = person.headers if person is not None else {}
        http = self._http[pod or self.pod]
        return await http.request(method, path, json=json, headers=headers)

    async def channel(self, owner: Person, *members: Person, kind: str = "public") -> int:
        """Make a channel."""
        body = {"name": "x", "type": kind, "members": [m.id for m in members]}
        made = await self.call(owner, "POST", "/channels", body)
        assert made.status_code == 201, made.text
        return int(made.json()["id"])

    async def log(self, channel: int) -> list[asyncpg.Record]:
        """What is stored of a channel, in order."""
        rows: list[asyncpg.Record] = await self.sql.fetch(
            "SELECT seq, kind, user_id, target, content, nonce,"
            " (extract(epoch FROM timestamp) * 1000)::bigint AS ts"
            " FROM messages WHERE channel_id = $1 ORDER BY seq",
            channel,
        )
        return rows

    async def texts(self, channel: int) -> list[str]:
        """The contents of a channel's messages, in order."""
        return [row["content"] for row in await self.log(channel) if row["kind"] == 1]

    async def close(self) -> None:
        """End the clients and the pods."""
        for http in self._http.values():
            await http.aclose()
        for pod in self.pods:
            pod.kill()


@contextlib.asynccontextmanager
async def scene(
    pods: Pods,
    database_url: str,
    count: int = 1,
    module: str = "rtchat",
    direct_url: str | None = None,
    **settings: Any,
) -> AsyncIterator[Scene]:
    """Start so many pods with these settings; end them.

    `direct_url`: the database's own, where that of the pods leads through something.
    """
    settings = {"bus_prefix": f"rows-{secrets.token_hex(4)}", "sends_per_second": 0, **settings}
    started = [pods.spawn(database_url, module=module, **settings) for _ in range(count)]
    for pod in started:
        await pod.listening()
    sql = await asyncpg.connect(direct_url or database_url)
    async with People(direct_url or database_url) as people:
        made = Scene(started, people, sql)
        try:
            yield made
        finally:
            await made.close()
            await sql.close()


async def within(limit_s: float, what: Awaitable[Any]) -> Any:
    """Await it, and assert that it took no longer."""
    began = time.monotonic()
    async with asyncio.timeout(limit_s + PATIENCE_S):  # then say how long it took, if it ends
        result = await what
    took = time.monotonic() - began
    assert took < limit_s, f"took {took:.2f} s"
    return result


async def eventually(holds: Callable[[], Awaitable[bool]], limit_s: float = PATIENCE_S) -> None:
    """Ask again and again until it holds."""
    async with asyncio.timeout(limit_s):
        while not await holds():
            await asyncio.sleep(0.02)


def message(ref: Any, channel: int, content: str, nonce: str | None = None) -> dict[str, Any]:
    """A `send` frame."""
    frame = {"t": "send", "ref": ref, "ch": channel, "content": content}
    return frame if nonce is None else {**frame, "nonce": nonce}


async def follow(one: Wire, channel: int, cursor: int | None = None) -> int:
    """Subscribe; returns the head."""
    answer = await one.ask({"t": "sub", "ref": "sub", "ch": {str(channel): cursor}})
    return int(answer["ch"][str(channel)]["head"])


async def answers(one: Wire, refs: set[Any]) -> dict[Any, dict[str, Any]]:
    """Read until each of these is answered."""
    found: dict[Any, dict[str, Any]] = {}
    while refs - found.keys():
        frame = await one.recv()
        if frame["t"] in ("ack", "error", "ok", "pong"):
            found[frame.get("ref")] = frame
    return found
