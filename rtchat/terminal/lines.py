"""How the state looks in lines of a given width: pieces of text with a style each. Pure.

Owns: what a character may be in a cell grid, how wide it is, and where a line ends. All terminals
agree on the width of one character; on joined ones (families, flags, tones of skin) they do not,
and what they then draw shifts the rest of the line, so the joints are left out and the parts stand
beside each other. Must never: let a character through that a terminal obeys (`operate.terminal`),
or make a line wider than asked.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

from wcwidth import wcwidth

from rtchat.operate.terminal import printable
from rtchat.terminal.state import Event, Pending, Room, Said, State

Piece = tuple[str, str]  # a style's class, and text
Line = list[Piece]

GROUP_MS = 5 * 60 * 1000  # later, an author's next message has a head of its own
INDENT = 2
WIDE = 72  # columns from which there is room for the list of channels beside the messages
LIST = 22
COLOURS = 6
_JOINTS = frozenset({"\u200d", "\ufe0e", "\ufe0f"})  # and the tones of skin
_TONES = range(0x1F3FB, 0x1F400)


def cells(text: str) -> str:
    """`text` on one line, as one cell grid after the other holds it."""
    shown = printable(text.replace("\t", "    "))
    if shown.isascii():
        return shown
    made: list[str] = []
    for character in shown:
        if character in _JOINTS or (ord(character) in _TONES and made and width(made[-1]) == 2):
            continue
        if wcwidth(character) == 0 and not made:  # it would join what stands before
            continue
        made.append(character)
    return "".join(made)


def width(text: str) -> int:
    """In cells."""
    return len(text) if text.isascii() else sum(max(0, wcwidth(c)) for c in text)


def cut(text: str, most: int) -> str:
    """`text`, or its beginning and a mark, in `most` cells."""
    text = cells(text)
    if width(text) <= most:
        return text
    kept, used = [], 0
    for character in text:
        used += max(0, wcwidth(character))
        if used > most - 1:
            break
        kept.append(character)
    return "".join(kept) + "…" if most > 0 else ""


def wrapped(text: str, most: int) -> list[str]:
    """`text` in lines of at most `most` cells, its own line ends kept, broken at blanks."""
    made: list[str] = []
    for part in text.replace("\r\n", "\n").split("\n"):
        made += _filled(cells(part), max(most, 2))
    return made


def _filled(text: str, most: int) -> list[str]:
    lines: list[str] = []
    start = 0
    while True:
        end, used, blank = start, 0, -1
        while end < len(text) and used + max(0, wcwidth(text[end])) <= most:
            used += max(0, wcwidth(text[end]))
            if text[end] == " ":
                blank = end
            end += 1
        if end >= len(text):
            return [*lines, text[start:]]
        if text[end] == " ":
            blank = end
        if blank > start:
            lines.append(text[start:blank])
            start = blank + 1
        else:
            lines.append(text[start:end])
            start = end


# --- a channel's messages

Item = Said | Event | Pending


def items(room: Room) -> list[Item]:
    """What a channel shows, from top to bottom."""
    return [*(room.items[seq] for seq in room.order), *room.shown_pending()]


def shown(state: State, room: Room, item: Item, before: Item | None, columns: int) -> list[Line]:
    """One item, below the one `before` it."""
    made: list[Line] = []
    if not isinstance(item, Pending):
        day = _day(item.ts)
        if not isinstance(before, Said | Event) or _day(before.ts) != day:
            made.append([("divider", cut(f"── {day} ", columns).ljust(columns, "─")[:columns])])
    if isinstance(item, Event):
        words = item.words.format(*map(state.name, item.people))
        head = f"{_mark(state, item)} " if state.numbers else ""
        return made + [[("event", line)] for line in wrapped(f"· {head}{words}", columns)]
    if not _continues(item, before, room.me):
        made.append(_head(state, room, item, columns))
    return made + list(_body(state, room, item, columns))


def _continues(item: Said | Pending, before: Item | None, me: int) -> bool:
    """Whether it stands below the same author's, without a head of its own."""
    if isinstance(before, Pending):
        return True
    if not isinstance(before, Said):
        return False
    if isinstance(item, Pending):
        return before.user == me
    close = item.ts - before.ts < GROUP_MS and _day(item.ts) == _day(before.ts)
    return before.user == item.user and close


def _head(state: State, room: Room, item: Said | Pending, columns: int) -> Line:
    user = room.me if isinstance(item, Pending) else item.user
    time = "" if isinstance(item, Pending) or state.numbers else f" {_time(item.ts)}"
    there = "● " if user != room.me and state.is_online(user) else ""
    name = cut(state.name(user), columns - width(time) - width(there))
    style = "me" if user == room.me else f"name{user % COLOURS}"
    return [("online", there), (style, name), ("time", time)]


def _body(state: State, room: Room, item: Said | Pending, columns: int) -> Iterator[Line]:
    indent = " " * INDENT
    if isinstance(item, Pending):
        style = "failed" if item.failed else "pending"
        for line in wrapped(item.content + ("" if item.failed else " …"), columns - INDENT):
            yield [(style, indent + line)]
        if item.failed:
            for line in wrapped(f"✗ {item.failed}: /retry or /discard", columns - INDENT):
                yield [(style, indent + line)]
        return
    number = _mark(state, item) + " " if state.numbers else ""
    text = "(deleted)" if item.deleted else item.content + (" (edited)" if item.edited else "")
    for line in wrapped(number + text, columns - INDENT):
        yield [("deleted" if item.deleted else "text", indent + line)]
    if item.reactions:
        for line in wrapped(_reactions(item), columns - INDENT):
            yield [("reactions", indent + line)]


def _reactions(item: Said) -> str:
    counts = {e: len(users) + item.unnamed.get(e, 0) for e, users in item.reactions.items()}
    return "  ".join(f"{emoji} {count}" for emoji, count in counts.items())


def _mark(state: State, item: Said | Event) -> str:
    return f"{item.seq}" if state.numbers else ""


def _local(ts: int) -> datetime:
    return datetime.fromtimestamp(ts / 1000, UTC).astimezone()


def _day(ts: int) -> str:
    return f"{_local(ts):%a %d %b %Y}"


def _time(ts: int) -> str:
    return f"{_local(ts):%H:%M}"


# --- what stands around them


def channel_list(state: State, columns: int) -> list[Line]:
    """One line a channel, with what is unread."""
    made: list[Line] = []
    for room in state.listed():
        count = f" {room.unread}" if room.unread else ""
        there = "●" if any(map(state.is_online, room.others)) else " "
        label = cut(state.label(room), columns - 1 - len(count))
        gap = " " * (columns - 1 - width(label) - len(count))
        style = "current" if room.id == state.current else "unread" if room.unread else "channel"
        made.append([("online", there), (style, label + gap + count)])
    return made


def title(state: State, columns: int) -> Line:
    """The channel that is shown, and in a narrow window what is unread elsewhere."""
    if state.room is None:
        return [("title", cut("no channel: /join, /dm or /create one", columns).ljust(columns))]
    elsewhere = sum(room.unread for room in state.rooms.values() if room is not state.room)
    right = f" {elsewhere} unread elsewhere" if elsewhere and columns < WIDE else ""
    right = right if width(right) < columns // 2 + 4 else f" +{elsewhere}"
    left = cut(state.label(state.room), columns - width(right))
    return [("title", left + " " * (columns - width(left) - width(right)) + right)]


def status(state: State, connection: str, now: float, columns: int) -> Line:
    """Who is writing, or else how the connection stands."""
    typists = state.typists(now)
    if typists:
        words = " is writing…" if len(typists) == 1 else " are writing…"
        names = ", ".join(typists) if len(typists) < 4 else f"{len(typists)} people"
        return [("typing", cut(cut(names, columns - len(words)) + words, columns))]
    return [("status", cut(connection, columns))]


def panel(state: State, columns: int, rows: int, start: int) -> list[Line]:
    """What a command answered, from a line on; the last row says that there is more."""
    made = [line for text in state.panel for line in wrapped(text, columns)]
    left = made[start:]
    if len(left) > rows:
        left = [*left[: rows - 1], cut("… PageDown: more, Esc: close", columns)]
    return [[("panel", line)] for line in left]
