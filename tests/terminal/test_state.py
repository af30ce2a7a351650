"""What a terminal knows: entries become messages once, and one's own are never there twice."""

from rtchat.client import (
    Chan,
    Channel,
    Del,
    Edit,
    Join,
    Leave,
    Message,
    Presence,
    React,
    Reaction,
    Read,
    Typing,
)
from rtchat.terminal.state import ITEMS_KEPT, ITEMS_MAX, TYPING_S, Event, Room, Said
from tests.terminal.rooms import ANN, BOB, CY, TS, msg, one_room


def stored(seq: int, content: str, **more) -> Message:
    return Message(
        id=f"17:{seq}", channel_id=17, seq=seq, user_id=BOB, content=content,
        timestamp="2026-01-31T12:00:00.000Z", **more,
    )  # fmt: skip


def said(room: Room, seq: int) -> Said:
    item = room.items[seq]
    assert isinstance(item, Said)
    return item


def test_entries_are_folded_once_in_the_order_of_seq() -> None:
    """However they come: live, in a page of history, or again."""
    _, room = one_room()
    room.on(msg(5, "five"))
    room.page([stored(3, "three"), stored(5, "five")], more=True)
    room.page([stored(1, "one")], more=False)
    room.on(msg(5, "five"))
    assert room.order == [1, 3, 5]
    assert [said(room, seq).content for seq in room.order] == ["one", "three", "five"]
    assert room.last_seq == 5


def test_changes_reach_the_message_that_they_are_of() -> None:
    """And change nothing when they come again, as they do behind a page that has them."""
    _, room = one_room(1)
    edit = Edit(ch=17, seq=2, ts=TS, of=1, user=BOB, content="better")
    up = React(ch=17, seq=3, ts=TS, of=1, user=ANN, emoji="👍", on=True)
    for _ in range(2):
        room.on(edit)
        room.on(up)
    item = said(room, 1)
    assert (item.content, item.edited, item.reactions) == ("better", True, {"👍": {ANN}})
    room.on(React(ch=17, seq=4, ts=TS, of=1, user=ANN, emoji="👍", on=False))
    assert item.reactions == {}
    room.on(Del(ch=17, seq=5, ts=TS, of=1, user=BOB))
    room.on(Edit(ch=17, seq=6, ts=TS, of=1, user=BOB, content="late"))
    assert (item.content, item.deleted) == ("", True)
    room.on(Del(ch=17, seq=7, ts=TS, of=999, user=BOB))  # not here: a page has it as it is
    assert room.last_seq == 7


def test_reactions_of_history_count_those_who_are_not_named() -> None:
    _, room = one_room()
    room.page([stored(1, "x", reactions=[Reaction(emoji="🎉", count=12, users=[BOB])])], more=False)
    room.on(React(ch=17, seq=2, ts=TS, of=1, user=BOB, emoji="🎉", on=False))
    assert said(room, 1).unnamed == {"🎉": 11}
    assert "🎉" in said(room, 1).reactions


def test_members_and_names_are_told() -> None:
    _, room = one_room()
    room.on(Join(ch=17, seq=1, ts=TS, user=BOB, by=BOB))
    room.on(Join(ch=17, seq=2, ts=TS, user=CY, by=BOB))
    room.on(Leave(ch=17, seq=3, ts=TS, user=CY, by=BOB))
    room.on(Chan(ch=17, seq=4, ts=TS, user=BOB, name="{0} & co"))
    events = [item for item in room.items.values() if isinstance(item, Event)]
    assert [event.words.format("X", "Y") for event in events] == [
        "X joined", "Y added X", "Y removed X", "X named it {0} & co",
    ]  # fmt: skip
    assert room.channel.name == "{0} & co"


def test_ones_own_message_is_there_once() -> None:
    """Whether its ack comes first, as on a socket that stands, or its entry, after a lost one."""
    _, room = one_room()
    first, second = room.begin("n1", "hi"), room.begin("n2", "hi")
    room.acked(first, 1, TS)
    assert [p.nonce for p in room.shown_pending()] == ["n2"]
    room.on(msg(1, "hi", ANN))
    assert [p.nonce for p in room.shown_pending()] == ["n2"], "that was the other one"
    room.on(msg(2, "hi", ANN))
    assert room.shown_pending() == []
    room.acked(second, 2, TS)
    assert (room.order, room.pending, room.unread) == ([1, 2], {}, 0)


def test_what_failed_stays_and_says_why() -> None:
    _, room = one_room()
    pending = room.begin("n1", "hi")
    room.on(msg(1, "hi", ANN))  # of another device, with the same words
    room.failed(pending, "no answer")
    assert [(p.content, p.failed) for p in room.shown_pending()] == [("hi", "no answer")]


def test_unread_counts_what_others_said_since() -> None:
    state, room = one_room(3)
    room.on(msg(4, "mine", ANN))
    assert room.unread == 3
    assert room.seen()
    assert not room.seen(), "no news"
    room.on(msg(4, "mine", ANN))
    room.on(msg(5, "more"))
    assert room.unread == 1
    state.on_ephemeral(Read(ch=17, user=BOB, seq=5), now=0)
    assert room.unread == 1
    state.on_ephemeral(Read(ch=17, user=ANN, seq=5), now=0)
    assert room.unread == 0, "read on another device"
    for seq in (6, 7, 8):
        room.on(msg(seq, "and more"))
    state.on_ephemeral(Read(ch=17, user=ANN, seq=6), now=0)
    assert room.unread == 2, "of which a part"
    state.on_ephemeral(Read(ch=17, user=ANN, seq=5), now=0)
    assert room.unread == 2


def test_who_types_and_who_is_there() -> None:
    """Typing ends with the message, or by itself; what is of a channel elsewhere is left."""
    state, room = one_room()
    for user, channel in ((BOB, 17), (CY, 17), (ANN, 17), (BOB, 99)):
        state.on_ephemeral(Typing(ch=channel, user=user), now=10)
    assert state.typists(11) == ["Bob", "Cy"]
    room.on(msg(1, "done"))
    assert state.typists(11) == ["Cy"]
    assert state.typists(11 + TYPING_S) == []
    state.on_ephemeral(Presence(user=BOB, status="online"), now=0)
    assert [state.is_online(user) for user in (BOB, CY)] == [True, False]


def test_a_channel_does_not_grow_without_end() -> None:
    _, room = one_room(ITEMS_MAX)
    room.shorten()
    assert len(room.order) == ITEMS_MAX
    room.on(msg(ITEMS_MAX + 1, "one more"))
    room.shorten()
    assert room.order == list(range(ITEMS_MAX + 2 - ITEMS_KEPT, ITEMS_MAX + 2))
    assert room.items.keys() == set(room.order)
    assert room.older, "the rest is asked for again"


def test_channels_are_listed_by_name_people_behind() -> None:
    state, _ = one_room()
    for number, (kind, name) in enumerate([("dm", None), ("private", "Backstage"), ("dm", None)]):
        channel = Channel(id=20 + number, type=kind, name=name, last_seq=0)
        state.rooms[channel.id] = Room(channel, ANN)
    state.rooms[20].others = [CY, BOB]
    labels = [state.label(room) for room in state.listed()]
    assert labels == ["#general", "&Backstage", "@Cy, Bob", "@yourself"]
    state.rooms[22].others = [44]
    assert state.unknown() == {44}
