"""The settings of what is ephemeral: marks of reading, typing, presence.

Owns: a part of the one list of settings, `Config`. They bound what is told of it, and to whom: it
is the first to be dropped.
"""

from typing import Annotated

from rtchat.config.edge import MS_MAX, Edge
from rtchat.config.kinds import number

ROOM_MAX = 10_000


class Ephemeral(Edge, frozen=True, kw_only=True):
    """What `Config` holds of ephemeral events."""

    ephemeral_tick_ms: Annotated[
        int, number(10, 10_000, "what came in this time is told together")
    ] = 300
    ephemeral_writes_max: Annotated[
        int,
        number(
            10,
            10**6,
            "sockets that are told something in one such time",
            "process: typing and marks are dropped, presence waits",
        ),
    ] = 1000
    typing_every_ms: Annotated[
        int,
        number(
            0,
            MS_MAX,
            "between two tellings that a user is typing in a channel",
            "user and channel: it is not told",
        ),
    ] = 2000
    typing_room_max: Annotated[
        int,
        number(
            2,
            ROOM_MAX,
            "subscribers in a pod up to which a room is told of typing and of marks",
            "room: it is not told",
        ),
    ] = 100
    read_marks_max: Annotated[
        int,
        number(
            1,
            10**7,
            "marks of reading that wait to be stored; beyond: `overloaded`",
            "process: `overloaded`",
        ),
    ] = 20_000
    read_flush_ms: Annotated[
        int, number(10, 60_000, "marks of reading that came in this time are stored together")
    ] = 500
    presence: Annotated[int, number(0, 1, "1: rooms are told who is online")] = 1
    presence_room_max: Annotated[
        int,
        number(
            2,
            ROOM_MAX,
            "subscribers up to which a room is told who comes online",
            "room: nobody more is told of",
        ),
    ] = 100
    presence_grace_s: Annotated[
        int, number(1, 600, "a user is online for so long after the last socket's end")
    ] = 8
    presence_beat_s: Annotated[
        int, number(1, 600, "between signs of life; a pod unheard for three of them is gone")
    ] = 10
