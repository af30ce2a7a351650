"""One client on one server: what its methods promise while the socket stands."""

import asyncio

import pytest

from rtchat.client import (
    Ack,
    Added,
    Client,
    ClosedError,
    Del,
    Edit,
    Hello,
    Msg,
    OutcomeUnknownError,
    Presence,
    React,
    Reaction,
    Read,
    RefusedError,
    Removed,
    Reset,
    Rest,
    Typing,
    UnreachableError,
)
from rtchat.server.launch import free_port
from tests.client.conftest import Connect, Server
from tests.client.talk import until, whole
from tests.people import People
from tests.pods import Pod


async def test_send_and_receive(people: People, rest: Rest, connect: Connect) -> None:
    """An ack names the entry; author and subscriber get it as an event; history holds it."""
    ann, bob = await people.new("ann"), await people.new("bob")
    channel = await rest.as_user(ann.token).create_channel("general")
    await rest.as_user(bob.token).join(channel.id)
    content = 'tab\t, "quotes", \\, \u2028, שלום, 👩‍👩‍👧'
    async with connect(ann) as a, connect(bob) as b:
        assert await a.subscribe([channel.id]) == {channel.id: 1}
        assert await b.subscribe({channel.id: 0}) == {channel.id: 1}
        ack = await a.send(channel.id, content)
        assert (ack.ch, ack.seq, ack.dup, ack.tries) == (channel.id, 2, False, 1)
        expected = Msg(ch=channel.id, seq=2, ts=ack.ts, user=ann.id, content=content)
        assert await anext(a.events()) == a.hello
        assert await anext(a.events()) == expected
        seen = [await anext(b.events()) for _ in range(3)]
        assert seen[0] == b.hello
        assert seen[2] == expected
    assert [m.content for m in await whole(rest.as_user(bob.token), channel.id)] == [content]


async def test_what_is_ephemeral(server: Server, crowd: People) -> None:
    """Who is online, is typing, has read: as events without a seq, told to others only; the mark
    moves `unread`, on one's other sockets too."""
    pod = await server.start(presence=1, ephemeral_tick_ms=50, read_flush_ms=50)
    ann, bob = await crowd.new("ann"), await crowd.new("bob")
    async with Rest(pod.url, trust_env=False) as rest:
        channel = (await rest.as_user(ann.token).create_channel("general")).id
        await rest.as_user(bob.token).join(channel)
        heard: list[object] = []
        phone: list[object] = []
        async with (
            Client(pod.ws_url, token=ann.token, on_event=heard.append) as a,
            Client(pod.ws_url, token=bob.token) as b,
            Client(pod.ws_url, token=bob.token, on_event=phone.append),
        ):
            await a.subscribe([channel])
            seq = (await a.send(channel, "hi")).seq
            await b.subscribe([channel])
            await until(lambda: Presence(user=bob.id, status="online") in heard)
            b.typing(channel)
            await until(lambda: Typing(ch=channel, user=bob.id) in heard)
            b.read(channel, seq)
            read = Read(ch=channel, user=bob.id, seq=seq)
            await until(lambda: read in heard and read in phone)
            seen = await rest.as_user(bob.token).channel(channel)
            assert (seen.read_seq, seen.unread) == (seq, 0)
        about = {e.user for e in heard if isinstance(e, Presence | Typing | Read)}
        assert about == {bob.id}


async def test_sends_of_one_channel_keep_their_order(
    people: People, rest: Rest, connect: Connect
) -> None:
    """Sends that run at the same time are numbered in the order in which they were called."""
    ann = await people.new()
    mine = rest.as_user(ann.token)
    channels = [(await mine.create_channel(f"c{n}")).id for n in range(3)]
    async with connect(ann) as client, asyncio.TaskGroup() as group:
        sends = [
            (c, [group.create_task(client.send(c, f"{n}")) for n in range(12)]) for c in channels
        ]
    for channel, tasks in sends:
        assert [t.result().seq for t in tasks] == list(range(1, 13))
        assert [m.content for m in await whole(mine, channel)] == [f"{n}" for n in range(12)]


async def test_the_same_nonce_is_stored_once(people: People, rest: Rest, connect: Connect) -> None:
    """A retry by its user finds the first entry; other content under that nonce is refused."""
    ann = await people.new()
    channel = (await rest.as_user(ann.token).create_channel("c")).id
    async with connect(ann) as client:
        first = await client.send(channel, "once", nonce="n1")
        again = await client.send(channel, "once", nonce="n1")
        assert (again.seq, again.ts, again.dup) == (first.seq, first.ts, True)
        with pytest.raises(RefusedError, match="nonce_conflict"):
            await client.send(channel, "other", nonce="n1")


async def test_edits_and_deletions(people: People, rest: Rest, connect: Connect) -> None:
    """A message's author changes it and takes it back; both are entries of the log."""
    ann = await people.new()
    channel = (await rest.as_user(ann.token).create_channel("c")).id
    async with connect(ann) as client:
        await client.subscribe([channel])
        of = (await client.send(channel, "helo")).seq
        edited = await client.edit(channel, of, "hello", nonce="e1")
        assert (await client.edit(channel, of, "hello", nonce="e1")).dup
        deleted = await client.delete(channel, of)
        events = client.events()
        seen = [await anext(events) for _ in range(4)]
        head = {"ch": channel, "of": of, "user": ann.id}
        assert seen[2:] == [
            Edit(seq=2, ts=edited.ts, content="hello", **head),
            Del(seq=3, ts=deleted.ts, **head),
        ]


async def test_reactions(people: People, rest: Rest, connect: Connect) -> None:
    """Set and taken back, each once; entries of the log, and of the message in history."""
    ann = await people.new()
    mine = rest.as_user(ann.token)
    channel = (await mine.create_channel("c")).id
    async with connect(ann) as client:
        await client.subscribe([channel])
        of = (await client.send(channel, "hello")).seq
        on = await client.react(channel, of, "👍", nonce="r1")
        assert (await client.react(channel, of, "👍", nonce="r1")).dup
        party = await client.react(channel, of, "🎉")
        off = await client.react(channel, of, "👍", on=False)
        with pytest.raises(RefusedError, match="bad_field"):
            await client.react(channel, of, "yes")
        events = client.events()
        seen = [await anext(events) for _ in range(5)]
        head = {"ch": channel, "of": of, "user": ann.id}
        assert seen[2:] == [
            React(seq=2, ts=on.ts, emoji="👍", on=True, **head),
            React(seq=3, ts=party.ts, emoji="🎉", on=True, **head),
            React(seq=4, ts=off.ts, emoji="👍", on=False, **head),
        ]
    [message] = await whole(mine, channel)
    assert message.reactions == [Reaction(emoji="🎉", count=1, users=[ann.id])]


async def test_rate_limited_is_waited_for(people: People, rest: Rest, connect: Connect) -> None:
    """Beyond the server's rate sends take longer, in order, without loss, with few refusals."""
    ann = await people.new()
    mine = rest.as_user(ann.token)
    channels = [(await mine.create_channel(f"c{n}")).id for n in range(4)]
    async with connect(ann) as client:
        began = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            for n in range(15):
                for channel in channels:
                    group.create_task(client.send(channel, f"{n}"))
        took_s = asyncio.get_running_loop().time() - began
        refused = client.stats()["retried_rate_limited"]
    assert took_s >= (60 - 40) / 20 * 0.9, "a burst of 40, then 20 a second"
    assert 1 <= refused <= 10, "20 sends had to wait; refusals for nothing add up to a close (4008)"
    for channel in channels:
        assert [m.content for m in await whole(mine, channel)] == [f"{n}" for n in range(15)]


async def test_refusals_are_final(people: People, rest: Rest, connect: Connect) -> None:
    """What the server refuses for good raises RefusedError with its code, and is not repeated."""
    ann, bob = await people.new("ann"), await people.new("bob")
    public = (await rest.as_user(ann.token).create_channel("open")).id
    secret = (await rest.as_user(ann.token).create_channel("closed", "private")).id
    async with connect(bob) as client:
        for channel, content, code in [
            (public, "hi", "forbidden"),
            (secret, "hi", "not_found"),
            (public, "x" * 4001, "too_long"),
            (public, "x" * 66_000, "too_large"),
        ]:
            with pytest.raises(RefusedError) as caught:
                await client.send(channel, content)
            assert caught.value.code == code
        with pytest.raises(RefusedError) as caught:
            await client.subscribe([public, secret])
        assert caught.value.channels == {public: "forbidden", secret: "not_found"}
        assert client.stats() == {"connects": 1, "repeated": 0, "gaps": 0, "dropped": 0}


async def test_a_good_channel_is_followed_beside_a_refused_one(
    people: People, rest: Rest, connect: Connect
) -> None:
    """A refusal among several says which; the others deliver."""
    ann = await people.new()
    channel = (await rest.as_user(ann.token).create_channel("c")).id
    async with connect(ann) as client:
        with pytest.raises(RefusedError) as caught:
            await client.subscribe([channel, 2**52])
        assert caught.value.channels == {2**52: "not_found"}
        ack = await client.send(channel, "hi")
        assert isinstance(await anext(client.events()), Hello)
        got = await anext(client.events())
        assert isinstance(got, Msg)
        assert got.seq == ack.seq


async def test_unsubscribed_channels_are_silent(
    people: People, rest: Rest, connect: Connect
) -> None:
    """After `unsubscribe` nothing of a channel comes; a new subscription starts at its cursor."""
    ann = await people.new()
    one, two = [(await rest.as_user(ann.token).create_channel(f"c{n}")).id for n in range(2)]
    seen: list[tuple[int, int]] = []
    async with connect(
        ann, on_event=lambda e: seen.append((e.ch, e.seq)) if isinstance(e, Msg) else None
    ) as client:
        await client.subscribe([one, two])
        client.unsubscribe([one])
        await client.send(one, "unheard")
        await client.send(two, "heard")
        await client.send(two, "heard")
        assert client.cursors().keys() == {two}
        await client.subscribe({one: 0})
        await client.send(one, "heard again")
        await until(lambda: len(seen) == 4)
    assert seen == [(two, 1), (two, 2), (one, 1), (one, 2)]


async def test_membership_events(people: People, rest: Rest, connect: Connect) -> None:
    """Being added and removed come out as events, and a removal ends the subscription."""
    ann, bob = await people.new("ann"), await people.new("bob")
    channel = (await rest.as_user(ann.token).create_channel("c", "private")).id
    async with connect(bob) as client:
        await anext(client.events())
        await rest.as_user(ann.token).add_member(channel, bob.id)
        added = await anext(client.events())
        assert isinstance(added, Added)
        assert (added.ch, added.channel.name, added.channel.role) == (channel, "c", "member")
        await client.subscribe([channel])
        await rest.as_user(ann.token).remove_member(channel, bob.id)
        events = [await anext(client.events()) for _ in range(2)]
        assert isinstance(events[1], Removed)
        assert events[1].reason == "removed"
        assert client.cursors() == {}


async def test_a_cursor_ahead_of_the_head_is_reset(
    people: People, rest: Rest, connect: Connect
) -> None:
    """`reset` comes out with the seq from which the client goes on, ahead of what follows it."""
    ann = await people.new()
    channel = (await rest.as_user(ann.token).create_channel("c")).id
    async with connect(ann) as client:
        await client.send(channel, "one")
        await client.subscribe({channel: 7})
        events = client.events()
        assert isinstance(await anext(events), Hello)
        reset = await anext(events)
        assert reset == Reset(ch=channel, head=1, epoch=client.epoch, last_seq=1)
        await client.send(channel, "two")
        got = await anext(events)
        assert isinstance(got, Msg)
        assert got.seq == 2


async def test_a_foreign_epoch_is_reset(people: People, rest: Rest, connect: Connect) -> None:
    """A cursor that was kept under another epoch is not resumed, and can be left to the user."""
    ann = await people.new()
    channel = (await rest.as_user(ann.token).create_channel("c")).id
    async with connect(ann, resubscribe=False) as client:
        await client.send(channel, "one")
        await client.subscribe({channel: 0}, epoch="of a restored backup")
        assert isinstance(await anext(client.events()), Hello)
        reset = await anext(client.events())
        assert reset == Reset(ch=channel, head=1, epoch=client.epoch, last_seq=None)
        assert client.cursors() == {}


async def test_a_slow_reader_holds_the_socket_back(
    people: People, rest: Rest, connect: Connect
) -> None:
    """The queue does not grow past its limit, and nothing is lost: the rest waits at the server."""
    ann, bob = await people.new("ann"), await people.new("bob")
    channel = (await rest.as_user(ann.token).create_channel("c")).id
    async with connect(ann, window=40) as author, asyncio.TaskGroup() as group:
        for n in range(40):
            group.create_task(author.send(channel, f"{n}" * 1000))
    await rest.as_user(bob.token).join(channel)
    async with connect(bob, queue=10) as client:
        await client.subscribe({channel: 0})
        await asyncio.sleep(0.2)
        assert len(client.events()) == 10
        assert client.cursors() == {channel: 0}, "nothing was handed out yet"
        seqs = []
        async for event in client.events():
            if isinstance(event, Msg):
                seqs.append(event.seq)
                assert client.cursors() == {channel: event.seq}
            if len(seqs) == 40:
                break
    assert seqs == list(range(1, 41))


async def test_given_up_sends_say_that_they_may_be_stored(
    people: People, rest: Rest, connect: Connect
) -> None:
    """No answer in time: OutcomeUnknownError names the nonce, by which the outcome can be asked."""
    ann = await people.new()
    channel = (await rest.as_user(ann.token).create_channel("c")).id
    async with connect(ann) as client:
        with pytest.raises(OutcomeUnknownError) as caught:
            await client.send(channel, "in time?", timeout_s=0)
        assert caught.value.written
        ack = await client.send(channel, "in time?", caught.value.nonce)
        assert ack.seq == 1
        waiting = asyncio.get_running_loop().create_task(client.send(channel, "last words"))
        await asyncio.sleep(0)
    with pytest.raises(OutcomeUnknownError):
        await waiting
    with pytest.raises(ClosedError):
        await client.send(channel, "too late")
    assert [e async for e in client.events() if isinstance(e, Ack)] == [], "iteration ends"


async def test_nobody_there(people: People) -> None:
    """A server that is not reached within the timeout raises UnreachableError with the cause."""
    client = Client(f"http://127.0.0.1:{free_port()}", token="t", timeout_s=0.3)
    with pytest.raises(UnreachableError) as caught:
        await client.__aenter__()
    assert isinstance(caught.value.__cause__, OSError)


async def test_a_bad_token_is_final(pod: Pod) -> None:
    """A token that the server does not take ends the client at once: no second try."""
    with pytest.raises(ClosedError, match="unauthorized"):
        await Client(pod.ws_url, token="nonsense").__aenter__()
