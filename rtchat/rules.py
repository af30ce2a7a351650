"""Who may do what: the contract's table (§2) of role and operation, for REST and WebSocket alike.

Pure. The writer asks it under the channel's lock, where the role cannot change any more; reads ask
it with the role that came with what they read.
"""

from enum import Enum, auto

from rtchat.errors import ChatError, Code
from rtchat.model import ChannelType, Role


class Act(Enum):
    """What one may want of a channel; operations with the same row of the table share one."""

    SEE = auto()
    JOIN = auto()
    TAKE_PART = auto()  # history, sub, send, read, typing, list members, edit and delete own, react
    ADD_MEMBER = auto()
    MANAGE = auto()  # delete others' messages, remove members, rename, make admin, delete
    HAND_OVER = auto()


_ALL = frozenset(Role)
_ALLOWED: dict[Act, frozenset[Role]] = {
    Act.SEE: _ALL,
    Act.JOIN: _ALL,
    Act.TAKE_PART: _ALL,
    Act.ADD_MEMBER: _ALL,
    Act.MANAGE: frozenset({Role.ADMIN, Role.OWNER}),
    Act.HAND_OVER: frozenset({Role.OWNER}),
}
_OPEN_TO_ALL = frozenset({Act.SEE, Act.JOIN})  # on a public channel, without being a member
_FIXED_IN_A_DM = frozenset({Act.JOIN, Act.ADD_MEMBER})


def problem(act: Act, channel_type: ChannelType, role: Role | None) -> ChatError | None:
    """Why somebody with `role` (None: no member) may not do `act`, or None."""
    if role is None and channel_type is not ChannelType.PUBLIC:
        return missing_channel()
    if channel_type is ChannelType.DM and act in _FIXED_IN_A_DM:
        return ChatError(Code.UNSUPPORTED, "The members of a dm are fixed.")
    allowed = act in _OPEN_TO_ALL if role is None else role in _ALLOWED[act]
    return None if allowed else ChatError(Code.FORBIDDEN)


def require(act: Act, channel_type: ChannelType, role: Role | None) -> None:
    """Raise what `problem` finds."""
    found = problem(act, channel_type, role)
    if found is not None:
        raise found


def missing_channel() -> ChatError:
    """The one answer for a channel that does not exist and for one that may not be seen."""
    return ChatError(Code.NOT_FOUND, "There is no such channel.")
