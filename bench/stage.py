"""The replay itself: everybody comes in, says their lines in order, and what became of it is read.

Owns: the clients of a run, from connecting to closing. Must never: send a line before the one above
it is acknowledged, or go round the public interface (people are the exception, see `crowd`).
"""

import asyncio
import contextlib
import gc
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from bench.crowd import Person, gather
from bench.irc import Day, everybody
from bench.observe import Follower, Observer
from bench.progress import Advance, progress
from bench.servers import Target
from bench.verify import Channel, Said
from rtchat.client import Client, Options, Rest, make_http

T = TypeVar("T")
AT_ONCE = 64  # REST calls and handshakes at the same time
CATCH_UP_S = 60.0  # for the last deliveries to arrive
OPTIONS = Options(open_timeout_s=60, proxy=None)


@dataclass(slots=True)
class Sent:
    """A line that was acknowledged: handed to the client, sent (for the last time), answered."""

    said: Said
    given: float
    sent: float
    answered: float
    tries: int


class Stage:
    """One run on one target."""

    def __init__(self, target: Target, days: list[Day], *, subscribe: bool) -> None:
        self.target = target
        self.days = days
        self.subscribe = subscribe
        self.setup: dict[str, float] = {}
        self.joins = 0
        self.channels: dict[str, int] = {}  # by day
        self.sent: dict[str, list[Sent]] = {day.name: [] for day in days}
        self.observers = [Observer() for _ in target.urls]
        self.followers: dict[str, Follower] = {}  # by nick
        self._people: dict[str, Person] = {}
        self._lookers: list[Person] = []
        self._clients: dict[str, Client] = {}  # by nick
        self._rests: list[Rest] = []
        self._talks: dict[str, list[str]] = defaultdict(list)  # nick to days
        for day in days:
            for nick in day.nicks:
                self._talks[nick].append(day.name)

    @property
    def clients(self) -> Iterable[Client]:
        """Of everybody who speaks."""
        return self._clients.values()

    # --- coming in

    @contextlib.asynccontextmanager
    async def set(self) -> AsyncIterator[None]:
        """Bring everybody in; afterwards everybody leaves."""
        async with contextlib.AsyncExitStack() as stack:
            with self._phase("people"):
                await self._gather()
            for url in self.target.urls:
                http = make_http(trust_env=False, connections=AT_ONCE)
                stack.push_async_callback(http.aclose)
                self._rests.append(Rest(url, http=http, retry_s=60))
            with self._phase("channels and joins"):
                await self._join()
            stack.push_async_callback(self._close)
            with self._phase("sockets"):
                await self._connect(stack)
            # What stands now stays: collecting it took 0.3 s, which showed as ack latency.
            gc.collect()
            gc.freeze()
            stack.callback(gc.unfreeze)
            yield

    @contextlib.contextmanager
    def _phase(self, name: str):
        began = time.perf_counter()
        yield
        self.setup[name] = round(time.perf_counter() - began, 2)

    async def _gather(self) -> None:
        nicks = everybody(self.days)
        lookers = [f"observer {n}" for n in range(len(self.target.urls))]
        people = await gather(self.target.database_url, self.target.secret_key, [*nicks, *lookers])
        self._people = dict(zip(nicks, people, strict=False))
        self._lookers = people[len(nicks) :]

    def rest_of(self, person: Person) -> Rest:
        """REST as this person, on the person's pod."""
        return self._rests[self._pod_of(person)].as_user(person.token)

    def _pod_of(self, person: Person) -> int:
        return person.id % len(self.target.urls)

    async def _join(self) -> None:
        """The first speaker of a day makes its channel; everybody else joins it."""
        for day in self.days:
            owner = self._people[day.nicks[0]]
            self.channels[day.name] = (await self.rest_of(owner).create_channel(day.name)).id
        joins = [
            (person, self.channels[day.name])
            for day in self.days
            for person in [*self._lookers, *(self._people[nick] for nick in day.nicks[1:])]
        ]
        self.joins = len(joins)
        with progress("joins", len(joins)) as advance:
            await _each(joins, lambda join: self.rest_of(join[0]).join(join[1]), advance)

    async def _connect(self, stack: contextlib.AsyncExitStack) -> None:
        for url, person, observer in zip(
            self.target.urls, self._lookers, self.observers, strict=True
        ):
            client = Client(url, tokens=person.token, on_event=observer, options=OPTIONS)
            await stack.enter_async_context(client)
            await client.subscribe(dict.fromkeys(self.channels.values(), 0))
        with progress("sockets", len(self._people)) as advance:
            await _each(self._people.items(), self._enter, advance)

    async def _enter(self, one: tuple[str, Person]) -> None:
        nick, person = one
        follower = Follower()
        client = Client(
            self.target.urls[self._pod_of(person)],
            tokens=person.token,
            on_event=follower,
            options=OPTIONS,
        )
        self._clients[nick] = client
        await client.__aenter__()
        if self.subscribe:
            channels = [self.channels[day] for day in self._talks[nick]]
            follower.begin(await client.subscribe(channels))
            self.followers[nick] = follower

    async def _close(self) -> None:
        with progress("goodbyes", len(self._clients)) as advance:
            await _each(self.clients, Client.close, advance)

    # --- talking

    async def talk(self, speed: float | None) -> float:
        """Say everything; returns how many seconds it took."""
        began = time.perf_counter()
        with progress("messages", sum(len(day.lines) for day in self.days)) as advance:
            async with asyncio.TaskGroup() as group:
                for day in self.days:
                    group.create_task(self._say(day, speed, advance))
        return time.perf_counter() - began

    async def _say(self, day: Day, speed: float | None, advance: Advance) -> None:
        """One channel's lines, each behind the ack of the one above."""
        loop = asyncio.get_running_loop()
        began, first = loop.time(), day.lines[0].minute
        channel, sent = self.channels[day.name], self.sent[day.name]
        for line in day.lines:
            if speed is not None:
                due = began + (line.minute - first) * 60 / speed
                await asyncio.sleep(max(0.0, due - loop.time()))
            at = time.perf_counter()
            ack = await self._clients[line.nick].send(channel, line.text, timeout_s=120)
            said = Said(ack.seq, self._people[line.nick].id, line.text)
            sent.append(Sent(said, at, ack.sent_at, time.perf_counter(), ack.tries))
            advance()

    async def arrive(self) -> None:
        """Wait until the last messages have been delivered, but not for ever."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CATCH_UP_S):
                while not self._all_arrived():  # noqa: ASYNC110  asked at the end only
                    await asyncio.sleep(0.05)

    def _all_arrived(self) -> bool:
        ends = {self.channels[d]: lines[-1].said.seq for d, lines in self.sent.items() if lines}
        return all(
            observer.last(channel) >= end
            for channel, end in ends.items()
            for observer in self.observers
        ) and all(
            follower.last(channel) >= ends.get(channel, 0)
            for follower in self.followers.values()
            for channel in follower.starts
        )

    # --- looking back

    async def outcome(self, day: Day) -> Channel:
        """All that is known of a day's channel."""
        channel = self.channels[day.name]
        return Channel(
            name=f"{day.name} (channel {channel})",
            spoken=[(self._people[line.nick].id, line.text) for line in day.lines],
            acked=[one.said for one in self.sent[day.name]],
            stored=await self._history(channel),
            observers=[observer.seen[channel] for observer in self.observers],
            followers={
                nick: follower.run(channel)
                for nick, follower in self.followers.items()
                if channel in follower.starts
            },
        )

    async def _history(self, channel: int) -> list[Said]:
        """All that REST has of a channel."""
        rest, more = self.rest_of(self._lookers[0]), True
        found: list[Said] = []
        while more:
            after = found[-1].seq if found else 0
            page = await rest.history(channel, after=after, limit=200)
            found += [Said(m.seq, m.user_id, m.content) for m in page.items]
            more = page.has_more
        return found

    def counts(self) -> Counter[str]:
        """What all speakers' clients counted, together."""
        counts: Counter[str] = Counter()
        for client in self.clients:
            counts.update(client.stats())
        return counts


async def _each(
    items: Iterable[T], work: Callable[[T], Awaitable[object]], advance: Advance
) -> None:
    """Do it for each, so many at once; the first failure ends all."""
    waiting = iter(items)

    async def worker() -> None:
        for item in waiting:
            await work(item)
            advance()

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(worker())
