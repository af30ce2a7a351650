"""The client over broken, refused and renewed sockets: nothing lost, nothing doubled, in order."""

import asyncio
import math
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import asyncpg
import pytest

from rtchat.client import (
    Added,
    AnyEvent,
    Client,
    ClosedError,
    Expiring,
    Hello,
    Msg,
    RefusedError,
    Removed,
    Renewing,
    Reset,
    Rest,
    UnreachableError,
)
from rtchat.client.model import Session, User
from tests.client.conftest import Connect, Server
from tests.client.talk import Reader, Talk, until, whole
from tests.people import People, Person
from tests.pods import Pod


@pytest.mark.parametrize(("window", "deaths"), [(1, 2), (16, 1)])
async def test_killed_in_mid_conversation(
    window: int,
    deaths: int,
    server: Server,
    crowd: People,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """SIGKILL and restart: every send is acknowledged and stored once, in its author's order; a
    reader that resumes by cursor gets the log without hole or repetition.
    """
    monkeypatch.setattr("rtchat.client.backoff.LIVED_S", 0.1)  # not longer at each death
    pod = await server.start()
    people = await crowd.several(4)
    async with Rest(pod.url, people[0].token, trust_env=False) as rest, AsyncExitStack() as stack:
        channels = [(await rest.create_channel(f"c{n}")).id for n in range(2)]
        readers = [Reader() for _ in people]
        clients = [
            Client(pod.ws_url, token=p.token, window=window, on_event=r)
            for p, r in zip(people, readers, strict=True)
        ]
        talks: dict[int, list[Talk]] = {channel: [] for channel in channels}
        for person, client in zip(people, clients, strict=True):
            await stack.enter_async_context(client)
            for channel in channels:
                await rest.as_user(person.token).join(channel)
                talks[channel].append(Talk(client, person, channel, window))
        await clients[0].subscribe(dict.fromkeys(channels, 0))
        everybody = [talk for group in talks.values() for talk in group]
        await _talk_while_it_dies(server, deaths, clients, everybody)
        for channel in channels:
            log = await whole(rest, channel)
            await readers[0].check(channel, log)
            for talk in talks[channel]:
                talk.check(log)
        assert all(client.stats()["gaps"] == 0 for client in clients)


async def _talk_while_it_dies(
    server: Server, deaths: int, clients: list[Client], talks: list[Talk]
) -> None:
    async with asyncio.TaskGroup() as group:
        for talk in talks:
            group.create_task(talk.run())
        for death in range(deaths):
            await asyncio.sleep(0.3)
            assert server.pod is not None
            server.pod.kill()
            await server.start()
            await until(lambda n=death: all(c.stats()["connects"] == n + 2 for c in clients))
        await asyncio.sleep(0.3)
        for talk in talks:
            talk.stop = True


async def test_a_drained_server_sends_everybody_back(server: Server, crowd: People) -> None:
    """SIGTERM: the client comes back when `bye` says, and nothing is lost."""
    pod = await server.start()
    ann = await crowd.new()
    async with (
        Rest(pod.url, token=ann.token, trust_env=False) as rest,
        Client(pod.ws_url, token=ann.token) as client,
    ):
        channel = (await rest.create_channel("c")).id
        await client.subscribe([channel])
        events = _without_hints(client)
        await client.send(channel, "before")
        pod.signal(signal.SIGTERM)
        await pod.ended()
        sending = asyncio.get_running_loop().create_task(client.send(channel, "meanwhile"))
        await server.start()
        assert (await sending).seq == 2
        seen = [type(await anext(events)) for _ in range(4)]
    assert seen == [Hello, Msg, Hello, Msg]


async def test_a_frozen_server_is_noticed(server: Server, crowd: People) -> None:
    """A link that says nothing for two heartbeats is dropped, and the write goes again."""
    pod = await server.start(heartbeat_s=1)
    ann = await crowd.new()
    async with (
        Rest(pod.url, token=ann.token, trust_env=False) as rest,
        Client(pod.ws_url, token=ann.token) as client,
    ):
        channel = (await rest.create_channel("c")).id
        await asyncio.sleep(2.5)
        assert client.stats()["connects"] == 1, "a quiet link is no dead one"
        pod.signal(signal.SIGSTOP)
        sending = asyncio.get_running_loop().create_task(client.send(channel, "hello?"))
        await until(lambda: client._wire.link is None)
        pod.signal(signal.SIGCONT)
        assert (await sending).seq == 1
        assert client.stats()["connects"] == 2


async def test_another_epoch_resets_everything(server: Server, crowd: People) -> None:
    """A server that comes back with another history: each channel is reset, then goes on."""
    pod = await server.start()
    ann = await crowd.new()
    async with (
        Rest(pod.url, token=ann.token, trust_env=False) as rest,
        Client(pod.ws_url, token=ann.token) as client,
    ):
        channel = (await rest.create_channel("c")).id
        await client.subscribe([channel])
        events = _without_hints(client)
        await client.send(channel, "before")
        first = client.epoch
        assert [type(await anext(events)) for _ in range(2)] == [Hello, Msg]
        pod.kill()
        connection = await asyncpg.connect(server.database_url)
        await connection.execute("INSERT INTO log_epochs DEFAULT VALUES")
        await connection.close()
        await server.start()
        assert isinstance(await anext(events), Hello)
        assert await anext(events) == Reset(ch=channel, head=0, epoch=client.epoch, last_seq=1)
        await client.send(channel, "after")
        got = await anext(events)
        assert isinstance(got, Msg)
        assert got.seq == 2
        assert client.epoch != first


async def test_what_is_asked_of_a_dead_server_ends_in_time(server: Server, crowd: People) -> None:
    """With an error of the client's own, as everything does."""
    pod = await server.start()
    ann = await crowd.new()
    async with Client(pod.ws_url, token=ann.token, timeout_s=2) as client:
        pod.kill()
        await until(lambda: not client.connected)
        for asked in (client.subscribe([1]), client.renew(ann.token)):
            with pytest.raises(UnreachableError, match="no answer"):
                await asked


async def test_a_membership_that_ended_meanwhile(server: Server, crowd: People) -> None:
    """A channel that cannot be resumed comes out as Removed; the others are resumed."""
    pod = await server.start()
    ann, bob = await crowd.new("ann"), await crowd.new("bob")
    async with (
        Rest(pod.url, token=ann.token, trust_env=False) as rest,
        Client(pod.ws_url, token=bob.token) as client,
    ):
        kept, lost = [(await rest.create_channel(f"c{n}", "private")).id for n in range(2)]
        for channel in (kept, lost):
            await rest.add_member(channel, bob.id)
        await client.subscribe([kept, lost])
        pod.kill()
        connection = await asyncpg.connect(server.database_url)
        await connection.execute(
            "DELETE FROM members WHERE channel_id = $1 AND role = 'member'", lost
        )
        await connection.close()
        await server.start()
        async for event in client.events():
            if isinstance(event, Removed):
                break
        assert event == Removed(ch=lost, reason="refused")
        assert client.cursors().keys() == {kept}


async def test_a_revoked_session_does_not_come_back(
    people: People, rest: Rest, connect: Connect
) -> None:
    """4004, one of the 40xx: events and sends raise ClosedError, and there is no second socket."""
    ann = await people.new()
    async with connect(ann) as client:
        channel = (await rest.as_user(ann.token).create_channel("c")).id
        await rest.logout(ann.refresh_token)
        with pytest.raises(ClosedError) as caught:
            async for _ in client.events():
                pass
        assert caught.value.code == 4004
        with pytest.raises(ClosedError):
            await client.send(channel, "still here?")
        assert client.stats()["connects"] == 1


async def test_tokens_are_renewed_on_the_live_socket(people: People, pod: Pod, rest: Rest) -> None:
    """`expiring` is answered with a new token, and the socket stays past the old one's end."""
    ann = await people.new()
    session = _session(ann, people.tokens.sign(ann.id, ann.session_id, _expiring_in(people, 1.5)))
    renewing = Renewing(rest, session)
    async with Client(pod.ws_url, tokens=renewing) as client:
        channel = (await rest.as_user(ann.token).create_channel("c")).id
        await asyncio.sleep(3)
        await client.send(channel, "still here")
        assert client.stats()["connects"] == 1
        assert renewing.session.refresh_token != ann.refresh_token


async def test_an_expired_token_is_renewed_first(people: People, pod: Pod) -> None:
    """4202: the client asks for a new token and comes back, where the first renewals failed too."""
    ann = await people.new()
    asked = 0

    def tokens() -> str:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise ConnectionError("the token service is away")
        if asked == 3:  # as of a server that is coming up
            raise RefusedError("unavailable", status=503, retry_after_s=0.01)
        issued = _expiring_in(people, 1.5) if asked == 1 else None
        return people.tokens.sign(ann.id, ann.session_id, issued)

    async with Client(pod.ws_url, tokens=tokens) as client:
        events = client.events()
        assert isinstance(await anext(events), Hello)
        again = await anext(events)
        assert isinstance(again, Hello)
        assert again.exp > time.time() + 60
        assert asked == 4


async def test_an_expired_token_without_a_provider_is_final(people: People, pod: Pod) -> None:
    """4202 without a way to a new token ends the client; before it, `expiring` comes out."""
    ann = await people.new()
    token = people.tokens.sign(ann.id, ann.session_id, _expiring_in(people, 1.5))
    async with Client(pod.ws_url, token=token) as client:
        seen: list[type] = []
        with pytest.raises(ClosedError) as caught:
            await _collect(client, seen)
        assert caught.value.code == 4202
        assert seen == [Hello, Expiring]


async def _collect(client: Client, seen: list[type]) -> None:
    async for event in client.events():
        seen.append(type(event))  # noqa: PERF401  the iteration raises, and what it had counts


async def _without_hints(client: Client) -> AsyncIterator[AnyEvent]:
    """Events, but for `added`: it is a hint, and comes for one's own channels too."""
    async for event in client.events():
        if not isinstance(event, Added):
            yield event


def _expiring_in(people: People, seconds: float) -> float:
    """When a token was signed that ends in so many seconds, or up to one later: ends are whole."""
    return math.ceil(time.time() + seconds) - people.tokens.life_s


def _session(person: Person, access_token: str) -> Session:
    return Session(
        user=User(id=person.id, name=person.name),
        access_token=access_token,
        refresh_token=person.refresh_token,
        expires_in=60,
    )
