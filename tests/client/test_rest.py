"""REST of the client: a method for each thing that a client may ask, and pages as one iteration."""

import asyncio
import inspect
import re
from pathlib import Path

import pytest

from rtchat.api.routes import ROUTES
from rtchat.client import RefusedError, Rest, rest as rest_module
from tests.people import People

# What a browser does, or a program that looks at a server: no user's operation.
NOBODYS = {
    "/auth/oauth/{provider:word}", "/auth/oauth/{provider:word}/callback", "/.well-known/jwks.json",
    "/ws", "/healthz", "/readyz", "/openapi.json", "/asyncapi.json", "/docs", "/docs/ws", "/",
}  # fmt: skip


def test_every_operation_has_a_method() -> None:
    """Read out of the source: its calls are the route table's, and no other."""
    source = Path(inspect.getfile(rest_module)).read_text()
    source = re.sub(r'path = (f?".*")\n(.*?)self\.call\("(\w+)", path,', r'\2"\3", \1,', source)
    source = re.sub(
        r'path = (f?".*")\n(.*?\n.*?)self\.call\("(\w+)", path,', r'\2"\3", \1,', source
    )
    made = {
        (m, re.sub(r"\{\w+\}", "{}", p)) for m, p in re.findall(r'"([A-Z]+)", f?"(/\S*)"', source)
    }
    wanted = {
        (r.method, re.sub(r"\{[\w:]+\}", "{}", r.path)) for r in ROUTES if r.path not in NOBODYS
    }
    assert made == wanted


async def test_people_find_each_other(people: People, rest: Rest) -> None:
    """By the beginning of a name or the whole address, and names for ids, however many."""
    ann, bob = await people.new("Ann of the hill"), await people.new("bob")
    mine = rest.as_user(ann.token)
    assert ann.id in [user.id for user in await mine.find_users("ann OF the")]
    assert [user.id for user in await mine.find_users(bob.email)] == [bob.id]
    some = [
        user.id for user in await mine.users([bob.id, ann.id, bob.id, *range(2**40, 2**40 + 300)])
    ]
    assert some == sorted([ann.id, bob.id])
    assert await mine.users([]) == []
    me = await mine.update_me(name="Anna", status="away")
    assert (me.name, me.status) == ("Anna", "away")
    assert (await mine.update_me(status="")).name == "Anna"


async def test_a_channel_is_looked_after(people: People, rest: Rest) -> None:
    """Another name, other roles, another owner, and its end."""
    ann, bob = await people.new("ann"), await people.new("bob")
    hers, his = rest.as_user(ann.token), rest.as_user(bob.token)
    channel = (await hers.create_channel("plans", "private", [bob.id])).id
    assert (await hers.rename_channel(channel, "deeds")).name == "deeds"
    assert (await hers.set_role(channel, bob.id, "admin")).role == "admin"
    assert (await hers.set_role(channel, bob.id, "owner")).role == "owner"
    assert (await hers.channel(channel)).role == "admin"
    await his.remove_member(channel, ann.id)
    with pytest.raises(RefusedError, match="not_found"):
        await hers.channel(channel)
    await his.delete_channel(channel)
    with pytest.raises(RefusedError, match="not_found"):
        await his.channel(channel)
    dm = await hers.create_channel(None, "dm", [bob.id])
    assert await his.create_channel(None, "dm", [ann.id]) == await his.channel(dm.id)


async def test_a_message_is_edited_and_deleted_once(people: People, rest: Rest) -> None:
    """An edit is known again by its nonce; a deleted message keeps its place, without content."""
    ann = await people.new()
    mine = rest.as_user(ann.token)
    channel = (await mine.create_channel("c")).id
    sent = await mine.send(channel, "helo", "n1")
    edited = await mine.edit(channel, sent.seq, "hello", "e1")
    assert await mine.edit(channel, sent.seq, "hello", "e1") == edited
    assert (await mine.message(channel, sent.seq)).content == "hello"
    assert (await mine.channel(channel)).last_seq == 2
    await mine.delete(channel, sent.seq)
    gone = await mine.message(channel, sent.seq)
    assert (gone.content, gone.deleted_at is not None) == ("", True)


async def test_pages_are_one_iteration(people: People, rest: Rest) -> None:
    """Beyond the limit of a page, forwards and backwards, from any place; members, channels."""
    ann, *others = await people.several(4)
    mine = rest.as_user(ann.token)
    channel = (await mine.create_channel("c", "public", [other.id for other in others])).id
    first = (await mine.channel(channel)).last_seq + 1
    async with asyncio.TaskGroup() as group:
        for n in range(250):
            group.create_task(mine.send(channel, f"{n}"))
    seqs = list(range(first, first + 250))
    assert [m.seq async for m in mine.messages(channel)] == seqs
    assert [m.seq async for m in mine.messages(channel, after=seqs[-3])] == seqs[-2:]
    assert [m.seq async for m in mine.messages_back(channel)] == seqs[::-1]
    assert [m.seq async for m in mine.messages_back(channel, before=seqs[2])] == seqs[1::-1]
    ids = [m.user.id async for m in mine.all_members(channel)]
    assert sorted(ids) == sorted([ann.id, *(other.id for other in others)])
    assert [c.id async for c in mine.all_channels()] == [channel]
    assert channel in [c.id async for c in mine.all_channels("public")]
    assert [s.current async for s in mine.all_sessions()] == [True]
