"""What is fuzzed: each target takes any bytes and asserts what must hold for all of them.

Owns: the invariants. A target returns, or raises AssertionError, or whatever the code under it let
out; nothing here catches more than the errors that an interface states. No I/O: what needs a
database is in `tests/fuzz/pod.py`.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import msgspec
import orjson
from hypothesis import strategies as st

from rtchat import notice, protocol
from rtchat.api import http
from rtchat.api.router import Router
from rtchat.api.routes import ROUTES
from rtchat.auth.tokens import Tokens
from rtchat.config import Config
from rtchat.envelope import BadEnvelopeError, ControlKind, Envelope, joined
from rtchat.ephemeral import word
from rtchat.errors import ChatError, Code
from rtchat.measures import Delivering
from rtchat.model import ID_MAX
from rtchat.room import Room, State, Subscription, Tails, Write
from tests.fuzz import corpus
from tests.wire import events

REFUSED = {
    Code.BAD_JSON, Code.BAD_MESSAGE, Code.UNKNOWN_TYPE, Code.BAD_FIELD, Code.TOO_LONG,
}  # fmt: skip
TEXT_MAX = 65_536
ME = 2  # the user whose subscription is looked at
HELD_MAX = 4096

Target = Callable[[bytes], None]


@dataclass(frozen=True)
class Fuzzed:
    """A target, with what its inputs are made from."""

    run: Target
    seeds: list[bytes]
    several: bool = False  # of them in one input
    found: list[bytes] = field(default_factory=list)  # what once failed

    @property
    def inputs(self) -> st.SearchStrategy[bytes]:
        """Mutations of the seeds."""
        return corpus.several(self.seeds) if self.several else corpus.mutations(self.seeds)

    def mutated(self, data: bytes, random: Random) -> bytes:
        """A mutation of this input."""
        mutate = corpus.mutated_part if self.several else corpus.mutated
        return mutate(data, self.seeds, random)

    @property
    def corpus(self) -> list[bytes]:
        """Whole inputs to begin with."""
        whole = [*map(corpus.packed, [[s] for s in self.seeds])] if self.several else self.seeds
        return [*whole, *([corpus.packed(self.seeds)] if self.several else []), *self.found]


def text_of(data: bytes) -> str | None:
    """As a client's frame brings it: UTF-8, or the socket is closed before anybody reads it."""
    try:
        return data[:TEXT_MAX].decode()
    except UnicodeDecodeError:
        return None


def _expect(error: ChatError, codes: set[Code]) -> None:
    assert error.code in codes, error.code
    assert error.message.isprintable(), error.message


# --- what clients send


def frame(data: bytes) -> None:
    """A command, which then is JSON and says what it says, or an error that can be answered."""
    text = text_of(data)
    if text is None:
        return
    try:
        command = protocol.decode(text)
    except ChatError as error:
        _expect(error, REFUSED)
        ref = protocol.ref_of(text)
        (answer,) = events(protocol.error(ref, error))
        assert answer["ref"] == ref
        assert len(answer["message"]) < 1000
        return
    said = json.loads(text)  # another reader: what we take must be JSON to everybody
    assert said["t"] == type(command).__struct_config__.tag
    for name in ("ch", "of"):
        value = getattr(command, name, None)
        numbers = value if isinstance(value, (dict, list)) else [value]
        assert all(n is None or 0 < n <= ID_MAX for n in numbers), value
    assert orjson.loads(msgspec.json.encode(command))["t"] == said["t"]


_CONFIG = Config(secret_key="fuzzed-0123456789-0123456789-abcdefgh")
_TOKENS = corpus.tokens(_CONFIG)
_checker = Tokens(_CONFIG)
_SIGNED = {_checker.check(token.decode()) for token in _TOKENS}


def token(data: bytes) -> None:
    """Somebody for whom we signed, or one of two refusals."""
    for text in (data.decode("latin-1"), data.decode("utf-8", "replace")):
        try:
            identity = _checker.check(text)
        except ChatError as error:
            _expect(error, {Code.UNAUTHORIZED, Code.TOKEN_EXPIRED})
        else:
            assert identity in _SIGNED, (text, identity)


_QUERIES = {route.query for route in ROUTES if route.query is not None}


def query(data: bytes) -> None:
    """Parameters within their limits, or an error that names one."""
    for kind in _QUERIES:
        try:
            parsed = http.parse_query({"query_string": data}, kind)
        except ChatError as error:
            _expect(error, REFUSED)
            continue
        assert 1 <= getattr(parsed, "limit", 1) <= 200
        for name in ("cursor", "before", "after"):
            number = getattr(parsed, name, None)
            assert number is None or 0 <= number <= ID_MAX
        assert msgspec.convert(msgspec.to_builtins(parsed), kind) == parsed


_router = Router(ROUTES)


def path(data: bytes) -> None:
    """A route whose path, with the ids that were found, is the one asked for; or `not_found`."""
    for asked in (data.decode("latin-1"), data.decode("utf-8", "replace")):
        try:
            routes, ids, words = _router.match(asked)
        except ChatError as error:
            _expect(error, {Code.NOT_FOUND})
            continue
        assert routes
        assert all(0 < number <= ID_MAX for number in ids.values())
        assert all(0 < len(word) <= 32 and word.isascii() for word in words.values())
        for route in routes.values():
            assert route.path.replace(":word", "").format_map({**ids, **words}) == asked


_DECODERS = [route.decoder for route in ROUTES if route.decoder is not None]


def body(data: bytes) -> None:
    """A body of the route's type, which then is JSON, or an error."""
    for decoder in _DECODERS:
        try:
            parsed = http.decode(decoder, data)
        except ChatError as error:
            _expect(error, REFUSED)
        else:
            assert isinstance(json.loads(data), dict)
            assert decoder.decode(msgspec.json.encode(parsed)) == parsed


# --- what comes over the bus


def envelope(data: bytes) -> None:
    """An envelope that says just these bytes again, or BadEnvelopeError."""
    try:
        read = Envelope.parse(data)
    except BadEnvelopeError:
        return
    assert bytes(read) == data
    assert Envelope.place(data) == (read.channel_id, read.last)
    assert 0 < read.first <= read.last <= ID_MAX
    assert sum(read.lengths) == len(read.payload)
    half = read.first + (read.last - read.first) // 2
    if half < read.last:
        rest = read.after(half)
        assert (rest.first, rest.last) == (half + 1, read.last)
        assert read.payload.endswith(rest.payload)
        assert Envelope.parse(bytes(rest)) == rest


def control(data: bytes) -> None:
    """A notice that survives being told again, or ValueError."""
    try:
        read = notice.parse(data)
    except ValueError:
        return
    assert notice.parse(notice.encode(read)) == read
    ids = _ids_of(read)
    assert len(ids) <= notice.IDS_MAX
    assert all(0 < number <= ID_MAX for number in ids)


def _ids_of(read: notice.Notice) -> list[int]:
    match read:
        case notice.SessionsEnded():
            return read.session_ids
        case notice.HaveRead():
            return [user for user, _, _ in read.marks]
        case notice.Seek():
            return [user for user, _ in read.users]
        case notice.Beat():
            return []
        case _:
            return read.user_ids


def ephemeral(data: bytes) -> None:
    """A word that survives being told again, or ValueError."""
    try:
        channel_id, read = word.parse(data)
    except ValueError:
        return
    assert word.parse(word.encode(channel_id, read)) == (channel_id, read)
    users = [*read.typing, *read.online, *read.gone, *(user for user, _ in read.read)]
    assert all(0 < number <= ID_MAX for number in (channel_id, *users))
    assert len(users) <= 4 * word.PEOPLE_MAX


class _Reader:
    """A live subscriber that keeps the bytes it is sent."""

    def __init__(self) -> None:
        self.user_id = ME
        self.received = b""
        self.ended_by: int | None = None
        self.write: Write = self._keep

    def _keep(self, frames: bytes) -> None:
        assert self.ended_by is None, "written to after the end"
        self.received += frames


def room(data: bytes) -> None:
    """Whatever pods or impostors tell, in whatever order: each seq once, none skipped, none after
    the end of a membership, and no more kept than the limit."""
    reader = _Reader()

    def ended(sub: Subscription, kind: ControlKind, seq: int) -> None:
        assert sub.state is State.LIVE
        reader.ended_by = seq
        it.remove(sub)

    it = Room(corpus.CHANNEL, ended, Tails(1 << 16), HELD_MAX, Delivering())
    sub = it.register(reader)
    it.open(0)
    it.catch_up(sub, 0)
    it.go_live(sub)
    told: dict[int, set[bytes]] = {}  # seq to the frames that somebody claimed for it
    for news in joined(_news(data, told), 1 << 16):
        before = it.cursor
        moved = it.offer(news)
        assert it.cursor >= before
        assert moved is (it.cursor > before)
        assert it._held_bytes <= HELD_MAX
    last = it.cursor if reader.ended_by is None else reader.ended_by
    assert _is_run(reader.received, told, last), (reader.received, last)


def _news(data: bytes, told: dict[int, set[bytes]]) -> list[Envelope]:
    found = []
    for part in corpus.unpacked(data):
        try:
            read = Envelope.parse(part)
        except BadEnvelopeError:
            continue
        if read.channel_id != corpus.CHANNEL:
            continue
        found.append(read)
        for index, length in enumerate(read.lengths):
            at = read.offset(index)
            told.setdefault(read.first + index, set()).add(read.payload[at : at + length])
    return found


def _is_run(received: bytes, told: dict[int, set[bytes]], last: int) -> bool:
    """Whether these bytes are a frame of seq 1, one of 2, … up to one of `last`."""
    ends = {0}
    for seq in range(1, last + 1):
        ends = {
            at + len(claimed)
            for at in ends
            for claimed in told.get(seq, ())
            if received.startswith(claimed, at)
        }
    return len(received) in ends


TARGETS: dict[str, Fuzzed] = {
    "frame": Fuzzed(frame, corpus.frames()),
    "token": Fuzzed(token, _TOKENS),
    "query": Fuzzed(query, corpus.QUERIES),
    "path": Fuzzed(path, corpus.paths()),
    "body": Fuzzed(body, corpus.BODIES),
    "envelope": Fuzzed(envelope, corpus.envelopes()),
    "notice": Fuzzed(control, corpus.notices()),
    "word": Fuzzed(ephemeral, corpus.words()),
    "room": Fuzzed(room, corpus.envelopes(), several=True),
}
