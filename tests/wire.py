"""What a client makes of the server's bytes, by the client side of the websockets library."""

import json
from typing import Any

from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side, State


def read_frames(data: bytes) -> list[Frame]:
    """Take the frames out of `data`, which must hold whole valid ones and nothing else."""
    client = Protocol(Side.CLIENT, state=State.OPEN, max_size=None)
    client.receive_data(data)
    assert client.parser_exc is None, client.parser_exc
    frames = [event for event in client.events_received() if isinstance(event, Frame)]
    # A frame that is not whole is no event: what was read must be all that was there.
    assert sum(_size(len(frame.data)) for frame in frames) == len(data)
    return frames


def _size(payload: int) -> int:
    """How long a frame without a mask is (RFC 6455 §5.2)."""
    return payload + (2 if payload < 126 else 4 if payload < 65_536 else 10)


def texts(data: bytes) -> list[str]:
    """Read text frames, each of them whole."""
    frames = read_frames(data)
    assert all(f.opcode is Opcode.TEXT and f.fin and not (f.rsv1 or f.rsv2) for f in frames)
    return [bytes(frame.data).decode() for frame in frames]


def events(data: bytes) -> list[dict[str, Any]]:
    """Read the server's events."""
    return [json.loads(text) for text in texts(data)]
