"""More than can be stored: a full queue, and a database that hangs. Row F41 of the fault matrix.

What is refused is refused at once, with a time to wait, and is not stored; what was accepted is
answered in time; memory and sockets stay as they are.
"""

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import orjson
import pytest
from websockets.exceptions import ConnectionClosed

from rtchat.server.postgres import EmbeddedPostgres
from tests.faults.scene import PATIENCE_S, Scene, answers, eventually, message, scene
from tests.pods import Pods
from tests.raw import rss_mb
from tests.services import Databases, temporary_directory
from tests.sockets import Wire, wire

QUEUE = 400
WRITE_TIMEOUT_S = 2.0
SLACK_S = 2.0  # what busy cores may add


@pytest.fixture(scope="module")
def private_postgres() -> Iterator[EmbeddedPostgres]:
    """One that may be frozen."""
    with temporary_directory() as data, EmbeddedPostgres(data / "data") as server:
        yield server


@pytest.fixture(scope="module")
def private_url(private_postgres: EmbeddedPostgres) -> Iterator[str]:
    with Databases(private_postgres.url).fresh() as url:
        yield url


@pytest.fixture(scope="module")
async def small(pods: Pods, private_url: str) -> AsyncIterator[Scene]:
    """A pod with a short queue and little patience."""
    settings: dict[str, Any] = {
        "queue_max_rows": QUEUE,
        "write_timeout_ms": round(WRITE_TIMEOUT_S * 1000),
        "query_timeout_ms": 1200,
        "connect_timeout_ms": 1200,
        "lock_wait_ms": 500,
    }
    async with scene(pods, private_url, **settings) as made:
        yield made


# --- a full queue


async def overfill(sockets: list[Wire], channel: int) -> tuple[list[int], list[float]]:
    """Send far more than fits. Returns what was refused, and how long each refusal took."""
    refused: list[int] = []
    took: list[float] = []
    for round_ in range(20):
        for place, one in enumerate(sockets):
            first = QUEUE + (round_ * len(sockets) + place) * 50
            for number in range(first, first + 50):
                await one.send(message(number, channel, f"{number}", f"{number}"))
            began = time.monotonic()
            got = await answers(one, set(range(first, first + 50)))
            took.append(time.monotonic() - began)
            assert {(a["t"], a["code"], a["retry"]) for a in got.values()} == {
                ("error", "overloaded", True)
            }
            assert all(0 < a["after"] <= 5000 for a in got.values())
            refused += got
            await one.alive()
    return refused, took


async def test_a_full_queue_refuses_at_once(small: Scene) -> None:
    """F41: `overloaded` with `after`; pings answered, memory flat, nothing refused is stored."""
    ann = await small.people.new()
    locked, quiet = await small.channel(ann), await small.channel(ann)
    async with contextlib.AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(wire(small.pod.ws_url, ann)) for _ in range(4)]
        holder = await asyncpg.connect(small.pod.database_url)
        stack.push_async_callback(holder.close)
        await holder.execute("BEGIN")
        await holder.execute("SELECT FROM channels WHERE id = $1 FOR UPDATE", locked)
        for number in range(QUEUE):
            await sockets[number % 4].send(message(number, locked, f"{number}", f"{number}"))
        for one in sockets:
            await one.alive()
        rss = rss_mb(small.pod)
        refused, took = await overfill(sockets, locked)
        assert rss_mb(small.pod) - rss < 20
        assert sorted(took)[len(took) // 2] < 0.5, "not at once"
        elsewhere = await sockets[0].ask(message("quiet", quiet, "x"))
        assert elsewhere["code"] == "overloaded"
        over_rest = await small.call(ann, "POST", f"/channels/{quiet}/messages", {"content": "x"})
        assert (over_rest.status_code, over_rest.json()["code"]) == (503, "overloaded")
        assert int(over_rest.headers["retry-after"]) > 0
        await holder.execute("ROLLBACK")
        for place, one in enumerate(sockets):
            got = await answers(one, set(range(place, QUEUE, 4)))
            assert {answer["t"] for answer in got.values()} == {"ack"}
        assert len(refused) == 4000
        assert await small.texts(quiet) == []
        assert sorted(await small.texts(locked), key=int) == [f"{n}" for n in range(QUEUE)]
        for one in sockets:  # all is as before
            assert (await one.ask(message("again", locked, "again")))["t"] == "ack"


# --- a database that hangs


class Sender:
    """A socket that goes on sending whatever happens, and notes when what was answered how."""

    def __init__(self, one: Wire, channel: int, name: str) -> None:
        self.one = one
        self.channel = channel
        self.name = name
        self.sent: dict[str, float] = {}
        self.answered: dict[str, tuple[float, dict[str, Any]]] = {}

    async def send(self, until: asyncio.Event) -> None:
        while not until.is_set():
            nonce = f"{self.name}{len(self.sent)}"
            self.sent[nonce] = time.monotonic()
            await self.one.send(message(nonce, self.channel, nonce, nonce))
            await asyncio.sleep(0.005)

    async def read(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for data in self.one.socket:
                got = orjson.loads(data)
                if got["t"] in ("ack", "error"):
                    assert got["ref"] not in self.answered, "answered twice"
                    self.answered[got["ref"]] = (time.monotonic(), got)

    async def all_answered(self) -> bool:
        return self.sent.keys() == self.answered.keys()

    def with_code(self, code: str | None) -> set[str]:
        """What was answered so; None: acks."""
        return {nonce for nonce, (_, a) in self.answered.items() if a.get("code") == code}

    def took(self, *codes: str | None) -> list[float]:
        """How long the answers with one of these codes took; None: acks."""
        return [
            at - self.sent[nonce]
            for nonce, (at, answer) in self.answered.items()
            if answer.get("code") in codes
        ]


async def frozen(server: EmbeddedPostgres, beside: Wire, for_s: float) -> float:
    """Freeze the database for so long; meanwhile pings are answered. Returns when it thawed."""
    try:
        server.send_signal(signal.SIGSTOP)
        until = time.monotonic() + for_s
        while time.monotonic() < until:
            await beside.alive()
            await asyncio.sleep(0.05)
    finally:
        server.send_signal(signal.SIGCONT)
    return time.monotonic()


def acked(senders: list[Sender]) -> int:
    return sum(len(sender.took(None)) for sender in senders)


async def test_a_hanging_database_holds_nobody_for_long(
    small: Scene, private_postgres: EmbeddedPostgres
) -> None:
    """F41: what was accepted is answered in time, the rest is `overloaded`; then on within 1 s."""
    people = await small.people.several(4)
    channels = [await small.channel(*people) for _ in people]
    over = asyncio.Event()
    async with contextlib.AsyncExitStack() as stack:
        senders = []
        for person, channel in zip(people, channels, strict=True):
            one = await stack.enter_async_context(wire(small.pod.ws_url, person))
            senders.append(Sender(one, channel, f"{channel}:"))
        beside = await stack.enter_async_context(wire(small.pod.ws_url, people[0]))
        group = await stack.enter_async_context(asyncio.TaskGroup())
        readers = [group.create_task(s.read()) for s in senders]
        writers = [group.create_task(s.send(over)) for s in senders]
        await asyncio.sleep(0.5)
        rss = rss_mb(small.pod)
        thawed = await frozen(private_postgres, beside, WRITE_TIMEOUT_S + 2.5)
        before = acked(senders)
        assert rss_mb(small.pod) - rss < 20
        async with asyncio.timeout(PATIENCE_S):
            while acked(senders) == before:
                await asyncio.sleep(0.01)
        assert time.monotonic() - thawed < 1 + SLACK_S
        over.set()
        await asyncio.wait(writers)
        for sender in senders:
            await eventually(sender.all_answered)
        for reader in readers:
            reader.cancel()
    for sender in senders:
        assert max(sender.took(None, "unavailable")) < WRITE_TIMEOUT_S + SLACK_S
        assert sender.took("overloaded")
        assert max(sender.took("overloaded")) < SLACK_S
        stored = set(await small.texts(sender.channel))
        assert sender.with_code(None) <= stored
        assert not sender.with_code("overloaded") & stored
