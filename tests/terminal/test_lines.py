"""Lines: no wider than asked, nothing lost, nothing that a terminal would obey."""

import unicodedata

import pytest
from hypothesis import given, strategies as st
from wcwidth import wcswidth

from rtchat.client import Presence, Typing
from rtchat.terminal import lines
from rtchat.terminal.lines import Line, cells, cut, shown, width, wrapped
from rtchat.terminal.state import Said
from tests.terminal.rooms import ANN, BOB, CY, TS, msg, one_room

HOSTILE = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from("\x1b\x07\r\n\t\u202e\u200d\ufe0f\u0301日👍🏽👩\x9b \u2028ш"),
    ),
    max_size=200,
)


def plain(line: Line) -> str:
    return "".join(text for _, text in line)


@given(HOSTILE, st.integers(2, 60))
def test_no_line_is_wider_than_asked_and_none_has_a_control_character(text: str, most: int) -> None:
    for line in [*wrapped(text, most), cut(text, most)]:
        assert width(line) <= most
        assert not [c for c in line if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp")]


@given(HOSTILE, st.integers(2, 60))
def test_wrapping_loses_nothing_but_blanks_at_its_ends(text: str, most: int) -> None:
    parts = text.replace("\r\n", "\n").split("\n")
    whole = "".join(cells(part) for part in parts)
    assert "".join(wrapped(text, most)).replace(" ", "") == whole.replace(" ", "")


@given(HOSTILE)
def test_characters_are_as_wide_as_terminals_take_them(text: str) -> None:
    """Nothing is left in it whose width depends on what stands beside it."""
    shown_text = cells(text)
    assert width(shown_text) == sum(max(0, wcswidth(c)) for c in shown_text)
    assert "\u200d" not in shown_text
    assert "\ufe0f" not in shown_text


@pytest.mark.parametrize(
    ("text", "most", "made"),
    [
        ("one two three", 7, ["one two", "three"]),
        ("one two three", 8, ["one two", "three"]),
        ("abcdefgh", 3, ["abc", "def", "gh"]),
        ("日本語", 5, ["日本", "語"]),
        ("a\nb\r\n\nc", 9, ["a", "b", "", "c"]),
        ("👩‍👩‍👧 ok", 9, ["👩👩👧 ok"]),
        ("👍🏽❤️", 9, ["👍❤"]),
        ("é", 2, ["é"]),
        ("\x1b[31mred", 20, ["\\x1b[31mred"]),
        ("\u202egnp", 20, ["\\u202egnp"]),
        ("", 5, [""]),
    ],
)
def test_wrapping(text: str, most: int, made: list[str]) -> None:
    assert wrapped(text, most) == made


def test_an_authors_messages_stand_together() -> None:
    """One head for those that come close; a day begins with its name."""
    state, room = one_room()
    room.on(msg(1, "one"))
    room.on(msg(2, "two"))
    room.on(msg(3, "mine", ANN))
    found = lines.items(room)
    made = [
        [plain(line) for line in shown(state, room, item, found[i - 1] if i else None, 40)]
        for i, item in enumerate(found)
    ]
    day, head, text = made[0]
    assert day.startswith("── ") and len(day) == 40  # noqa: PT018
    assert (head.split()[0], text) == ("Bob", "  one")
    assert made[1] == ["  two"]
    assert made[2][0].startswith("Ann ")
    room.begin("n", "going")
    assert [plain(line) for line in shown(state, room, lines.items(room)[3], found[2], 40)] == [
        "  going …"
    ]


def test_what_became_of_a_message_is_said() -> None:
    state, room = one_room(1)
    item = room.items[1]
    assert isinstance(item, Said)
    item.edited, item.reactions = True, {"👍": {ANN, CY}}
    assert [plain(line) for line in shown(state, room, item, None, 40)][2:] == [
        "  message 1 (edited)", "  👍 2",
    ]  # fmt: skip
    state.numbers = True
    assert plain(shown(state, room, item, None, 40)[2]) == "  1 message 1 (edited)"
    pending = room.begin("n", "lost")
    room.failed(pending, "no answer")
    made = [plain(line) for line in shown(state, room, pending, item, 60)]
    assert made == ["Ann", "  lost", "  ✗ no answer: /retry or /discard"]


@pytest.mark.parametrize("columns", [10, 20, 40, 80])
def test_what_stands_around_fits(columns: int) -> None:
    """Title, status and list, with names that are too long."""
    state, room = one_room(3)
    room.channel.name = "日本語" * 20
    state.names[BOB] = "B" * 80
    state.rooms[18] = type(room)(type(room.channel)(id=18, type="public", name="x", last_seq=9), 1)
    state.rooms[18].unread = 1234
    state.on_ephemeral(Typing(ch=17, user=BOB), now=0)
    state.on_ephemeral(Presence(user=BOB, status="online"), now=0)
    made = [
        lines.title(state, columns), lines.status(state, "connected", 1, columns),
        *lines.channel_list(state, columns), *shown(state, room, room.items[1], None, columns),
    ]  # fmt: skip
    assert all(width(plain(line)) <= columns for line in made)
    assert "1234" in plain(made[0]) or columns >= lines.WIDE
    assert "writing" in plain(made[1]) or columns < 40
    assert plain(lines.status(state, "gone", 99, columns)) == "gone"


def test_an_answer_that_is_too_long_has_pages() -> None:
    state, _ = one_room()
    state.panel = [f"line {n}" for n in range(10)]
    first = [plain(line) for line in lines.panel(state, 30, 4, 0)]
    assert first == ["line 0", "line 1", "line 2", "… PageDown: more, Esc: close"]
    assert [plain(line) for line in lines.panel(state, 30, 4, 7)] == ["line 7", "line 8", "line 9"]


def test_times_are_of_this_place() -> None:
    state, room = one_room(1)
    head = plain(shown(state, room, room.items[1], None, 40)[1])
    assert head == f"Bob {lines._time(TS)}"
