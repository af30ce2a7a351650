"""Which part of a channel is shown: the newest, or a place further back that stays where it is.

Owns: the place. It is held by the message at the bottom of the window, so that neither what comes
below nor what is loaded above moves what somebody reads. Must never: ask the server, or wrap more
messages than it shows.
"""

from rtchat.terminal.lines import Item, Line, items, shown
from rtchat.terminal.state import Pending, State

Key = int | str


def _key(item: Item) -> Key:
    return item.nonce if isinstance(item, Pending) else item.seq


class View:
    """The window on the channel that is shown."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._room: int | None = None
        self._bottom: tuple[Key, int] | None = None  # an item, and how many of its lines are below
        self.columns, self.rows = 80, 24  # as last drawn

    @property
    def following(self) -> bool:
        """Whether the newest is shown."""
        return self._bottom is None

    def follow(self) -> None:
        """Show the newest."""
        self._bottom = None
        self._state.reading_back = False

    def lines(self, columns: int, rows: int) -> list[Line]:
        """As many as fit, the last one at the bottom."""
        self.columns, self.rows = columns, rows
        made = self._above(rows)[-rows:]
        return [[] for _ in range(rows - len(made))] + made

    def up(self, count: int) -> bool:
        """Show what is `count` lines above. Tells whether that is where all that is here begins."""
        above = self._above(self.rows + count)
        self._move(min(len(above), self.rows + count) - self.rows)
        return len(above) < self.rows + count

    def down(self, count: int) -> None:
        """Show what is `count` lines below."""
        if self._bottom is None:
            return
        found, at, below = self._place()
        if count < below:
            self._set(found[at], below - count)
            return
        count -= below
        for index in range(at + 1, len(found)):
            size = len(self._block(found, index))
            if count < size or (count == size and index + 1 < len(found)):
                self._set(found[index], size - count)
                return
            count -= size
        self.follow()

    def _move(self, count: int) -> None:
        """Let the bottom be `count` lines further up."""
        if count <= 0:
            return
        found, at, below = self._place()
        while at >= 0:
            left = len(self._block(found, at)) - below
            if count < left:
                self._set(found[at], below + count)
                return
            count, at, below = count - left, at - 1, 0

    def _set(self, item: Item, below: int) -> None:
        self._bottom = _key(item), below
        self._state.reading_back = True

    def _above(self, rows: int) -> list[Line]:
        """The last `rows` lines above the bottom or more, or all there are."""
        found, at, below = self._place()
        made: list[Line] = []
        blocks: list[list[Line]] = []
        count = 0
        for index in range(at, -1, -1):
            block = self._block(found, index)
            block = block[: len(block) - below] if index == at else block
            blocks.append(block)
            count += len(block)
            if count >= rows:
                break
        for block in reversed(blocks):
            made += block
        return made

    def _place(self) -> tuple[list[Item], int, int]:
        """All items, the one at the bottom, and how many of its lines are below that."""
        room = self._state.room
        if room is None:
            return [], -1, 0
        if room.id != self._room:
            self._room = room.id
            self.follow()
        found = items(room)
        if self._bottom is not None:
            key, below = self._bottom
            for index in range(len(found) - 1, -1, -1):
                if _key(found[index]) == key:
                    return found, index, min(below, len(self._block(found, index)) - 1)
            self.follow()
        return found, len(found) - 1, 0

    def _block(self, found: list[Item], index: int) -> list[Line]:
        room = self._state.room
        assert room is not None, "items without a channel"
        before = found[index - 1] if index else None
        return shown(self._state, room, found[index], before, self.columns)
