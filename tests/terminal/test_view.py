"""What is shown of a channel: it stays where it is while somebody reads there."""

import pytest

from rtchat.terminal.view import View
from tests.terminal.rooms import msg, one_room
from tests.terminal.test_lines import plain
from tests.terminal.test_state import stored


def seen(view: View) -> list[str]:
    return [plain(line).strip() for line in view.lines(40, 10)]


def test_the_newest_is_at_the_bottom() -> None:
    state, room = one_room(2)
    view = View(state)
    assert seen(view)[-2:] == ["message 1", "message 2"]
    assert seen(view)[0] == ""
    room.on(msg(3, "new"))
    assert seen(view)[-1] == "new"


def test_neither_new_nor_older_messages_move_what_is_read() -> None:
    state, room = one_room()
    room.page([stored(seq, f"message {seq}") for seq in range(100, 160)], more=True)
    view = View(state)
    seen(view)
    view.up(20)
    before = seen(view)
    assert before[-1] == "message 139"
    assert state.reading_back is True
    room.on(msg(160, "new\nand long"))
    room.page([stored(seq, f"message {seq}") for seq in range(40, 100)], more=True)
    pending = room.begin("n", "mine")
    assert seen(view) == before
    room.failed(pending, "why")
    assert seen(view) == before
    view.follow()
    assert [state.reading_back] == [False]
    assert seen(view)[-2].startswith("mine")


@pytest.mark.parametrize("step", [1, 3, 8, 50])
def test_up_and_down_are_opposites(step: int) -> None:
    """By lines, over messages of several, to the very top, where it says so, and back."""
    state, room = one_room()
    for seq in range(1, 31):
        room.on(msg(seq, "\n".join(f"{seq}.{n}" for n in range(seq % 4 + 1))))
    view = View(state)
    screens = [seen(view)]
    while not view.up(step):
        screens.append(seen(view))
    assert seen(view)[0].startswith("── "), "the day, at the top"
    whole = [*screens, seen(view)]
    if step < 10:  # what follows another goes on where that one ended
        for above, below in zip(whole[1:-1], whole[:-2], strict=True):
            assert above[step:] == below[:-step]
    while not view.following:
        view.down(step)
    assert seen(view) == screens[0]


def test_another_channel_begins_at_its_newest() -> None:
    state, _ = one_room(40)
    view = View(state)
    seen(view)
    view.up(10)
    state.current = None
    assert seen(view) == [""] * 10
    state.current = 17
    assert seen(view)[-1] != "message 40", "where one was"
    other, _ = one_room(3)
    state.rooms[99] = other.rooms[17]
    state.rooms[99].id = 99
    state.current = 99
    assert seen(view)[-1] == "message 3"
