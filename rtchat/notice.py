"""What pods tell each other on the control topic: about users and sessions, never about the log.

Pure. A notice may be lost: whatever must hold without it is read from the database as well. It
comes from the network, so `parse` checks it before anybody believes it.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from rtchat.events import Reason
from rtchat.model import Id, Seq

IDS_MAX = 1000  # in one notice; longer lists are told in several

_Ids = Annotated[list[Id], Meta(max_length=IDS_MAX)]


class Added(msgspec.Struct, frozen=True, tag="added", array_like=True):
    """These users became members of the channel."""

    origin: str  # the pod that says so; it has told its own connections already
    channel_id: Id
    user_ids: _Ids


class Removed(msgspec.Struct, frozen=True, tag="removed", array_like=True):
    """These users are no members any more, by the entry `seq`: `left`, `removed` or `deleted`."""

    origin: str
    channel_id: Id
    user_ids: _Ids
    seq: Seq
    reason: Reason


class SessionsEnded(msgspec.Struct, frozen=True, tag="sessions", array_like=True):
    """These sessions have ended; their sockets close."""

    origin: str
    session_ids: _Ids


class HaveRead(msgspec.Struct, frozen=True, tag="read", array_like=True):
    """These marks of reading were stored: of a user, in a channel, up to a seq."""

    origin: str
    marks: Annotated[list[tuple[Id, Id, Seq]], Meta(max_length=IDS_MAX)]


class Beat(msgspec.Struct, frozen=True, tag="beat", array_like=True):
    """This pod lives; `parting`: it stops now, and its users are gone from it."""

    origin: str
    parting: bool = False


class Seek(msgspec.Struct, frozen=True, tag="seek", array_like=True):
    """Who has a socket of these users? They were told of in these channels, and are online there
    no more unless some pod takes that over (`ephemeral.presence`)."""

    origin: str
    users: Annotated[list[tuple[Id, _Ids]], Meta(max_length=IDS_MAX)]


Ephemeral = HaveRead | Beat | Seek
Notice = Added | Removed | SessionsEnded | Ephemeral

_decode = msgspec.msgpack.Decoder(Notice).decode


def encode(notice: Notice) -> bytes:
    """Make the bytes for the bus."""
    return msgspec.msgpack.encode(notice)


def parse(data: bytes) -> Notice:
    """Read them. Raises ValueError on anything else."""
    try:
        notice: Notice = _decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ValueError(str(error)) from None
    return notice
