"""A place to talk: a pod, its people, their channels and sockets."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx2

from tests import documented
from tests.people import People, Person
from tests.pods import Pod
from tests.sockets import Wire, wire

Frame = dict[str, Any]


class Place:
    """A pod, people, and channels for them."""

    def __init__(self, pod: Pod, people: People, http: httpx2.AsyncClient) -> None:
        self.pod, self.people, self.http = pod, people, http

    async def several(self, count: int) -> list[Person]:
        return await self.people.several(count)

    async def channel(self, owner: Person, *members: Person, kind: str = "public") -> int:
        body = {"name": "room", "type": kind, "members": [m.id for m in members]}
        answer = await self.http.post("/channels", json=body, headers=owner.headers)
        assert answer.status_code == 201, answer.text
        return int(answer.json()["id"])

    async def seen(self, person: Person, channel: int) -> tuple[int, int]:
        """`readSeq` and `unread`."""
        answer = await self.http.get(f"/channels/{channel}", headers=person.headers)
        return answer.json()["readSeq"], answer.json()["unread"]

    async def has_read(self, person: Person, channel: int, seq: int) -> bool:
        return (await self.seen(person, channel))[0] == seq

    async def message(self, person: Person, channel: int, *contents: str) -> None:
        for content in contents:
            body = {"content": content}
            path = f"/channels/{channel}/messages"
            answer = await self.http.post(path, json=body, headers=person.headers)
            assert answer.status_code == 201

    @contextlib.asynccontextmanager
    async def socket(
        self, person: Person, *channels: int, pod: Pod | None = None
    ) -> AsyncIterator[Wire]:
        """A socket that follows these channels."""
        async with wire((pod or self.pod).ws_url, person) as opened:
            if channels:
                sub = {"t": "sub", "ref": 1, "ch": dict.fromkeys(map(str, channels))}
                await opened.send(sub)
                await opened.until(t="ok")
            yield opened


@contextlib.asynccontextmanager
async def place_on(pod: Pod) -> AsyncIterator[Place]:
    async with (
        People(pod.database_url) as people,
        httpx2.AsyncClient(base_url=pod.url, timeout=20) as http,
    ):
        documented.watch(http)
        yield Place(pod, people, http)


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await holds():
            await asyncio.sleep(0.02)


def presence(person: Person, status: str) -> Frame:
    return {"t": "presence", "user": person.id, "status": status}
