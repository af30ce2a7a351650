"""What fuzzing starts from: valid inputs, made by the code that writes them; and their mutations.

Owns: a corpus for each kind of input, and how one of it is changed. Random bytes alone get no
further than the first check; what is nearly right gets to the ones behind it.
"""

from collections.abc import Iterator
from random import Random

import orjson
from hypothesis import strategies as st

from rtchat import notice, protocol
from rtchat.api.routes import ROUTES
from rtchat.auth.tokens import Tokens
from rtchat.config import Config
from rtchat.ephemeral import word
from rtchat.model import Kind, LogEntry

CHANNEL = 17
EDITS_MAX = 6
PART_MAX = 1024

FRAMES: list[dict[str, object]] = [
    {"t": "auth", "ref": 1, "token": "a.b.c"},
    {"t": "sub", "ref": 2, "ch": {"17": 4, "18": None}, "epoch": "e"},
    {"t": "unsub", "ref": 3, "ch": [17]},
    {"t": "send", "ref": "four", "ch": 17, "content": "hi", "nonce": "n"},
    {"t": "edit", "ref": 5, "ch": 17, "of": 1, "content": "hi!", "nonce": "m"},
    {"t": "del", "ref": 6, "ch": 17, "of": 1},
    {"t": "react", "ref": 7, "ch": 17, "of": 1, "emoji": "👍🏽", "on": True, "nonce": "o"},
    {"t": "read", "ref": 7, "ch": 17, "seq": 4},
    {"t": "typing", "ref": 8, "ch": 17},
    {"t": "ping", "ref": 9},
]
QUERIES = [
    b"limit=50&after=17", b"before=9007199254740991", b"scope=public&cursor=3&limit=200",
    b"q=ann%20o&limit=1", b"ids=1,2,3", b"cursor=0", b"x=%F0%9F%98%80&limit=7",
    b"next=/chat%23a", b"state=s&code=c&iss=https%3A%2F%2Fid.example.org", b"error=access_denied",
]  # fmt: skip
BODIES = [
    b'{"email":"a@example.org","password":"correct horse","name":"Ann"}',
    b'{"name":"x","type":"public","members":[1,2]}', b'{"userId":3,"role":"admin"}',
    b'{"content":"hi","nonce":"n"}', b'{"refreshToken":"abc","all":true}', b'{"status":null}',
]  # fmt: skip
# What parsers stumble over, to be put in anywhere.
TOKENS = [
    b"null", b"true", b"NaN", b"-0", b"1e400", b"0.1", b"9007199254740992", b"18446744073709551616",
    b'"', b"\\", b"\\ud800", b"\\u0000", b"{", b"[", b"[[[[[[[[", b"}", b",", b":", b"\0", b"\xff",
    b"\xed\xa0\x80", "é😀\u202e".encode(), b"%00", b"%ff", b"%", b"&", b"=", b"+", b"/", b".",
    b"..", b"//", b"\r\n", b"\xff\xff\xff\xff", b"\x00\x00\x00\x01", b"\x7f", b" ",
    "١".encode(), b"_", b"0", b"-1",
]  # fmt: skip


def tokens(config: Config, now: float | None = None) -> list[bytes]:
    """Access tokens of two users, as signed with this configuration."""
    signer = Tokens(config)
    return [signer.sign(user, 10 + user, now).encode() for user in (1, 2)]


def frames() -> list[bytes]:
    """A client's messages."""
    return [orjson.dumps(frame) for frame in FRAMES]


def paths() -> list[bytes]:
    """A path of every route."""
    return sorted({_filled(route.path).encode() for route in ROUTES})


def _filled(path: str) -> str:
    return "/".join("17" if part.startswith("{") else part for part in path.split("/"))


def envelopes() -> list[bytes]:
    """What pods tell of a channel's first entries, in batches; two members leave."""
    kinds = [Kind.MESSAGE, Kind.JOIN, Kind.EDIT, Kind.MESSAGE, Kind.LEAVE, Kind.MESSAGE]
    entries = [
        LogEntry(CHANNEL, seq, kind, 1, 2, f"m{seq}", 0) for seq, kind in enumerate(kinds, 1)
    ]
    cut = [entries[:1], entries[1:3], entries[3:], entries[:4], entries[5:]]
    return [bytes(envelope) for part in cut for envelope in protocol.pack(part, 1 << 20)]


def notices() -> list[bytes]:
    """What pods tell of users and sessions."""
    return [
        notice.encode(notice.Added("pod", CHANNEL, [1, 2])),
        notice.encode(notice.Removed("pod", CHANNEL, [1], 9, "left")),
        notice.encode(notice.SessionsEnded("pod", [11, 12])),
        notice.encode(notice.HaveRead("pod", [(1, CHANNEL, 9), (2, CHANNEL, 0)])),
        notice.encode(notice.Beat("pod", parting=True)),
        notice.encode(notice.Seek("pod", [(1, [CHANNEL, 18]), (2, [])])),
    ]


def words() -> list[bytes]:
    """What pods tell of a channel besides its log."""
    return [
        word.encode(CHANNEL, word.Word("pod", [1, 2], [(3, 4)], subscribers=3)),
        word.encode(CHANNEL, word.Word("other", online=[1, 2], whole=True, asks=True)),
        word.encode(CHANNEL, word.Word("pod", gone=[2])),
    ]


def of_the_bus() -> list[bytes]:
    """All that pods tell each other."""
    return [*envelopes(), *words(), *notices()]


def packed(parts: list[bytes]) -> bytes:
    """Several inputs in one, to be taken apart by `unpacked`."""
    return b"".join(len(part).to_bytes(2) + part for part in parts)


def unpacked(data: bytes) -> Iterator[bytes]:
    """The inputs that are in these bytes, whatever they are; the last may be short."""
    at = 0
    while at + 2 <= len(data):
        size = int.from_bytes(data[at : at + 2])
        yield data[at + 2 : at + 2 + size]
        at += 2 + size


@st.composite
def mutations(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """One of the seeds with some edits, two of them spliced, or any bytes."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=200))
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, EDITS_MAX))):
        at = draw(st.integers(0, len(data)))
        end = draw(st.integers(at, min(len(data), at + 8)))
        new = draw(
            st.one_of(
                st.just(b""),
                st.sampled_from(TOKENS),
                st.binary(max_size=4),
                st.sampled_from([data[at:end] * count for count in (2, 3, 20)]),
                st.sampled_from([seed[at:] for seed in seeds]),
            )
        )
        data = data[:at] + new + data[end:]
    return data


def mutated(data: bytes, seeds: list[bytes], random: Random) -> bytes:
    """The same without Hypothesis, which is a hundred times slower."""
    data = random.choice([data, data, random.choice(seeds)])
    for _ in range(random.randint(1, EDITS_MAX)):
        at = random.randint(0, len(data))
        end = random.randint(at, min(len(data), at + 8))
        edits = [
            b"",
            random.choice(TOKENS),
            random.randbytes(random.randint(1, 4)),
            data[at:end] * random.choice((2, 3, 20)),
            random.choice(seeds)[at:],
        ]
        data = data[:at] + random.choice(edits) + data[end:]
    return data


def mutated_part(data: bytes, seeds: list[bytes], random: Random) -> bytes:
    """The same for one of several inputs in one; or one more, or another order."""
    parts = [*unpacked(data)] or [random.choice(seeds)]
    at = random.randrange(len(parts))
    match random.randrange(4):
        case 0:
            parts.append(random.choice(seeds))
        case 1:
            random.shuffle(parts)
        case 2:
            del parts[at]
        case _:
            parts[at] = mutated(parts[at], seeds, random)
    return packed([part[:PART_MAX] for part in parts])


@st.composite
def several(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """A handful of such inputs."""
    return packed(draw(st.lists(mutations(seeds), min_size=1, max_size=6)))
