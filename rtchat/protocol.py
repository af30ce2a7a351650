"""The WebSocket's wire, pure: a client's text to a command, an event to a frame.

Owns: every frame of the contract (§3), both ways, and the WebSocket's only JSON. Must never: do I/O
or know a rule; that a command is well formed says nothing about whether it is allowed.

What comes in is decoded and checked by msgspec in one pass. What goes out is built once as a whole
WebSocket frame (header and JSON: a server's frames are not masked, RFC 6455 §5.1), so that one
bytes object serves every reader on every pod.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, assert_never

import msgspec
import orjson
from msgspec import Meta

from rtchat.envelope import ENTRIES_MAX, Control, ControlKind, Envelope
from rtchat.errors import ERRORS, ChatError, Code
from rtchat.model import ID_MAX, Channel, Id, Kind, LogEntry, Seq, User

SUBPROTOCOL = "rtchat.v1"
NONCE_MAX_CHARS = 64

Ref = Annotated[int, Meta(ge=-ID_MAX, le=ID_MAX)] | Annotated[str, Meta(max_length=64)] | None
Nonce = Annotated[str, Meta(min_length=1, max_length=NONCE_MAX_CHARS)]


class _Command(msgspec.Struct, tag_field="t", kw_only=True, gc=False):
    """Base of what a client sends: `t` tells which, `ref` comes back in the answer."""

    ref: Ref = None


class Auth(_Command, tag="auth"):
    """Sign in, or renew the expiry of a live socket."""

    token: Annotated[str, Meta(max_length=8192)]


class Sub(_Command, tag="sub"):
    """Follow channels from a cursor on; null: from the head on."""

    ch: dict[Id, Seq | None]
    epoch: Annotated[str, Meta(max_length=64)] | None = None


class Unsub(_Command, tag="unsub"):
    """Follow channels no longer."""

    ch: list[Id]


class Send(_Command, tag="send"):
    """Write a message."""

    ch: Id
    content: str
    nonce: Nonce | None = None


class Edit(_Command, tag="edit"):
    """Give a message of one's own other content."""

    ch: Id
    of: Id
    content: str
    nonce: Nonce | None = None


class Del(_Command, tag="del"):
    """Delete a message: its content, not its place in the log."""

    ch: Id
    of: Id
    nonce: Nonce | None = None


class Ping(_Command, tag="ping"):
    """Ask for a pong."""


Command = Auth | Sub | Unsub | Send | Edit | Del | Ping

_decode: Callable[[str], Command] = msgspec.json.Decoder(Command).decode


class _Head(msgspec.Struct):
    """What is looked for in a frame that could not be decoded whole."""

    ref: Any = None
    t: Any = None


_decode_head = msgspec.json.Decoder(_Head).decode


def decode(text: str) -> Command:
    """Read one frame's text. Raises ChatError with the contract's code and the field at fault."""
    try:
        return _decode(text)
    except msgspec.ValidationError as error:
        require_json(text)
        raise explain(error) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise ChatError(Code.BAD_JSON) from None


def require_json(text: str | bytes) -> None:
    """Raise ChatError(bad_json) unless `text` is JSON to its end.

    msgspec stops at the first wrong value; whether what follows is JSON at all it has not seen.
    """
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        raise ChatError(Code.BAD_JSON) from None


def ref_of(text: str) -> int | str | None:
    """Find the `ref` of a frame that `decode` refused, so that the error can carry it."""
    try:
        ref = _decode_head(text).ref
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    if type(ref) is int:
        return ref if -ID_MAX <= ref <= ID_MAX else None
    return ref if isinstance(ref, str) and len(ref) <= 64 else None


def explain(error: msgspec.ValidationError) -> ChatError:
    """Turn msgspec's words ("Expected `int`, got `str` - at `$.ch`") into the contract's code."""
    reason, _, path = str(error).partition(" - at `")
    field = path.rpartition("$.")[2].partition("[")[0].rstrip("`") or None
    if field == "t" or "missing required field `t`" in reason:
        return ChatError(Code.UNKNOWN_TYPE, field="t")
    if field is None and reason.startswith("Expected `object`"):
        return ChatError(Code.BAD_MESSAGE)
    if "missing required field" in reason:
        field = reason.rpartition("field `")[2].rstrip("`")
    code = Code.TOO_LONG if "of length <=" in reason else Code.BAD_FIELD
    return ChatError(code, reason, field=field)


# --- what the server sends


def frame(event: dict[str, Any]) -> bytes:
    """Make a whole text frame of one JSON object (RFC 6455 §5.2), a fifth of `websockets`' time."""
    text = orjson.dumps(event)
    size = len(text)
    if size < 126:
        return b"\x81%c%b" % (size, text)
    if size < 65_536:
        return b"\x81\x7e%b%b" % (size.to_bytes(2, "big"), text)
    return b"\x81\x7f%b%b" % (size.to_bytes(8, "big"), text)


def entry(e: LogEntry) -> bytes:
    """Make the frame of a log entry; the tombstone of a channel has none."""
    head = {"ch": e.channel_id, "seq": e.seq}
    match e.kind:
        case Kind.MESSAGE:
            event = {"t": "msg", **head, "user": e.user_id, "content": e.content, "ts": e.ts}
            if e.deleted:
                event["deleted"] = True
        case Kind.JOIN | Kind.LEAVE:
            t = "join" if e.kind is Kind.JOIN else "leave"
            event = {"t": t, **head, "user": e.target, "by": e.user_id, "ts": e.ts}
        case Kind.RENAME:
            event = {"t": "chan", **head, "user": e.user_id, "name": e.content, "ts": e.ts}
        case Kind.EDIT:
            event = {"t": "edit", **head, "of": e.target, "user": e.user_id}
            event |= {"content": e.content, "ts": e.ts}
        case Kind.DELETE:
            event = {"t": "del", **head, "of": e.target, "user": e.user_id, "ts": e.ts}
        case Kind.REACT | Kind.UNREACT:
            event = {"t": "react", **head, "of": e.target, "user": e.user_id, "emoji": e.content}
            event |= {"on": e.kind is Kind.REACT, "ts": e.ts}
        case Kind.DROP:
            return b""
        case _:
            assert_never(e.kind)
    return frame(event)


def pack(entries: Iterable[LogEntry], max_bytes: int) -> Iterator[Envelope]:
    """Make envelopes of one channel's consecutive entries, each of about `max_bytes` at most."""
    frames: list[bytes] = []
    controls: list[Control] = []
    first = size = channel_id = 0
    for e in entries:
        if size > max_bytes or len(frames) == ENTRIES_MAX:
            yield _envelope(channel_id, first, frames, controls)
            frames, controls, size = [], [], 0
        if not frames:
            channel_id, first = e.channel_id, e.seq
        if (control := _control(len(frames), e)) is not None:
            controls.append(control)
        frames.append(entry(e))
        size += len(frames[-1])
    if frames:
        yield _envelope(channel_id, first, frames, controls)


def _envelope(channel: int, first: int, frames: list[bytes], controls: list[Control]) -> Envelope:
    return Envelope(channel, first, tuple(map(len, frames)), tuple(controls), b"".join(frames))


def _control(index: int, e: LogEntry) -> Control | None:
    if e.kind is Kind.DROP:
        return Control(index, ControlKind.DELETED, 0)
    if e.kind is Kind.LEAVE and e.target is not None:
        kind = ControlKind.LEFT if e.target == e.user_id else ControlKind.REMOVED
        return Control(index, kind, e.target)
    return None


def hello(
    *,
    session: int,
    user: User,
    exp: int,
    epoch: str,
    heartbeat_s: int,
    limits: dict[str, int],
) -> bytes:
    """Make the first frame after authentication; `exp` is in seconds since 1970."""
    return frame(
        {
            "t": "hello",
            "session": str(session),
            "user": msgspec.to_builtins(user),
            "exp": exp,
            "epoch": epoch,
            "heartbeat": heartbeat_s,
            "limits": limits,
        }
    )


def ok(ref: Ref, **fields: Any) -> bytes:
    """Make the answer to a command that has one and succeeded."""
    return frame({"t": "ok", "ref": ref, **fields})


def pong(ref: Ref) -> bytes:
    """Make the answer to `ping`."""
    return frame({"t": "pong", "ref": ref})


def ack(ref: Ref, channel_id: int, seq: int, ts: int, *, dup: bool) -> bytes:
    """Make the answer to a write that is committed; `dup`: by an earlier try."""
    event = {"t": "ack", "ref": ref, "ch": channel_id, "seq": seq, "ts": ts}
    if dup:
        event["dup"] = True
    return frame(event)


def error(ref: Ref, problem: ChatError) -> bytes:
    """Make the answer to a command that failed."""
    event: dict[str, Any] = {"t": "error", "ref": ref, "code": problem.code.value}
    event |= {"message": problem.message, "retry": ERRORS[problem.code].retry}
    if problem.after_ms is not None:
        event["after"] = problem.after_ms
    if problem.field is not None:
        event["field"] = problem.field
    return frame(event)


def reset(channel_id: int, head: int, epoch: str) -> bytes:
    """Tell that a cursor cannot be resumed, and of which `epoch` the log is; the sub has ended."""
    return frame({"t": "reset", "ch": channel_id, "head": head, "epoch": epoch})


def added(channel: Channel) -> bytes:
    """Tell a user's connections of a channel that the user is a member of from now on."""
    return frame({"t": "added", "ch": channel.id, "channel": msgspec.to_builtins(channel)})


def removed(channel_id: int, reason: str) -> bytes:
    """Tell that the user is no member any more: `left`, `removed` or `deleted`."""
    return frame({"t": "removed", "ch": channel_id, "reason": reason})


def expiring(in_s: int) -> bytes:
    """Ask for a renewal of the token."""
    return frame({"t": "expiring", "in": in_s})


def bye(code: int, in_ms: int) -> bytes:
    """Tell that a close follows, and when to come back."""
    return frame({"t": "bye", "code": code, "in": in_ms})


def payloads(frames: bytes) -> list[str]:
    """Take whole unmasked text frames apart again, for a server that wants the text only."""
    texts, at = [], 0
    while at < len(frames):
        size, start = frames[at + 1], at + 2
        if size > 125:
            width = 2 if size == 126 else 8
            size, start = int.from_bytes(frames[start : start + width], "big"), start + width
        texts.append(frames[start : start + size].decode())
        at = start + size
    return texts
