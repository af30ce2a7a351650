"""Where a client's frames begin and end in what was read (RFC 6455 §5.2). Pure.

Owns: the extent of a frame, so that whole ones can be served from where they lie. Must never: judge
a frame; whatever is not one whole unfragmented text, or a pong, goes to `websockets`, which knows
the rules.
"""

try:
    from websockets.speedups import apply_mask
except ImportError:  # a platform without a wheel
    from websockets.utils import apply_mask

PLAIN_TEXT = 0x81  # the last frame of its message, and the first; no extension has touched it
PONG = 0x8A


def payload_of(data: bytes, at: int) -> tuple[int, int]:
    """Where the payload of the frame at `at` begins and ends.

    Is the end behind the end of `data`, the frame is not whole; it may move further still while the
    header is not whole either.
    """
    have = len(data)
    if have < at + 2:
        return at + 2, at + 2
    size = data[at + 1]
    start = at + 2
    if size > 127:
        size -= 128
        start += 4
    if size > 125:
        width = 2 if size == 126 else 8
        start += width
        if have < at + 2 + width:
            return start, start
        size = int.from_bytes(data[at + 2 : at + 2 + width], "big")
    return start, start + size


def plain_text(data: bytes, at: int, start: int, stop: int) -> str | None:
    """The text of a masked frame that holds a whole message; None where it is anything else."""
    if data[at] != PLAIN_TEXT or data[at + 1] < 128:
        return None
    try:
        return apply_mask(data[start:stop], data[start - 4 : start]).decode()
    except UnicodeDecodeError:
        return None


def pong(data: bytes, at: int, start: int, stop: int) -> bytes | None:
    """The payload of a masked pong; None where it is anything else, or longer than one may be."""
    if data[at] != PONG or not 128 <= data[at + 1] <= 128 + 125:
        return None
    return apply_mask(data[start:stop], data[start - 4 : start])
