"""WebSocket framing as a load client needs it: count what comes by its headers, build what goes.

Most members of a room get the same bytes, and a joined write mostly arrives as one piece: a piece
that equals the last one has as many frames. That comparison (0.3 µs for 9 KB) is what lets Python
count several million frames a second. Whoever needs the payloads uses `Messages`.
"""

from collections.abc import Callable

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
_CONTROL = 8  # opcodes from here on are control frames


class Stream:
    """How far one connection's frames have been read."""

    __slots__ = ("controls", "rest", "skip")

    def __init__(self) -> None:
        self.rest = b""  # the beginning of a frame whose end has not come
        self.skip = 0  # payload bytes of a counted-on frame that are still to come
        self.controls: list[tuple[int, bytes]] = []  # pings and closes, for the owner to act on


class FrameCounter:
    """Counts whole data frames without looking into them."""

    def __init__(self) -> None:
        self._last = b""
        self._last_count = 0

    def count(self, stream: Stream, piece: bytes) -> int:
        """How many data frames end in `piece`."""
        clean = not (stream.rest or stream.skip)
        if clean and piece == self._last:
            return self._last_count
        count = self._walk(stream, piece)
        if clean and not (stream.rest or stream.skip or stream.controls):
            self._last, self._last_count = piece, count
        return count

    def _walk(self, stream: Stream, piece: bytes) -> int:
        count = 0
        if stream.skip:
            if stream.skip > len(piece):
                stream.skip -= len(piece)
                return 0
            at, count, stream.skip = stream.skip, 1, 0
        else:
            piece, at, stream.rest = stream.rest + piece, 0, b""
        size = len(piece)
        while at < size:
            head = _header(piece, at)
            if head is None:
                stream.rest = piece[at:]
                break
            opcode, start, end = head
            if opcode < _CONTROL:
                if end > size:
                    stream.skip = end - size
                    break
                count += 1
            elif end > size:
                stream.rest = piece[at:]
                break
            else:
                stream.controls.append((opcode, piece[start:end]))
            at = end
        return count


class PayloadCounter:
    """Counts messages where one frame may carry several; `weigh` tells how many."""

    def __init__(self, weigh: Callable[[bytes], int]) -> None:
        self._weigh = weigh
        self._last = b""
        self._last_count = 0

    def count(self, stream: Stream, piece: bytes) -> int:
        """How many messages end in `piece`."""
        clean = not stream.rest
        if clean and piece == self._last:
            return self._last_count
        count = sum(map(self._weigh, messages(stream, piece)))
        if clean and not (stream.rest or stream.controls):
            self._last, self._last_count = piece, count
        return count


def messages(stream: Stream, piece: bytes) -> list[bytes]:
    """The payloads of the data frames that end in `piece`."""
    if stream.rest:
        piece, stream.rest = stream.rest + piece, b""
    found: list[bytes] = []
    at, size = 0, len(piece)
    while at < size:
        if at + 2 <= size and piece[at] == 0x81 and piece[at + 1] < 126:  # the usual, at once
            start = at + 2
            end = start + piece[at + 1]
            opcode = TEXT
        else:
            head = _header(piece, at)
            if head is None:
                stream.rest = piece[at:]
                break
            opcode, start, end = head
        if end > size:
            stream.rest = piece[at:]
            break
        if opcode < _CONTROL:
            found.append(piece[start:end])
        else:
            stream.controls.append((opcode, piece[start:end]))
        at = end
    return found


def _header(piece: bytes, at: int) -> tuple[int, int, int] | None:
    """Opcode, start and end of the payload of the frame at `at`; None: the header is not whole.

    Servers do not fragment what they send here, nor compress it: neither is offered or expected.
    """
    if at + 2 > len(piece):
        return None
    length, start = piece[at + 1], at + 2
    if length > 125:
        width = 2 if length == 126 else 8
        if start + width > len(piece):
            return None
        length, start = int.from_bytes(piece[start : start + width], "big"), start + width
    if piece[at] & 0x70:
        raise ValueError("a compressed frame, which nobody asked for")
    return piece[at] & 0x0F, start, start + length


def client_frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """Make a client's frame. Its mask is zero: the server unmasks all the same, we need not."""
    size = len(payload)
    if size < 126:
        return bytes((0x80 | opcode, 0x80 | size, 0, 0, 0, 0)) + payload
    if size < 65_536:
        return bytes((0x80 | opcode, 0xFE, *size.to_bytes(2, "big"), 0, 0, 0, 0)) + payload
    return bytes((0x80 | opcode, 0xFF, *size.to_bytes(8, "big"), 0, 0, 0, 0)) + payload
