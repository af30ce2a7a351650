"""SQL that reads the log."""

import time
from datetime import UTC, datetime

import pytest
from msgspec import UNSET

from rtchat.errors import ChatError, Code
from rtchat.model import ChannelType, Kind, Message, Reaction, Role, rfc3339
from rtchat.store.database import Database
from rtchat.store.messages import MessageStore
from tests.store.conftest import Rows


@pytest.fixture(scope="module")
def store(database: Database) -> MessageStore:
    return MessageStore(database)


@pytest.fixture
async def ann(rows: Rows) -> int:
    return await rows.user("ann")


@pytest.fixture
async def channel(rows: Rows, ann: int) -> int:
    """A log of 1 to 10: the third is a joining, the sixth an edit, the others are messages."""
    channel_id = await rows.channel(ann)
    for number in range(1, 11):
        if number == 3:
            await rows.entry(channel_id, ann, None, Kind.JOIN, target=ann)
        elif number == 6:
            await rows.entry(channel_id, ann, "edited", Kind.EDIT, target=5)
        else:
            await rows.entry(channel_id, ann, f"message {number}", nonce=f"n{number}")
    other = await rows.channel(ann)
    await rows.entry(other, ann, "of another channel")
    return channel_id


MESSAGES = [1, 2, 4, 5, 7, 8, 9, 10]


def seqs(messages: list[Message]) -> list[int]:
    return [message.seq for message in messages]


async def test_entries_are_all_of_the_log_in_order(store: MessageStore, channel: int, ann: int):
    """Of every kind, after one seq and up to another, as many as are asked for."""
    entries = await store.entries(channel, 0, None, 100)
    assert [entry.seq for entry in entries] == list(range(1, 11))
    assert entries[2].kind is Kind.JOIN
    assert (entries[2].target, entries[2].content) == (ann, None)
    assert (entries[5].kind, entries[5].target, entries[5].content) == (Kind.EDIT, 5, "edited")
    assert all(abs(entry.ts - time.time() * 1000) < 60_000 for entry in entries)
    assert [e.seq for e in await store.entries(channel, 4, None, 3)] == [5, 6, 7]
    assert [e.seq for e in await store.entries(channel, 4, 6, 100)] == [5, 6]
    assert await store.entries(channel, 10, None, 100) == []
    assert await store.entries(channel, 2**53 - 1, None, 100) == []


async def test_pages_hold_messages_only(store: MessageStore, channel: int, ann: int):
    """In seq order, whichever way they were read; and whether there are more that way."""

    async def page(limit: int, *, before: int | None = None, after: int | None = None):
        found = await store.page(channel, ann, before=before, after=after, limit=limit)
        assert found is not None
        return seqs(found.items), found.more

    assert await page(100) == (MESSAGES, False)
    assert await page(3) == ([8, 9, 10], True)
    assert await page(3, before=8) == ([4, 5, 7], True)
    assert await page(3, before=4) == ([1, 2], False)
    assert await page(3, after=0) == ([1, 2, 4], True)
    assert await page(3, after=5) == ([7, 8, 9], True)
    assert await page(4, after=5) == ([7, 8, 9, 10], False)
    assert await page(3, after=10) == ([], False)
    assert await page(3, before=1) == ([], False)


async def test_a_page_tells_where_its_reader_stands(
    rows: Rows, store: MessageStore, channel: int, ann: int
):
    """Whether the reader may have it is for the rules; where there is no channel, is no page."""

    async def standing(reader: int, channel_id: int):
        found = await store.page(channel_id, reader, before=None, after=None, limit=2)
        return found and (found.type, found.role, len(found.items))

    bob = await rows.user("bob")
    await rows.sql.execute(
        "INSERT INTO members (channel_id, user_id, role) VALUES ($1, $2, 'admin')", channel, bob
    )
    assert await standing(bob, channel) == (ChannelType.PUBLIC, Role.ADMIN, 2)
    eve, empty = await rows.user("eve"), await rows.channel(ann)
    assert await standing(eve, channel) == (ChannelType.PUBLIC, None, 2)
    assert await standing(eve, empty) == (ChannelType.PUBLIC, None, 0)
    assert await standing(ann, 999_999) is None
    await rows.sql.execute("UPDATE channels SET deleted_at = now() WHERE id = $1", channel)
    assert await standing(bob, channel) is None


async def test_moments_are_written_in_milliseconds(
    rows: Rows, store: MessageStore, channel: int, ann: int
):
    """In the form of the rest of the interface, whatever the time zone of the session is."""
    moment = datetime(2026, 3, 9, 7, 5, 4, 30_999, UTC)
    await rows.sql.execute(
        "UPDATE messages SET timestamp = $2, edited_at = $3 WHERE channel_id = $1 AND seq = 5",
        channel,
        moment,
        moment.replace(microsecond=0),
    )
    found = await store.one(channel, 5, ann)
    assert found is not None
    assert found.timestamp == rfc3339(moment) == "2026-03-09T07:05:04.030Z"
    assert found.edited_at == "2026-03-09T07:05:04.000Z"


async def test_one_message_is_found_by_its_number(store: MessageStore, channel: int, ann: int):
    """Entries of other kinds are no messages."""
    found = await store.one(channel, 5, ann)
    assert found is not None
    assert (found.id, found.content, found.user_id) == (f"{channel}:5", "message 5", ann)
    for seq in (3, 6, 11):
        assert await store.one(channel, seq, ann) is None
    assert await store.one(999_999, 1, ann) is None


async def test_a_nonce_is_its_authors(rows: Rows, store: MessageStore, channel: int, ann: int):
    """And one that a pod made is nobody's."""
    bob = await rows.user("bob")
    mine, theirs = await store.one(channel, 5, ann), await store.one(channel, 5, bob)
    assert mine is not None
    assert theirs is not None
    assert mine.nonce == "n5"
    assert not isinstance(theirs.nonce, str)
    seq = await rows.entry(channel, ann, "without a nonce of mine")
    made = await store.one(channel, seq, ann)
    assert made is not None
    assert not isinstance(made.nonce, str)


async def test_edits_and_deletions_show(rows: Rows, store: MessageStore, channel: int, ann: int):
    """Both as moments of the message; a deletion also in the entries that are caught up with."""
    await rows.sql.execute(
        "UPDATE messages SET edited_at = now() WHERE channel_id = $1 AND seq = 4", channel
    )
    await rows.sql.execute(
        "UPDATE messages SET deleted_at = now(), content = NULL WHERE channel_id = $1 AND seq = 5",
        channel,
    )
    edited, deleted = await store.one(channel, 4, ann), await store.one(channel, 5, ann)
    assert edited is not None
    assert deleted is not None
    assert isinstance(edited.edited_at, str)
    assert not isinstance(edited.deleted_at, str)
    assert isinstance(deleted.deleted_at, str)
    assert deleted.content == ""
    entries = await store.entries(channel, 3, 5, 10)
    assert [entry.deleted for entry in entries] == [False, True]


async def test_reactions_show_in_the_order_in_which_they_came(
    rows: Rows, store: MessageStore, channel: int, ann: int
):
    """The same in every page and alone: each emoji once, with those who reacted first to last."""
    bob, eve = await rows.user("bob"), await rows.user("eve")
    for target, emoji, user in [
        (4, "🎉", eve), (4, "👍", bob), (5, "👍", ann), (4, "🎉", ann), (4, "👍", ann),
        (4, "🎉", bob),
    ]:  # fmt: skip
        await rows.reaction(channel, target, emoji, user)
    expected = {
        4: [
            Reaction(emoji="🎉", count=3, users=[eve, ann, bob]),
            Reaction(emoji="👍", count=2, users=[bob, ann]),
        ],
        5: [Reaction(emoji="👍", count=1, users=[ann])],
    }
    for where in ({}, {"before": 8}, {"after": 2}, {"after": 3}, {"before": 6}):
        bounds: dict[str, int | None] = {"before": None, "after": None} | where
        page = await store.page(channel, ann, limit=50, **bounds)
        assert page is not None
        told = {m.seq: m.reactions for m in page.items if m.reactions is not UNSET}
        assert told == expected
        for message in page.items:
            assert await store.one(channel, message.seq, ann) == message
    newest = await store.page(channel, ann, before=None, after=None, limit=3)
    assert newest is not None
    assert [m.reactions for m in newest.items] == [UNSET] * 3


async def test_of_many_who_react_the_first_are_named(
    rows: Rows, store: MessageStore, channel: int, ann: int
):
    """All are counted; and the reader, who may take a reaction back, is never left out."""
    late = await rows.user("late")
    await rows.sql.execute(
        "INSERT INTO reactions (channel_id, target, emoji, user_id, seq)"
        " SELECT $1, 4, '👍', 1000000 - n, n FROM generate_series(1, 150) n",
        channel,
    )
    await rows.sql.execute(
        "INSERT INTO reactions (channel_id, target, emoji, user_id, seq)"
        " VALUES ($1, 4, '👍', $2, 151)",
        channel,
        late,
    )
    found = await store.one(channel, 4, ann)
    assert found is not None
    first = [1_000_000 - n for n in range(1, 101)]
    assert found.reactions == [Reaction(emoji="👍", count=151, users=first)]
    found = await store.one(channel, 4, late)
    assert found is not None
    assert found.reactions == [Reaction(emoji="👍", count=151, users=[*first[:99], late])]


async def test_a_deleted_message_shows_no_reactions(
    rows: Rows, store: MessageStore, channel: int, ann: int
):
    """Not even those that an older pod left when it deleted the message."""
    await rows.reaction(channel, 4, "👍", ann)
    await rows.sql.execute(
        "UPDATE messages SET deleted_at = now(), content = '' WHERE channel_id = $1 AND seq = 4",
        channel,
    )
    found = await store.one(channel, 4, ann)
    assert found is not None
    assert found.reactions is UNSET


async def test_heads_are_those_of_channels_that_have_a_log(
    rows: Rows, store: MessageStore, channel: int
):
    """A dropped one has its tombstone still; a missing one is left out."""
    await rows.sql.execute("UPDATE channels SET deleted_at = now() WHERE id = $1", channel)
    assert (await store.heads([channel, 999_999])).of == {channel: 10}
    assert (await store.heads([])).of == {}


async def test_heads_come_with_the_newest_epoch(rows: Rows, store: MessageStore):
    """In one statement, whether there are channels or not; and from a session that can write."""
    first = await store.heads([])
    await rows.sql.execute("INSERT INTO log_epochs DEFAULT VALUES")
    second = await store.heads([999_999])
    assert first.epoch
    assert second.epoch not in ("", first.epoch)
    assert await store.heads([]) == (second.epoch, False, {})


async def test_a_log_without_an_epoch_is_none(rows: Rows, store: MessageStore):
    """A database that a restore is filling: what it lacks is no news of any channel."""
    epochs = [row["epoch"] for row in await rows.sql.fetch("DELETE FROM log_epochs RETURNING *")]
    with pytest.raises(ChatError) as refused:
        await store.heads([1])
    assert refused.value.code is Code.UNAVAILABLE
    await rows.sql.execute("INSERT INTO log_epochs (epoch) VALUES ($1)", epochs[-1])
    assert (await store.heads([])).epoch == epochs[-1]
