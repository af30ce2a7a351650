"""Fixtures and deeds of the chat's tests: a pod, people on it, and visitors at its page."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx2
import pytest

from tests.chromium import PATIENCE_MS
from tests.people import People, Person
from tests.pods import Pod, Pods
from tests.watched import DESKTOP
from tests.web.visitor import Visitor

Visit = Callable[..., Awaitable[Visitor]]
numbers = itertools.count(1)


@pytest.fixture(scope="module")
async def chat(pods: Pods, module_database_url: str) -> AsyncIterator[Pod]:
    """A pod on which nobody has been."""
    pod = await pods.start(module_database_url, presence=1)
    yield pod
    pod.kill()


@pytest.fixture(scope="module")
async def crowd(chat: Pod) -> AsyncIterator[People]:
    async with People(chat.database_url) as people:
        yield people


@pytest.fixture
async def rest(chat: Pod) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=chat.url, timeout=20) as http:
        yield http


@pytest.fixture
async def visit(chromium: Any, chat: Pod) -> AsyncIterator[Visit]:
    """Visitors, each with a browser profile; at the end none has done what nobody must."""
    visitors: list[Visitor] = []
    contexts: list[Any] = []

    async def visit(url: str = "", **settings: Any) -> Visitor:
        context = await chromium.new_context(viewport=DESKTOP, **settings)
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        visitor = Visitor(await context.new_page(), url or chat.url)
        await visitor.watch()
        visitors.append(visitor)
        return visitor

    yield visit
    found = [(visitor.errors, visitor.strangers()) for visitor in visitors]
    for context in contexts:
        await context.close()
    assert found == [([], set())] * len(visitors)


async def channel_of(http: httpx2.AsyncClient, owner: Person, *others: Person) -> tuple[int, str]:
    """A channel with these members, and its name, which no other has."""
    name = f"room-{next(numbers)}"
    body = {"type": "private", "name": name, "members": [person.id for person in others]}
    answer = await http.post("/channels", json=body, headers=owner.headers)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"]), name


async def said(http: httpx2.AsyncClient, channel: int, person: Person, *texts: str) -> None:
    """Write over REST."""
    for text in texts:
        body = {"content": text}
        answer = await http.post(f"/channels/{channel}/messages", json=body, headers=person.headers)
        assert answer.status_code == 201, answer.text
