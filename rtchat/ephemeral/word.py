"""What pods tell each other of one channel besides its log: who is there, is typing, has read.

Pure. A word travels on its channel's topic among the envelopes and begins with a header of their
form: without entries, and its first seq 0, so that it ends before every cursor. A pod that knows no
words drops it as an envelope that it has already, and says nothing (an update that rolls). It comes
from the network, so `parse` checks it before anybody believes it; and it may be lost.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from rtchat.envelope import HEADER
from rtchat.model import ID_MAX, Id, Seq

VERSION = 128  # in the place of an envelope's
PEOPLE_MAX = 10_000  # in one list: what `presence_room_max` and `typing_room_max` may be
_People = Annotated[list[Id], Meta(max_length=PEOPLE_MAX)]
_Marks = Annotated[list[tuple[Id, Seq]], Meta(max_length=PEOPLE_MAX)]


class Word(msgspec.Struct, frozen=True, array_like=True):
    """All that one pod has to tell of a channel in one tick. Fields may be added at the end."""

    origin: Annotated[str, Meta(min_length=1, max_length=64)]  # the pod, which may hear it too
    typing: _People = []
    read: _Marks = []
    online: _People = []  # users who are there, on that pod, since its last word
    gone: _People = []  # users who were, and have no socket there any more
    whole: bool = False  # `online` is all who are there
    asks: bool = False  # tell who is there
    subscribers: Annotated[int, Meta(ge=0, le=ID_MAX)] = 0  # of the channel there


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Word).decode


def encode(channel_id: int, word: Word) -> bytes:
    """Make the bytes for the bus."""
    return HEADER.pack(VERSION, 0, 0, 0, 0, channel_id, 0) + _encode(word)


def parse(data: bytes) -> tuple[int, Word]:
    """Read the channel and the word. Raises ValueError on anything else."""
    if len(data) < HEADER.size or data[0] != VERSION:
        raise ValueError(f"no word: {data[:1]!r}")
    _, _, _, _, _, channel_id, _ = HEADER.unpack_from(data)
    if not 0 < channel_id <= ID_MAX:
        raise ValueError("numbers out of range")
    try:
        word: Word = _decode(memoryview(data)[HEADER.size :])
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ValueError(str(error)) from None
    return channel_id, word
