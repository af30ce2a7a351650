"""What is typed behind a slash, and what becomes of it: with a real client, without a screen."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from rtchat.client import Client, ClientError, RefusedError, Rest, UnreachableError
from rtchat.terminal import commands
from rtchat.terminal.commands import COMMANDS, QuitError
from rtchat.terminal.finding import WrongError
from rtchat.terminal.lines import items
from rtchat.terminal.state import Pending, Said, State
from rtchat.terminal.talk import Talk
from tests.client.talk import until
from tests.people import People, Person
from tests.pods import Pod, Pods
from tests.terminal.conftest import Mortal


class Done(Exception):  # noqa: N818  the end of a talk
    """Leave."""


@asynccontextmanager
async def talking(pod: Pod, person: Person) -> AsyncIterator[Talk]:
    """Somebody's side, with all of theirs followed."""
    async with (
        Rest(pod.url, person.token, trust_env=False) as rest,
        Client(pod.ws_url, token=person.token) as client,
    ):
        try:
            async with asyncio.TaskGroup() as group:
                talk = Talk(client, rest, State(await rest.me()), group)
                group.create_task(talk.run())
                await talk.list_channels()
                yield talk
                raise Done
        except* Done:
            pass


def shown(talk: Talk) -> list[str]:
    """What the channel that is shown has in it."""
    assert talk.state.room is not None
    return [i.content for i in items(talk.state.room) if isinstance(i, Said | Pending)]


async def test_finding_channels_and_people(people: People, pod: Pod) -> None:
    """By name in any case, number or address; never one of several."""
    ann, bob, bea = [await people.new(name) for name in ("Ann", "Zed Stone", "Zed Stoner")]
    async with talking(pod, bob) as his, talking(pod, ann) as hers:
        await commands.run(his, f"/create Den {bob.id}")
        with pytest.raises(WrongError, match="/create makes one"):
            await commands.run(hers, "/join no such place")
        await commands.run(hers, f"/join #den {bob.id}")
        assert hers.state.room is not None
        assert his.state.room is not None
        assert hers.state.room.id == his.state.room.id
        await commands.run(hers, "/create &Quiet")
        assert hers.state.label(hers.state.room) == "&Quiet"
        await commands.run(hers, f"/join {his.state.room.id}")
        assert hers.state.current == his.state.current
        with pytest.raises(WrongError, match="which zed: Zed Stone, Zed Stoner"):
            await commands.run(hers, "/dm zed")
        with pytest.raises(WrongError, match="nobody is called"):
            await commands.run(hers, "/dm zz-nobody")
        await commands.run(hers, "/dm zed stone")
        assert hers.state.label(hers.state.room) == "@Zed Stone"
        await commands.run(hers, f"/dm {bea.email}, @Zed Stone")
        assert hers.state.label(hers.state.room) in (
            "@Zed Stone, Zed Stoner",
            "@Zed Stoner, Zed Stone",
        )
        await until(lambda: any(r.channel.type == "dm" for r in his.state.rooms.values()))


async def test_a_name_that_several_channels_have_is_none(people: People, pod: Pod) -> None:
    """Anybody may call a channel as another is called, and add members: a number says which."""
    ann, eve = await people.new("Ann"), await people.new("Eve")
    async with talking(pod, ann) as hers, talking(pod, eve) as his:
        await commands.run(his, f"/create &Builds of {ann.id}")
        assert his.state.room is not None
        await his.rest.add_member(his.state.room.id, ann.id)
        await commands.run(hers, f"/create &Builds of {ann.id}")
        assert hers.state.room is not None
        right, wrong = hers.state.room.id, his.state.room.id
        await until(lambda: wrong in hers.state.rooms)
        with pytest.raises(WrongError, match="a number names one"):
            await commands.run(hers, f"/join builds of {ann.id}")
        await commands.run(his, f"/create {right}")  # not seen by its number, so found by its name
        await commands.run(hers, f"/join {right}")
        assert hers.state.current == right
        await commands.run(hers, f"/dm {eve.email}")
        with pytest.raises(WrongError, match="/create makes one"):
            await commands.run(hers, "/join #")


async def test_members_come_and_go(people: People, pod: Pod) -> None:
    ann, bob = await people.new("Ann"), await people.new(f"Bob the {id(pod)}")
    async with talking(pod, ann) as hers, talking(pod, bob) as his:
        await commands.run(hers, "/create &Club")
        assert hers.state.room is not None
        club = hers.state.room.id
        await commands.run(hers, f"/invite {bob.name}")
        await until(lambda: club in his.state.rooms)
        await commands.run(hers, "/members")
        assert [line[2:] for line in hers.state.panel] == ["Ann (owner)", bob.name]
        await commands.run(hers, "/rename Society")
        await until(lambda: his.state.rooms[club].channel.name == "Society")
        await commands.run(his, "/join Society")
        with pytest.raises(RefusedError, match="forbidden"):
            await commands.run(his, "/rename Mine")
        await commands.run(hers, f"/remove {bob.name}")
        await until(lambda: his.state.room is None)
        assert his.state.panel == ["you are not in &Society any more"]
        with pytest.raises(WrongError, match="no channel is open"):
            his.say("anyone?")
        with pytest.raises(WrongError, match="no channel is open"):
            await commands.run(his, "/leave")


async def test_messages_are_changed(people: People, pod: Pod) -> None:
    """The last one, or that of a number; of others' only what one may."""
    ann = await people.new("Ann")
    async with talking(pod, ann) as talk:
        await commands.run(talk, "/create Notes")
        with pytest.raises(WrongError, match="no message"):
            await commands.run(talk, "/delete")
        for text in ("one", "two", "three"):
            talk.say(commands.message_of(text))
        await until(lambda: talk.unsent == 0)
        await commands.run(talk, "/edit three!")
        await commands.run(talk, "/edit #1 one!")
        await commands.run(talk, "/delete 2")
        await until(lambda: shown(talk) == ["one!", "", "three!"])
        await commands.run(talk, "/delete")
        await until(lambda: shown(talk) == ["one!", "", ""])
        with pytest.raises(WrongError, match="message 99 is not here"):
            await commands.run(talk, "/edit #99 x")
        with pytest.raises(WrongError, match="/delete"):
            await commands.run(talk, "/delete all of it")


async def test_what_failed_is_sent_again_under_its_nonce(people: People, pod: Pod) -> None:
    """In order, each once; or forgotten."""
    ann, bob = await people.new("Ann"), await people.new("Bob")
    async with talking(pod, ann) as hers, talking(pod, bob) as his:
        await commands.run(hers, "/create &Door")
        room = hers.state.room
        assert room is not None
        await hers.rest.add_member(room.id, bob.id)
        await until(lambda: room.id in his.state.rooms)
        await his.open(his.state.rooms[room.id])
        # The server says no before the hint that one is out has come: as over a slow line.
        his.state.rooms[room.id].id = 2**50
        for text in ("first", "second"):
            his.say(text)
        await until(lambda: len(his.failed()) == 2)
        assert "not sent" in (his.failed()[0].failed or "")
        nonces = [pending.nonce for pending in his.failed()]
        his.state.rooms[room.id].id = room.id
        await commands.run(his, "/retry")
        await until(lambda: his.unsent == 0)
        assert shown(his) == ["first", "second"]
        mine = Rest(pod.url, bob.token, trust_env=False)
        assert [m.nonce async for m in mine.messages(room.id)] == nonces
        await mine.close()
        with pytest.raises(WrongError, match="nothing has failed"):
            await commands.run(his, "/retry")
        his.say("x" * 4001)
        await until(lambda: len(his.failed()) == 1)
        with pytest.raises(WrongError, match="1 messages are not stored"):
            await commands.run(his, "/quit")
        his.say("y" * 4001)
        await until(lambda: len(his.failed()) == 2)
        with pytest.raises(WrongError, match="2 messages are not stored yet; /logout again"):
            await commands.run(his, "/logout")
        await commands.run(his, "/discard")
        assert his.unsent == 0
        with pytest.raises(QuitError):
            await commands.run(his, "/quit")


async def test_unread_is_counted_while_another_channel_is_shown(people: People, pod: Pod) -> None:
    """From the server at the start, from the log then; and none are of what is shown."""
    ann, bob = await people.new("Ann"), await people.new("Bob")
    mine = Rest(pod.url, bob.token, trust_env=False)
    channel = (await mine.create_channel("Elsewhere", "public", [ann.id])).id
    await mine.send(channel, "before")
    async with talking(pod, ann) as talk:
        room = talk.state.rooms[channel]
        before = room.unread
        await mine.send(channel, "while")
        await until(lambda: room.unread == before + 1)
        await talk.open(room)
        assert shown(talk) == ["before", "while"]
        await mine.send(channel, "now")
        await until(lambda: shown(talk) == ["before", "while", "now"])
        assert room.unread == 0
    await mine.close()


async def test_what_could_not_be_followed_is_with_the_next_connection(
    people: People, pod: Pod, pods: Pods
) -> None:
    """The socket's server is away, REST's is not."""
    ann = await people.new("Ann")
    server = Mortal(pods, pod.database_url)
    async with (
        Rest(pod.url, ann.token, trust_env=False) as rest,
        Client(server.pod.ws_url, token=ann.token, timeout_s=0.3) as client,
        asyncio.TaskGroup() as group,
    ):
        talk = Talk(client, rest, State(await rest.me()), group)
        server.pod.kill()
        await until(lambda: not client.connected)
        channel = (await rest.create_channel("Later")).id
        with pytest.raises(UnreachableError):
            await talk.list_channels()
        running = group.create_task(talk.run())
        await rest.send(channel, "while")
        server.start()
        await until(lambda: talk.state.rooms[channel].last_seq == 1)
        await until(lambda: channel in client.cursors())
        await talk.open(talk.state.rooms[channel])
        assert shown(talk) == ["while"]
        running.cancel()
    server.pod.kill()


@pytest.mark.parametrize("line", ["/", "/nonsense x", "/join", "/dm", "/edit", "/ join x"])
async def test_a_slip_of_the_pen_changes_nothing(people: People, pod: Pod, line: str) -> None:
    ann = await people.new("Ann")
    async with talking(pod, ann) as talk:
        with pytest.raises((WrongError, ClientError)):
            await commands.run(talk, line)
        assert talk.state.rooms == {}


async def test_help_has_every_command(people: People, pod: Pod) -> None:
    ann = await people.new("Ann")
    async with talking(pod, ann) as talk:
        await commands.run(talk, "/help")
        assert all(any(f"/{name}" in line for line in talk.state.panel) for name in COMMANDS)
        await commands.run(talk, "/name Anna")
        assert talk.state.name(ann.id) == "Anna"


def test_two_slashes_begin_a_message() -> None:
    assert commands.is_command("/me")
    assert not commands.is_command("//me")
    assert commands.message_of("//me") == "/me"
    assert commands.message_of("a / b") == "a / b"
