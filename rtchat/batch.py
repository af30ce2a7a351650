"""What a batch of writes becomes: pure decisions, made under the locks of the batch's channels.

Owns: the order of a channel's entries, idempotency by nonce, and the rules that a change of a
channel must pass. Must never: do I/O, or read anything but the writes and the `Ledger`, which holds
what the database said after the locks were granted.

Every change of a channel goes this way, so a removed member's send cannot slip in behind the
removal, and a retry finds its first copy before any other check (contract §1.4).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import IntEnum, auto
from typing import NamedTuple

from rtchat.commands import Ref
from rtchat.errors import ChatError, Code
from rtchat.model import ChannelType, Kind, LogEntry, Role
from rtchat.reactions import Reactions
from rtchat.rules import Act, missing_channel, require


class Op(IntEnum):
    """What a write wants to do."""

    SEND = auto()
    JOIN = auto()
    LEAVE = auto()
    ADD = auto()
    REMOVE = auto()
    SET_ROLE = auto()  # the one operation that leaves no entry in the log
    RENAME = auto()
    DROP = auto()
    EDIT = auto()
    DELETE = auto()
    REACT = auto()
    UNREACT = auto()


ABOUT_USERS = frozenset({Op.JOIN, Op.LEAVE, Op.ADD, Op.REMOVE, Op.SET_ROLE})
REACTIONS = frozenset({Op.REACT, Op.UNREACT})
ABOUT_MESSAGES = REACTIONS | {Op.EDIT, Op.DELETE}


class Write:
    """One wish to change a channel, from its acceptance to its answer.

    `target` is the user or the seq that it is about (ABOUT_USERS, ABOUT_MESSAGES).
    `nonce` is the client's (`given`) or one that this pod made; with `check` the log is searched
    for it. `done` is called exactly once for it, after the outcome is final for this request:
    `error` is set, or the write is committed and `seq` and `ts` name its entry (no `seq`: nothing
    to change). Writes with an equal `done` that have their outcome together share a call.
    """

    __slots__ = (
        "accepted", "channel_id", "check", "content", "deadline", "done", "dup", "error", "given",
        "known", "nonce", "op", "ref", "role", "seq", "size", "target", "ts", "user_id",
    )  # fmt: skip

    def __init__(
        self,
        op: Op,
        channel_id: int,
        user_id: int,
        nonce: str,
        done: "Done",
        *,
        given: bool = False,
        content: str | None = None,
        target: int | None = None,
        role: Role | None = None,
        ref: Ref = None,
    ) -> None:
        self.op = op
        self.channel_id = channel_id
        self.user_id = user_id
        self.nonce = nonce
        self.given = given
        self.check = given
        self.content = content
        self.target = target
        self.role = role
        self.ref = ref
        self.done = done
        self.size = 64 + _bytes(content)
        self.deadline = self.accepted = 0.0
        self.reset()

    def reset(self) -> None:
        """Forget what an earlier try decided."""
        self.seq: int | None = None
        self.ts = 0
        self.dup = False
        self.known = False  # its entry was stored by an earlier try
        self.error: ChatError | None = None


Done = Callable[[list[Write]], None]


def _bytes(text: str | None) -> int:
    if not text:
        return 0
    return len(text) if text.isascii() else len(text.encode())


class Known(NamedTuple):
    """The first copy of a nonce, as stored.

    `changed`: its content was edited or blanked since, so it cannot be compared any more.
    """

    seq: int
    ts: int
    kind: Kind
    content: str | None
    target: int | None
    changed: bool = False


class Target(NamedTuple):
    """A message that is to be edited, deleted or reacted to."""

    author: int
    deleted: bool


@dataclass(slots=True)
class ChannelState:
    """A channel's row, as of the lock."""

    type: ChannelType
    last_seq: int
    deleted: bool


@dataclass(slots=True)
class Ledger:
    """What the database says, read after the locks were granted."""

    now_ms: int
    channels: dict[int, ChannelState]
    locked: set[int]
    roles: dict[tuple[int, int], Role]
    users: set[int]  # those of the targets that exist
    known: dict[tuple[int, int, str], Known]
    targets: dict[tuple[int, int], Target] = field(default_factory=dict)  # by channel and seq
    reactions: Reactions | None = None  # there where somebody reacts


@dataclass(slots=True)
class Decision:
    """What to store. `entries` are in seq order within each channel."""

    entries: list[LogEntry] = field(default_factory=list)
    heads: dict[int, int] = field(default_factory=dict)
    roles: dict[tuple[int, int], Role | None] = field(default_factory=dict)  # None: gone
    names: dict[int, str] = field(default_factory=dict)
    dropped: set[int] = field(default_factory=set)
    edited: dict[tuple[int, int], str] = field(default_factory=dict)  # new content of a message
    blanked: set[tuple[int, int]] = field(default_factory=set)
    reactions: Reactions | None = None
    passed_over: list[Write] = field(default_factory=list)  # another pod holds the lock

    @property
    def empty(self) -> bool:
        """Whether there is nothing to store."""
        return not (self.entries or self.roles)


KINDS = {
    Op.SEND: Kind.MESSAGE, Op.EDIT: Kind.EDIT, Op.DELETE: Kind.DELETE, Op.REACT: Kind.REACT,
    Op.UNREACT: Kind.UNREACT, Op.JOIN: Kind.JOIN, Op.ADD: Kind.JOIN, Op.LEAVE: Kind.LEAVE,
    Op.REMOVE: Kind.LEAVE, Op.RENAME: Kind.RENAME, Op.DROP: Kind.DROP,
}  # fmt: skip


def decide(writes: Iterable[Write], ledger: Ledger) -> Decision:
    """Number what may be stored, refuse what may not; the outcome is noted on each write."""
    decision = Decision()
    for write in writes:
        channel = ledger.channels.get(write.channel_id)
        if channel is not None and write.channel_id not in ledger.locked:
            decision.passed_over.append(write)
            continue
        write.reset()
        try:
            if channel is None or (channel.deleted and write.op is not Op.DROP):
                raise missing_channel()
            if write.check and _answer_known(write, ledger):
                continue
            if _DECIDE[write.op](write, channel, ledger, decision):
                _append(write, channel, ledger, decision)
        except ChatError as error:
            write.error = error
    return decision


def _answer_known(write: Write, ledger: Ledger) -> bool:
    known = ledger.known.get((write.channel_id, write.user_id, write.nonce))
    if known is None:
        return False
    same = KINDS.get(write.op) is known.kind and write.target == known.target
    if not same or not (known.changed or write.content == known.content):
        raise ChatError(
            Code.NONCE_CONFLICT, "This nonce was used for something else.", field="nonce"
        )
    write.seq, write.ts, write.known = known.seq, known.ts, True
    write.dup = write.given  # a nonce that this pod made is only ever found by its own retry
    return True


def _append(write: Write, channel: ChannelState, ledger: Ledger, decision: Decision) -> None:
    kind = KINDS[write.op]
    channel.last_seq = seq = channel.last_seq + 1
    decision.entries.append(
        LogEntry(
            write.channel_id, seq, kind, write.user_id,
            write.target, write.content, ledger.now_ms, write.nonce,
        )
    )  # fmt: skip
    decision.heads[write.channel_id] = seq
    write.seq, write.ts = seq, ledger.now_ms
    if write.given:  # the same nonce twice in one batch
        key = (write.channel_id, write.user_id, write.nonce)
        ledger.known[key] = Known(seq, ledger.now_ms, kind, write.content, write.target)


# Each of these raises ChatError, or notes what changes besides the log, and tells whether the write
# makes an entry.


def _send(w: Write, channel: ChannelState, ledger: Ledger, _: Decision) -> bool:
    require(Act.TAKE_PART, channel.type, ledger.roles.get((w.channel_id, w.user_id)))
    return True


def _join(w: Write, channel: ChannelState, ledger: Ledger, decision: Decision) -> bool:
    role = ledger.roles.get((w.channel_id, w.user_id))
    require(Act.JOIN, channel.type, role)
    if role is not None:
        return False
    _set_role(w.channel_id, w.user_id, Role.MEMBER, ledger, decision)
    return True


def _leave(w: Write, channel: ChannelState, ledger: Ledger, decision: Decision) -> bool:
    role = ledger.roles.get((w.channel_id, w.user_id))
    require(Act.SEE, channel.type, role)
    if channel.type is ChannelType.DM:
        raise ChatError(Code.UNSUPPORTED, "Nobody leaves a dm.")
    if role is Role.OWNER:
        raise ChatError(Code.CONFLICT, "An owner hands the channel over before leaving it.")
    if role is None:
        return False
    _set_role(w.channel_id, w.user_id, None, ledger, decision)
    return True


def _add(w: Write, channel: ChannelState, ledger: Ledger, decision: Decision) -> bool:
    assert w.target is not None
    assert w.role is not None
    role = ledger.roles.get((w.channel_id, w.user_id))
    require(Act.ADD_MEMBER, channel.type, role)
    if w.role is not Role.MEMBER:
        require(Act.MANAGE, channel.type, role)
    if w.target not in ledger.users:
        raise ChatError(Code.NOT_FOUND, "There is no such user.", field="userId")
    if (w.channel_id, w.target) in ledger.roles:
        return False
    _set_role(w.channel_id, w.target, w.role, ledger, decision)
    return True


def _remove(w: Write, channel: ChannelState, ledger: Ledger, decision: Decision) -> bool:
    assert w.target is not None
    if w.target == w.user_id:
        return _leave(w, channel, ledger, decision)
    require(Act.TAKE_PART, channel.type, ledger.roles.get((w.channel_id, w.user_id)))
    if channel.type is ChannelType.DM:
        raise ChatError(Code.UNSUPPORTED, "Nobody is removed from a dm.")
    require(Act.MANAGE, channel.type, ledger.roles.get((w.channel_id, w.user_id)))
    _require_subject(w, ledger)
    _set_role(w.channel_id, w.target, None, ledger, decision)
    return True


def _role(w: Write, channel: ChannelState, ledger: Ledger, decision: Decision) -> bool:
    assert w.target is not None
    assert w.role is not None
    done = ledger.roles.get((w.channel_id, w.target)) is w.role
    if done and w.check:  # by an earlier try, which may have cost the right to do it
        return False
    act = Act.HAND_OVER if w.role is Role.OWNER else Act.MANAGE
    require(act, channel.type, ledger.roles.get((w.channel_id, w.user_id)))
    if done:
        return False
    _require_subject(w, ledger)
    _set_role(w.channel_id, w.target, w.role, ledger, decision)
    if w.role is Role.OWNER:
        _set_role(w.channel_id, w.user_id, Role.ADMIN, ledger, decision)
    return False


def _rename(w: Write, channel: ChannelState, ledger: Ledger, decision: Decision) -> bool:
    assert w.content is not None
    require(Act.MANAGE, channel.type, ledger.roles.get((w.channel_id, w.user_id)))
    decision.names[w.channel_id] = w.content
    return True


def _drop(w: Write, channel: ChannelState, ledger: Ledger, decision: Decision) -> bool:
    if channel.deleted:
        raise missing_channel()
    require(Act.MANAGE, channel.type, ledger.roles.get((w.channel_id, w.user_id)))
    channel.deleted = True
    decision.dropped.add(w.channel_id)
    for key in [key for key in decision.roles if key[0] == w.channel_id]:
        del decision.roles[key]  # its members go all together
    return True


def _edit(w: Write, channel: ChannelState, ledger: Ledger, decision: Decision) -> bool:
    assert w.target is not None
    assert w.content is not None
    require(Act.TAKE_PART, channel.type, ledger.roles.get((w.channel_id, w.user_id)))
    target = _message(w, ledger)
    if target.author != w.user_id:
        raise ChatError(Code.FORBIDDEN, "Only its author edits a message.")
    _require_standing(target)
    decision.edited[w.channel_id, w.target] = w.content
    return True


def _delete(w: Write, channel: ChannelState, ledger: Ledger, decision: Decision) -> bool:
    assert w.target is not None
    role = ledger.roles.get((w.channel_id, w.user_id))
    require(Act.TAKE_PART, channel.type, role)
    target = _message(w, ledger)
    if target.author != w.user_id:
        require(Act.MANAGE, channel.type, role)
    _require_standing(target)
    ledger.targets[w.channel_id, w.target] = target._replace(deleted=True)
    decision.edited.pop((w.channel_id, w.target), None)
    if decision.reactions is not None:
        decision.reactions.forget(w.channel_id, w.target)
    decision.blanked.add((w.channel_id, w.target))
    return True


def _react(w: Write, channel: ChannelState, ledger: Ledger, decision: Decision) -> bool:
    """Always an entry: the last one says what stands, whatever its author knew."""
    reactions = decision.reactions = ledger.reactions
    assert reactions is not None
    require(Act.TAKE_PART, channel.type, ledger.roles.get((w.channel_id, w.user_id)))
    _require_standing(_message(w, ledger))
    reaction = (w.channel_id, w.target or 0, w.content or "", w.user_id)
    if w.op is Op.REACT:
        reactions.add(reaction, channel.last_seq + 1)
    else:
        reactions.remove(reaction)
    return True


def _message(w: Write, ledger: Ledger) -> Target:
    target = ledger.targets.get((w.channel_id, w.target or 0))
    if target is None:
        raise ChatError(Code.NOT_FOUND, "There is no such message.")
    return target


def _require_standing(target: Target) -> None:
    if target.deleted:
        raise ChatError(Code.NOT_FOUND, "This message was deleted.")


def _require_subject(w: Write, ledger: Ledger) -> None:
    """Raise unless the target is a member on whom somebody may act."""
    role = ledger.roles.get((w.channel_id, w.target or 0))
    if role is None:
        raise ChatError(Code.NOT_FOUND, "There is no such member.", field="userId")
    if role is Role.OWNER:
        raise ChatError(Code.FORBIDDEN, "Nobody acts on an owner.")


def _set_role(
    channel_id: int, user_id: int, role: Role | None, ledger: Ledger, decision: Decision
) -> None:
    decision.roles[channel_id, user_id] = role
    if role is None:
        ledger.roles.pop((channel_id, user_id), None)
    else:
        ledger.roles[channel_id, user_id] = role


_DECIDE: dict[Op, Callable[[Write, ChannelState, Ledger, Decision], bool]] = {
    Op.SEND: _send, Op.EDIT: _edit, Op.DELETE: _delete, Op.REACT: _react, Op.UNREACT: _react,
    Op.JOIN: _join, Op.LEAVE: _leave, Op.ADD: _add, Op.REMOVE: _remove, Op.SET_ROLE: _role,
    Op.RENAME: _rename, Op.DROP: _drop,
}  # fmt: skip
