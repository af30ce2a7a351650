"""SQL of channels and members."""

import asyncio

import pytest

from rtchat.errors import ChatError, Code
from rtchat.model import ChannelType, Kind, Role
from rtchat.store.channels import ChannelStore, Standing
from rtchat.store.database import Database
from tests.store.conftest import Rows

UNREAD_MAX = 5


@pytest.fixture(scope="module")
def store(database: Database) -> ChannelStore:
    return ChannelStore(database, UNREAD_MAX)


@pytest.fixture
async def ann(rows: Rows) -> int:
    return await rows.user("ann")


@pytest.fixture
async def bob(rows: Rows) -> int:
    return await rows.user("bob")


# --- creating


async def test_a_channel_is_made_with_its_members(store: ChannelStore, ann: int, bob: int):
    channel = await store.create(ann, "x", ChannelType.PRIVATE, [bob])
    members = {m.user.id: m.role for m in await store.members(channel, 0, 10)}
    assert members == {ann: Role.OWNER, bob: Role.MEMBER}
    assert sorted(await store.member_ids(channel)) == sorted([ann, bob])


async def test_a_channel_with_somebody_unknown_is_not_made(store: ChannelStore, ann: int):
    """All or nothing, dms too: the same people can try again."""
    for _ in range(2):
        with pytest.raises(ChatError) as caught:
            await store.create(ann, "x", ChannelType.PUBLIC, [999_999])
        assert caught.value.code is Code.NOT_FOUND
        with pytest.raises(ChatError) as caught:
            await store.create_dm(ann, [ann, 999_999])
        assert caught.value.code is Code.NOT_FOUND
    assert await store.mine(ann, 0, 10) == []


async def test_one_dm_for_each_set_of_people(store: ChannelStore, ann: int, bob: int):
    """20 at once: one makes it, the others find it, in whatever order the people are named."""
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(store.create_dm(people[0], people))
            for people in ([ann, bob], [bob, ann])
            for _ in range(10)
        ]
    found = [task.result() for task in tasks]
    assert len({channel for channel, _ in found}) == 1
    assert sorted(new for _, new in found) == [False] * 19 + [True]
    assert len(await store.members(found[0][0], 0, 10)) == 2


# --- looking


async def test_standing_tells_type_role_and_head(
    rows: Rows, store: ChannelStore, ann: int, bob: int
):
    """Of those that exist; a deleted one does not."""
    public = await rows.channel(ann)
    private = await rows.channel(bob, ChannelType.PRIVATE)
    gone = await rows.channel(ann)
    await rows.entry(public, ann)
    await rows.sql.execute("UPDATE channels SET deleted_at = now() WHERE id = $1", gone)
    found = await store.standing(ann, [public, private, gone, 999_999])
    assert found.epoch
    assert found.of == {
        public: Standing(ChannelType.PUBLIC, Role.OWNER, 1),
        private: Standing(ChannelType.PRIVATE, None, 0),
    }


async def test_a_channel_is_seen_as_one_stands_with_it(
    rows: Rows, store: ChannelStore, ann: int, bob: int
):
    """Read state is a member's; a deleted or missing channel is none."""
    channel = await rows.channel(ann)
    own, foreign = await store.view(ann, channel), await store.view(bob, channel)
    assert own is not None
    assert foreign is not None
    assert (own.role, own.read_seq, own.unread) == (Role.OWNER, 0, 0)
    assert (foreign.role, foreign.read_seq, foreign.unread) == (None, None, None)
    await rows.sql.execute("UPDATE channels SET deleted_at = now() WHERE id = $1", channel)
    assert await store.view(ann, channel) is None
    assert await store.view(ann, 999_999) is None
    assert await store.mine(ann, 0, 10) == []


async def test_unread_are_the_messages_of_others_behind_what_was_read(
    rows: Rows, store: ChannelStore, ann: int, bob: int
):
    """Not one's own, not those deleted since, not entries of other kinds."""
    channel = await rows.channel(ann)
    for _ in range(2):
        await rows.entry(channel, ann, "read already")
    await rows.member(channel, bob, read_seq=2)
    for _ in range(3):
        await rows.entry(channel, ann)
    await rows.entry(channel, bob, "my own")
    await rows.entry(channel, ann, "new name", Kind.RENAME)
    await rows.entry(channel, bob, None, Kind.JOIN, target=bob)

    async def unread(user_id: int) -> int | None:
        seen = await store.view(user_id, channel)
        assert seen is not None
        assert seen in await store.mine(user_id, 0, 10), "lists count as looking does"
        return seen.unread

    assert await unread(bob) == 3
    assert await unread(ann) == 1
    await rows.sql.execute(
        "UPDATE messages SET deleted_at = now(), content = NULL WHERE channel_id = $1 AND seq = 4",
        channel,
    )
    assert await unread(bob) == 2


async def test_unread_is_counted_up_to_a_bound(rows: Rows, store: ChannelStore, ann: int, bob: int):
    """A long absence costs no more than a short one."""
    channel = await rows.channel(ann)
    await rows.member(channel, bob)
    for number in range(1, UNREAD_MAX + 4):
        await rows.entry(channel, ann)
        seen = await store.view(bob, channel)
        assert seen is not None
        assert seen.unread == min(number, UNREAD_MAX)


async def test_lists_go_on_behind_a_cursor(rows: Rows, store: ChannelStore, ann: int, bob: int):
    """By id; private ones only for members, public ones for all."""
    public = [await rows.channel(ann) for _ in range(3)]
    private = await rows.channel(ann, ChannelType.PRIVATE)
    assert [c.id for c in await store.mine(ann, 0, 10)] == [*public, private]
    assert [c.id for c in await store.mine(ann, public[0], 2)] == public[1:]
    assert await store.mine(ann, private, 10) == []
    assert await store.mine(bob, 0, 10) == []
    assert [c.id for c in await store.public(bob, public[0] - 1, 2)] == public[:2]
    assert [c.id for c in await store.public(bob, public[1], 10)] == public[2:]


async def test_members_go_on_behind_a_cursor(rows: Rows, store: ChannelStore, ann: int, bob: int):
    """By user id; nobody's address is among what is read."""
    channel = await rows.channel(ann)
    await rows.member(channel, bob)
    assert [m.user.id for m in await store.members(channel, 0, 1)] == [ann]
    assert [m.user.id for m in await store.members(channel, ann, 10)] == [bob]
    assert not isinstance((await store.members(channel, 0, 1))[0].user.email, str)
    one = await store.member(channel, bob)
    assert one is not None
    assert (one.user.id, one.role) == (bob, Role.MEMBER)
    assert await store.member(channel, 999_999) is None


# --- what is left of dropped channels


async def drop(rows: Rows, channel: int, ago_s: float) -> None:
    """What the writer does at a deletion, some time ago."""
    await rows.sql.execute("DELETE FROM members WHERE channel_id = $1", channel)
    await rows.sql.execute(
        "UPDATE channels SET deleted_at = now() - make_interval(secs => $2) WHERE id = $1",
        channel,
        ago_s,
    )


async def left(rows: Rows, channel: int) -> tuple[int, int]:
    """How many rows of a channel, and of its log and reactions, there are."""
    return (
        await rows.sql.fetchval("SELECT count(*) FROM channels WHERE id = $1", channel),
        await rows.sql.fetchval("SELECT count(*) FROM messages WHERE channel_id = $1", channel)
        + await rows.sql.fetchval("SELECT count(*) FROM reactions WHERE channel_id = $1", channel),
    )


async def test_dropped_channels_are_purged_a_little_at_a_time(
    rows: Rows, store: ChannelStore, ann: int
):
    """So many rows a time, then the channel itself; nothing else is touched."""
    doomed, other, recent = [await rows.channel(ann) for _ in range(3)]
    for channel in (doomed, other, recent):
        for _ in range(7):
            await rows.entry(channel, ann)
    await drop(rows, doomed, 100)
    await drop(rows, recent, 1)
    assert await store.purge_dropped(60, 3) == 3
    assert await left(rows, doomed) == (1, 4)
    assert await store.purge_dropped(60, 3) == 3
    assert await store.purge_dropped(60, 3) > 0
    assert await left(rows, doomed) == (0, 0)
    assert await store.purge_dropped(60, 3) == 0
    assert await left(rows, other) == (1, 7)
    assert await left(rows, recent) == (1, 7)


async def test_reactions_are_purged_with_their_channel(rows: Rows, store: ChannelStore, ann: int):
    """Behind its log, and so many rows a time, too; nobody else's."""
    doomed, other = [await rows.channel(ann) for _ in range(2)]
    for channel in (doomed, other):
        await rows.entry(channel, ann)
        for emoji in "👍🎉🙂😀😂":
            await rows.reaction(channel, 1, emoji, ann)
    await drop(rows, doomed, 100)
    gone = [await store.purge_dropped(60, 4) for _ in range(4)]
    assert gone == [4, 4, 4, 0]  # six entries, five reactions, one channel
    assert await left(rows, doomed) == (0, 0)
    assert await left(rows, other) == (1, 6 + 5)


@pytest.mark.parametrize("entries", [0, 1, 3, 4, 6])
async def test_a_purge_ends_whatever_the_number_of_rows(
    rows: Rows, store: ChannelStore, ann: int, entries: int
):
    """Also where the last slice is just full."""
    channel = await rows.channel(ann)
    for _ in range(entries):
        await rows.entry(channel, ann)
    await drop(rows, channel, 100)
    for _ in range(10):
        if await store.purge_dropped(60, 3) == 0:
            break
    assert await left(rows, channel) == (0, 0)
    assert await store.purge_dropped(60, 3) == 0


async def test_pods_purge_at_the_same_time(rows: Rows, store: ChannelStore, ann: int):
    """Each takes a channel that no other holds; none waits, none fails."""
    channels = [await rows.channel(ann) for _ in range(6)]
    for channel in channels:
        for _ in range(20):
            await rows.entry(channel, ann)
        await drop(rows, channel, 100)

    async def purge() -> int:
        total = 0
        while gone := await store.purge_dropped(60, 5):
            total += gone
        return total

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(purge()) for _ in range(4)]
    while await store.purge_dropped(60, 5):
        pass
    assert sum(task.result() for task in tasks) <= 6 * 21
    for channel in channels:
        assert await left(rows, channel) == (0, 0)
