"""The WebSocket's wire, pure: a client's text to a command, an event to a frame.

Owns: the WebSocket's only JSON. What frames there are is in `commands` and `events`. Must never: do
I/O, or let a text through that is no command.

What comes in is decoded and checked by msgspec in one pass. What goes out is built once as a whole
WebSocket frame (header and JSON: a server's frames are not masked, RFC 6455 §5.1), so that one
bytes object serves every reader on every pod.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, assert_never

import msgspec
import orjson
from msgspec import UNSET

from rtchat import events
from rtchat.commands import REF_MAX_CHARS, Command, Ref
from rtchat.envelope import ENTRIES_MAX, Control, ControlKind, Envelope
from rtchat.errors import ERRORS, ChatError, Close, Code
from rtchat.model import ID_MAX, Channel, Kind, LogEntry, User

SUBPROTOCOL = "rtchat.v1"
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
    return ref if isinstance(ref, str) and len(ref) <= REF_MAX_CHARS else None


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


_to_json = msgspec.json.Encoder().encode


def frame(event: Any) -> bytes:
    """Make a whole text frame of one event (RFC 6455 §5.2), a fifth of `websockets`' time."""
    text = _to_json(event)
    size = len(text)
    if size < 126:
        return b"\x81%c%b" % (size, text)
    if size < 65_536:
        return b"\x81\x7e%b%b" % (size.to_bytes(2, "big"), text)
    return b"\x81\x7f%b%b" % (size.to_bytes(8, "big"), text)


def entry(e: LogEntry) -> bytes:
    """Make the frame of a log entry; the tombstone of a channel has none."""
    ch, seq, user, ts = e.channel_id, e.seq, e.user_id, e.ts
    of: Any = e.target  # both are there where the kind has them
    text: Any = e.content
    event: Any
    match e.kind:
        case Kind.MESSAGE:
            deleted = True if e.deleted else UNSET
            event = events.Msg(ch=ch, seq=seq, user=user, content=text, ts=ts, deleted=deleted)
        case Kind.JOIN | Kind.LEAVE:
            kind = events.Joined if e.kind is Kind.JOIN else events.Left
            event = kind(ch=ch, seq=seq, user=of, by=user, ts=ts)
        case Kind.RENAME:
            event = events.Renamed(ch=ch, seq=seq, user=user, name=text, ts=ts)
        case Kind.EDIT:
            event = events.Edited(ch=ch, seq=seq, of=of, user=user, content=text, ts=ts)
        case Kind.DELETE:
            event = events.Deleted(ch=ch, seq=seq, of=of, user=user, ts=ts)
        case Kind.REACT | Kind.UNREACT:
            on = e.kind is Kind.REACT
            event = events.Reacted(ch=ch, seq=seq, of=of, user=user, emoji=text, on=on, ts=ts)
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
    *, session: int, user: User, exp: int, epoch: str, heartbeat_s: int, limits: events.Limits
) -> bytes:
    """Make the first frame after authentication; `exp` is in seconds since 1970."""
    return frame(
        events.Hello(
            session=str(session),
            user=user,
            exp=exp,
            epoch=epoch,
            heartbeat=heartbeat_s,
            limits=limits,
        )
    )


def ok(ref: Ref, *, ch: Mapping[str, events.Head] | None = None, exp: int | None = None) -> bytes:
    """Make the answer to a command that has one and succeeded."""
    heads = UNSET if ch is None else dict(ch)
    return frame(events.Ok(ref=ref, ch=heads, exp=UNSET if exp is None else exp))


def pong(ref: Ref) -> bytes:
    """Make the answer to `ping`."""
    return frame(events.Pong(ref=ref))


def ack(ref: Ref, channel_id: int, seq: int, ts: int, *, dup: bool) -> bytes:
    """Make the answer to a write that is committed; `dup`: by an earlier try."""
    return frame(events.Ack(ref=ref, ch=channel_id, seq=seq, ts=ts, dup=True if dup else UNSET))


def error(ref: Ref, problem: ChatError) -> bytes:
    """Make the answer to a command that failed."""
    return frame(
        events.Error(
            ref=ref,
            code=problem.code,
            message=problem.message,
            retry=ERRORS[problem.code].retry,
            after=UNSET if problem.after_ms is None else problem.after_ms,
            field=UNSET if problem.field is None else problem.field,
        )
    )


def reset(channel_id: int, head: int, epoch: str) -> bytes:
    """Tell that a cursor cannot be resumed, and of which `epoch` the log is; the sub has ended."""
    return frame(events.Reset(ch=channel_id, head=head, epoch=epoch))


def added(channel: Channel) -> bytes:
    """Tell a user's connections of a channel that the user is a member of from now on."""
    return frame(events.Added(ch=channel.id, channel=channel))


def removed(channel_id: int, reason: events.Reason) -> bytes:
    """Tell that the user is no member any more: `left`, `removed` or `deleted`."""
    return frame(events.Removed(ch=channel_id, reason=reason))


def typing(channel_id: int, user_id: int) -> bytes:
    """Tell that somebody is typing."""
    return frame(events.IsTyping(ch=channel_id, user=user_id))


def has_read(channel_id: int, user_id: int, seq: int) -> bytes:
    """Tell how far somebody has read."""
    return frame(events.HasRead(ch=channel_id, user=user_id, seq=seq))


def presence(user_id: int, *, online: bool) -> bytes:
    """Tell that somebody is online, or is not any more."""
    return frame(events.Presence(user=user_id, status="online" if online else "offline"))


def expiring(in_s: int) -> bytes:
    """Ask for a renewal of the token."""
    return frame(events.Expiring(in_=in_s))


def bye(code: Close, in_ms: int) -> bytes:
    """Tell that a close follows, and when to come back."""
    return frame(events.Bye(code=code, in_=in_ms))


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
