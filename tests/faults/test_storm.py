"""A pod dies and all its clients come back at once: soon, whole, and without taking the database.

Row G12 of the fault matrix. What those who come back have missed comes from the tails of the rooms;
the log is read for what no tail has. Statements are counted in PostgreSQL's own log.
"""

import asyncio
import contextlib
import random
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import orjson
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from rtchat.server.postgres import EmbeddedPostgres
from rtchat.server.valkey import PrivateValkey
from tests.faults.scene import Scene, answers, eventually, message, scene
from tests.people import Person
from tests.pods import Pods
from tests.services import POSTGRES_SETTINGS, Databases, Given, temporary_directory
from tests.sockets import wire

SOCKETS, PEOPLE, CHANNELS, OF_EACH = 600, 30, 30, 3
COLD = 6  # of these channels, followed on the pod alone that dies
SENDERS, PAUSE_S = 4, 0.1
AWAY_S = 0.2  # nobody is back sooner
BACK_S, ACK_S = 30.0, 2.0
FIRST_READS = 4  # pages of who comes first, and of who is further behind than those before
ROOMS_OWN = 2  # pages that a room reads for itself, where envelopes were late
POOL_MAX, LANES = 8, 4

# A page of the log that is read to catch up, as PostgreSQL logs it; its parameters come behind it.
PAGE_READ = re.compile(
    r"AND \(\$3::bigint IS NULL OR seq <= \$3\) ORDER BY seq LIMIT \$4\n.*?\$1 = '(\d+)', "
)


@pytest.fixture(scope="module")
def logging_postgres() -> Iterator[EmbeddedPostgres]:
    """One that logs every statement."""
    settings = {**POSTGRES_SETTINGS, "log_statement": "all"}
    with temporary_directory() as data, EmbeddedPostgres(data / "data", settings) as server:
        yield server


@pytest.fixture(scope="module")
def url(logging_postgres: EmbeddedPostgres) -> Iterator[str]:
    with Databases(logging_postgres.url).fresh() as url:
        yield url


class LogReads:
    """The pages of the log that were read since this was made."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        self._path = server.data / "postgres.log"
        self._begin = self._path.stat().st_size

    def by_channel(self) -> Counter[int]:
        """How many, of each channel."""
        with self._path.open("rb") as log:
            log.seek(self._begin)
            return Counter(int(channel) for channel in PAGE_READ.findall(log.read().decode()))


class Follower:
    """A client that comes back by itself, and holds on to its cursors."""

    def __init__(self, person: Person, channels: list[int], seed: int) -> None:
        self.person = person
        self.cursors: dict[int, int | None] = dict.fromkeys(channels)
        self.at: str | None = None  # where it is, with all that there was when it came
        self.received = 0
        self._behind: dict[int, int] = {}
        self._rng = random.Random(seed)

    async def run(self, places: list[str]) -> None:
        """Stay connected, to these places in turn."""
        place, failures = places[0], 0
        while True:
            with contextlib.suppress(OSError, TimeoutError, ConnectionClosed, InvalidHandshake):
                headers = self.person.headers
                async with connect(
                    place, proxy=None, compression=None, additional_headers=headers,
                    close_timeout=0.2,
                ) as link:  # fmt: skip
                    failures = 0  # next time at the other place
                    await self._follow(link, place)
            self.at = None
            self._behind.clear()
            await asyncio.sleep(self._rng.uniform(AWAY_S, AWAY_S + min(2.0, 0.4 * 2**failures)))
            failures += 1
            place = places[failures % 2]

    async def _follow(self, link: ClientConnection, place: str) -> None:
        assert orjson.loads(await link.recv())["t"] == "hello"
        wanted = {str(channel): cursor for channel, cursor in self.cursors.items()}
        await link.send(orjson.dumps({"t": "sub", "ref": 1, "ch": wanted}), text=True)
        async for data in link:
            frame = orjson.loads(data)
            if frame["t"] == "ok":
                for name, answer in frame["ch"].items():
                    channel = int(name)
                    self._behind[channel] = answer["head"]
                    if self.cursors[channel] is None:
                        self.cursors[channel] = answer["head"]
            elif frame["t"] != "added":
                cursor = self.cursors[frame["ch"]]
                assert frame["t"] == "msg", frame
                assert cursor is not None
                assert frame["seq"] == cursor + 1
                self.cursors[frame["ch"]] = frame["seq"]
                self.received += 1
            if self.at is None and self._there():
                self.at = place

    def _there(self) -> bool:
        return bool(self._behind) and all(
            (self.cursors[channel] or 0) >= head for channel, head in self._behind.items()
        )


class Storm:
    """Everybody at their places, and some who talk all the time."""

    def __init__(self, made: Scene, group: asyncio.TaskGroup) -> None:
        self.made = made
        self.followers: list[Follower] = []
        self.channels: list[int] = []
        self.acks_s: list[float] = []
        self.connections: list[tuple[float, int]] = []  # when, and how many of the pods' there were
        self.over = asyncio.Event()
        self._group = group
        self._tasks: list[asyncio.Task[None]] = []

    async def begin(self) -> None:
        """Make people and channels, connect, and talk."""
        people = await self.made.people.several(PEOPLE)
        self.channels = [await self.made.channel(*people) for _ in range(CHANNELS)]
        first, second = (pod.ws_url for pod in self.made.pods)
        warm = self.channels[COLD:]
        for number in range(SOCKETS):
            places = [first, second] if number % 2 else [second, first]
            among = self.channels if number % 2 else warm  # cold ones have nobody on the second
            chosen = [among[(number // 2 * OF_EACH + i) % len(among)] for i in range(OF_EACH)]
            follower = Follower(people[number % PEOPLE], chosen, number)
            self.followers.append(follower)
            self._tasks.append(self._group.create_task(follower.run(places)))
        await self.settled(first, second)
        self._group.create_task(self._sample())
        for number in range(SENDERS):
            self._group.create_task(self._talk(people[number], number))

    async def say_everywhere(self, count: int) -> None:
        """So many messages in each channel, on the pod that stays."""
        async with wire(self.made.pods[1].ws_url, self.followers[0].person) as one:
            refs = [f"{channel} {n}" for channel in self.channels for n in range(count)]
            for ref in refs:
                await one.send(message(ref, int(ref.split()[0]), "while they are away"))
            await answers(one, set(refs))

    async def settled(self, *places: str) -> None:
        """Wait until everybody is at one of these, with what was said before."""

        async def there() -> bool:
            return all(f.at in places for f in self.followers)

        await eventually(there, BACK_S)

    async def _talk(self, person: Person, seed: int) -> None:
        rng = random.Random(seed)
        async with wire(self.made.pods[1].ws_url, person) as one:
            ref = 0
            while not self.over.is_set():
                ref, began = ref + 1, time.monotonic()
                await one.send(message(ref, rng.choice(self.channels), "steady"))
                assert (await answers(one, {ref}))[ref]["t"] == "ack"
                self.acks_s.append(time.monotonic() - began)
                await asyncio.sleep(rng.uniform(0, 2 * PAUSE_S))

    async def _sample(self) -> None:
        while not self.over.is_set():
            count = await self.made.sql.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'rtchat%'"
                " AND datname = current_database()"
            )
            self.connections.append((time.monotonic(), count))
            await asyncio.sleep(0.1)

    async def end(self) -> None:
        """Fall silent, let everybody come to the heads, and go."""
        self.over.set()
        await asyncio.sleep(3 * PAUSE_S)

        async def at_heads() -> bool:
            rows = await self.made.sql.fetch("SELECT id, last_seq FROM channels")
            heads = {row["id"]: row["last_seq"] for row in rows}
            return all(f.cursors[c] == heads[c] for f in self.followers for c in f.cursors)

        await eventually(at_heads)
        for task in self._tasks:
            task.cancel()


@pytest.fixture
async def two(pods: Pods, url: str, valkey: PrivateValkey | Given) -> AsyncIterator[Scene]:
    settings: dict[str, Any] = {"pool_max": POOL_MAX, "lanes": LANES}
    async with scene(pods, url, 2, redis_urls=valkey.url, **settings) as made:
        yield made


@pytest.mark.timeout(120)
async def test_a_storm_is_served_by_the_tails(
    two: Scene, logging_postgres: EmbeddedPostgres
) -> None:
    """G12: all are back within 30 s, whole; few connections, few reads, acks as ever.

    At most two pages a channel are read where somebody was before: the tail has the rest.
    """
    async with asyncio.TaskGroup() as group:
        storm = Storm(two, group)
        await storm.begin()
        await asyncio.sleep(1.0)
        lost = [f for f in storm.followers if f.at == two.pod.ws_url]
        assert len(lost) == SOCKETS // 2
        reads = LogReads(logging_postgres)
        storm.acks_s.clear()
        two.pod.kill()
        killed = time.monotonic()
        await storm.say_everywhere(3)
        await storm.settled(two.pods[1].ws_url)
        took_s = time.monotonic() - killed
        read = reads.by_channel()
        await asyncio.sleep(0.5)
        await storm.end()
    acks_s = sorted(storm.acks_s)
    assert took_s < BACK_S
    assert acks_s[len(acks_s) * 99 // 100] < ACK_S
    assert max(count for _, count in storm.connections) <= 2 * (POOL_MAX + LANES)
    assert max(n for at, n in storm.connections if at > killed + 1) <= POOL_MAX + LANES
    cold, warm = storm.channels[:COLD], storm.channels[COLD:]
    assert sum(read[channel] for channel in warm) <= 2 * len(warm)
    for channel in cold:  # nobody followed it here, so it has no tail yet: the first ones read it
        assert 0 < read[channel] <= FIRST_READS + ROOMS_OWN
