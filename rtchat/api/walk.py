"""A conversation on the WebSocket, frame by frame, and an example of every frame there is.

Owns: the frames that the documents show. The tests hold the conversation with a real server
(tests/docs/test_walk.py) and compare; it begins on an empty server where Ann has made a channel and
said hello. Moments, tokens and the epoch are others each time.
"""

from typing import Any

from rtchat import events
from rtchat.api.examples import ANN, GENERAL
from rtchat.api.samples import SHOWN
from rtchat.commands import (
    Auth,
    Command,
    Del,
    Edit,
    Ping,
    React,
    Read,
    Send,
    Sub,
    Typing,
    Unsub,
)
from rtchat.errors import Close, Code

TS = 1769860800000  # 2026-01-31T12:00:00Z
EPOCH = "8f3a1c52"
CURSOR = 2  # where the second connection goes on

# What a client sends, and what it is then sent, up to its next command.
Walk = tuple[tuple[Command, tuple[Any, ...]], ...]

_HELLO = events.Hello(
    session="1", user=ANN, exp=1769861700, epoch=EPOCH, heartbeat=25,
    limits=events.Limits(
        frame_bytes=65536, content_chars=4000, subs=1000, sends_per_second=20
    ),
)  # fmt: skip
_FIRST = events.Msg(ch=1, seq=1, user=1, content="hello", ts=TS)
_SECOND = events.Msg(ch=1, seq=2, user=1, content="anybody here?", ts=TS)
_CHANGED = events.Edited(ch=1, seq=3, of=2, user=1, content="anybody there?", ts=TS)
_GONE = events.Deleted(ch=1, seq=4, of=1, user=1, ts=TS)
_LIKED = events.Reacted(ch=1, seq=5, of=2, user=1, emoji="👍", on=True, ts=TS)

FIRST: Walk = (
    (Auth(ref=1, token=SHOWN["$TOKEN"]), (_HELLO,)),
    (
        Sub(ref=2, ch={1: 0}, epoch=EPOCH),
        (events.Ok(ref=2, ch={"1": events.Head(head=1)}), _FIRST),
    ),
    (
        Send(ref=3, ch=1, content="anybody here?", nonce="n-1"),
        (events.Ack(ref=3, ch=1, seq=2, ts=TS), _SECOND),
    ),
    (
        Send(ref=4, ch=1, content="anybody here?", nonce="n-1"),
        (events.Ack(ref=4, ch=1, seq=2, ts=TS, dup=True),),
    ),
    (
        Send(ref=5, ch=7, content="anybody here?", nonce="n-2"),
        (
            events.Error(
                ref=5, code=Code.NOT_FOUND, message="There is no such channel.", retry=False
            ),
        ),
    ),
    (Ping(ref=6), (events.Pong(ref=6),)),
    (Unsub(ref=7, ch=[1]), (events.Ok(ref=7),)),
    (
        Edit(ref=8, ch=1, of=2, content="anybody there?", nonce="n-3"),
        (events.Ack(ref=8, ch=1, seq=3, ts=TS),),
    ),
    (Del(ref=9, ch=1, of=1, nonce="n-4"), (events.Ack(ref=9, ch=1, seq=4, ts=TS),)),
    (
        React(ref=10, ch=1, of=2, emoji="👍", on=True, nonce="n-5"),
        (events.Ack(ref=10, ch=1, seq=5, ts=TS),),
    ),
    (Typing(ref=11, ch=1), ()),
    (Read(ref=12, ch=1, seq=5), ()),
)
# Another connection, later: the client holds the entries up to CURSOR, and gets what it missed.
SECOND: Walk = (
    (Auth(ref=1, token=SHOWN["$TOKEN"]), (_HELLO,)),
    (
        Sub(ref=2, ch={1: CURSOR}, epoch=EPOCH),
        (events.Ok(ref=2, ch={"1": events.Head(head=5)}), _CHANGED, _GONE, _LIKED),
    ),
)

# Of frames that do not come in the walk, or to show more of them.
_MORE: tuple[Any, ...] = (
    Sub(ref=2, ch={17: 1204, 18: None}, epoch=EPOCH),
    events.Ok(
        ref=2,
        ch={"17": events.Head(head=1205), "18": events.Head(error=Code.NOT_FOUND)},
    ),
    events.Ok(ref=1, exp=1769862600),
    events.Msg(ch=17, seq=1205, user=42, content="", ts=TS, deleted=True),
    events.Joined(ch=17, seq=1209, user=43, by=42, ts=TS),
    events.Left(ch=17, seq=1210, user=43, by=42, ts=TS),
    events.Renamed(ch=17, seq=1211, user=42, name="new name", ts=TS),
    events.IsTyping(ch=17, user=42),
    events.HasRead(ch=17, user=42, seq=1205),
    events.Presence(user=42, status="online"),
    events.Reset(ch=17, head=1205, epoch=EPOCH),
    events.Added(ch=1, channel=GENERAL),
    events.Removed(ch=17, reason="removed"),
    events.Expiring(in_=60),
    events.Error(
        ref=4, code=Code.RATE_LIMITED, message="Rate limit reached", retry=True, after=750
    ),
    events.Bye(code=Close.DRAINING, in_=820),
)


def frames_like(kind: type) -> list[Any]:
    """Examples of one type of frame, at least one."""
    shown: list[Any] = []
    for command, answers in (*FIRST, *SECOND):
        shown += [command, *answers]
    found: list[Any] = []
    for frame in (*shown, *_MORE):
        if type(frame) is kind and frame not in found:
            found.append(frame)
    return found
