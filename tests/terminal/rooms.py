"""A state with one channel, for what decides and draws without a server."""

from rtchat.client import Channel, Msg, User
from rtchat.terminal.state import Room, State

ANN, BOB, CY = 1, 2, 3
TS = 1_763_800_000_000


def one_room(count: int = 0) -> tuple[State, Room]:
    """Ann's, with `count` messages of Bob's in it, and the channel shown."""
    state = State(User(id=ANN, name="Ann"))
    state.names |= {BOB: "Bob", CY: "Cy"}
    room = state.rooms[17] = Room(Channel(id=17, type="public", name="general", last_seq=0), ANN)
    state.current = room.id
    room.loaded, room.older = True, False
    for seq in range(1, count + 1):
        room.on(msg(seq, f"message {seq}"))
    return state, room


def msg(seq: int, content: str, user: int = BOB) -> Msg:
    """An entry."""
    return Msg(ch=17, seq=seq, ts=TS + seq, user=user, content=content)
