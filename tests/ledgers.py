"""A channel's book and wishes to change it: the vocabulary of the tests of batches."""

import itertools
from typing import Any

from rtchat.batch import ChannelState, Ledger, Op, Target, Write, decide
from rtchat.model import ChannelType, Kind, Role
from rtchat.reactions import Reactions

CH, SECOND = 17, 18
OWNER, ADMIN, MEMBER, STRANGER, OTHER = PEOPLE = 1, 2, 3, 4, 5  # OTHER: a member too
ROLES = {OWNER: Role.OWNER, ADMIN: Role.ADMIN, MEMBER: Role.MEMBER, OTHER: Role.MEMBER}
NOBODY = 99
NOW = 1_763_800_000_123
_numbers = itertools.count()


def book(channel_type: ChannelType = ChannelType.PUBLIC) -> Ledger:
    """What the database says: a channel of ten messages with the people above, and an empty one.

    In a dm all of them are members, as in every dm.
    """
    roles = ROLES if channel_type is not ChannelType.DM else dict.fromkeys(ROLES, Role.MEMBER)
    return Ledger(
        now_ms=NOW,
        channels={
            CH: ChannelState(channel_type, 10, deleted=False),
            SECOND: ChannelState(ChannelType.PUBLIC, 0, deleted=False),
        },
        locked={CH, SECOND},
        roles={(CH, user): role for user, role in roles.items()} | {(SECOND, MEMBER): Role.MEMBER},
        users=set(PEOPLE),
        known={},
        targets={(CH, seq): Target(MEMBER, deleted=False) for seq in range(1, 11)},
        reactions=Reactions(20),
    )


def wish(op: Op, user: int, nonce: str | None = None, channel: int = CH, **fields: Any) -> Write:
    """A write; with a nonce of the client's, or else one that the pod made."""
    made = f"\x7f{next(_numbers)}"
    return Write(op, channel, user, nonce or made, _ignore, given=nonce is not None, **fields)


def _ignore(_: list[Write]) -> None:
    """Nobody waits for the answer."""


def send(user: int, nonce: str | None = None, content: str = "hi", channel: int = CH) -> Write:
    """A message."""
    return wish(Op.SEND, user, nonce, channel, content=content)


def join(user: int) -> Write:
    """Somebody wants to join."""
    return wish(Op.JOIN, user, target=user)


def leave(user: int) -> Write:
    """Somebody wants to leave."""
    return wish(Op.LEAVE, user, target=user)


def add(user: int, target: int, role: Role = Role.MEMBER) -> Write:
    """Somebody wants to add somebody."""
    return wish(Op.ADD, user, target=target, role=role)


def remove(user: int, target: int) -> Write:
    """Somebody wants to remove somebody."""
    return wish(Op.REMOVE, user, target=target)


def set_role(user: int, target: int, role: Role) -> Write:
    """Somebody wants somebody to have another role."""
    return wish(Op.SET_ROLE, user, target=target, role=role)


def rename(user: int, name: str = "name", nonce: str | None = None) -> Write:
    """Somebody wants another name for the channel."""
    return wish(Op.RENAME, user, nonce, content=name)


def delete(user: int, seq: int) -> Write:
    """Somebody wants a message to go."""
    return wish(Op.DELETE, user, target=seq)


def react(
    user: int, seq: int = 1, emoji: str = "👍", nonce: str | None = None, *, on: bool = True
) -> Write:
    """Somebody reacts to a message, or takes that back."""
    return wish(Op.REACT if on else Op.UNREACT, user, nonce, content=emoji, target=seq)


def drop(user: int) -> Write:
    """Somebody wants to delete the channel."""
    return wish(Op.DROP, user)


def outcome(write: Write) -> str:
    """`stored`, `dup`, `no entry`, or the code of the error."""
    if write.error is not None:
        assert write.seq is None
        return write.error.code.value
    if write.seq is None:
        return "no entry"
    return "dup" if write.dup else "stored"


def outcomes(ledger: Ledger, *writes: Write) -> list[str]:
    """Decide about one batch."""
    decide(writes, ledger)
    return [outcome(write) for write in writes]


def log_of(ledger: Ledger, *writes: Write) -> list[tuple[int, Kind, int, int | None]]:
    """Decide about one batch: seq, kind, author and target of each entry."""
    return [(e.seq, e.kind, e.user_id, e.target) for e in decide(writes, ledger).entries]
