"""Bad messages: each gets the contract's error, the socket stays open, nothing else is disturbed.

The names begin with the row of the list of bad inputs that they stand for.
"""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import orjson
import pytest

from tests.people import People, Person
from tests.pods import Pod
from tests.raw import BINARY, raw
from tests.sockets import Wire, wire

pytestmark = pytest.mark.usefixtures("calm")

BIG = 2**53


@pytest.fixture(scope="module")
async def room(people: People, http: httpx2.AsyncClient) -> tuple[Person, int]:
    """Somebody in a channel."""
    ann = await people.new("ann")
    body = {"name": "room", "type": "public"}
    answer = await http.post("/channels", json=body, headers=ann.headers)
    return ann, int(answer.json()["id"])


@pytest.fixture
async def socket(pod: Pod, room: tuple[Person, int]) -> AsyncIterator[Wire]:
    """A socket that must be alive after the test."""
    async with wire(pod.ws_url, room[0]) as opened:
        yield opened
        await opened.alive()


def send(channel: int, **fields: Any) -> dict[str, Any]:
    return {"t": "send", "ref": 1, "ch": channel, "content": "hi", **fields}


def nested(depth: int, begin: str = "[", end: str = "]") -> str:
    """A ping with so deep a value in a field that nobody reads."""
    return '{"t":"ping","ref":1,"x":' + begin * depth + "1" + end * depth + "}"


TEXTS = {
    "W50 empty": ("", "bad_json"),
    "W50 white space": ("   \n\t", "bad_json"),
    "W52 nul": ("nul", "bad_json"),
    "W52 an object without its end": ("{", "bad_json"),
    "W52 something behind the object": ("{}x", "bad_json"),
    "W52 two objects": ('{"t":"ping"}{"t":"ping"}', "bad_json"),
    "W52 a comma at the end of a list": ("[1,]", "bad_json"),
    "W52 a comma at the end of an object": ('{"t":"ping",}', "bad_json"),
    "W52 single quotes": ("{'t':1}", "bad_json"),
    "W52 names without quotes": ('{t:"ping"}', "bad_json"),
    "W52 a comment": ('{"t":"ping" /* c */}', "bad_json"),
    "W52 01": ('{"t":"ping","ref":01}', "bad_json"),
    "W52 +1": ('{"t":"ping","ref":+1}', "bad_json"),
    "W52 .5": ('{"t":"ping","ref":.5}', "bad_json"),
    "W52 1.": ('{"t":"ping","ref":1.}', "bad_json"),
    "W52 a control character in a string": ('{"t":"ping","ref":"\x01"}', "bad_json"),
    "W53 a list": ("[]", "bad_message"),
    "W53 a number": ("1", "bad_message"),
    "W53 a string": ('"x"', "bad_message"),
    "W53 null": ("null", "bad_message"),
    "W53 true": ("true", "bad_message"),
    "W54 a byte order mark": ('\ufeff{"t":"ping"}', "bad_json"),
    "W54 UTF-16 without a mark": ('{"t":"ping"}'.encode("utf-16-le").decode(), "bad_json"),
    "W55 20,000 lists without an end": ("[" * 20_000, "bad_json"),
    "W56 NaN": ('{"t":"ping","ref":NaN}', "bad_json"),
    "W56 Infinity": ('{"t":"ping","ref":Infinity}', "bad_json"),
    "W56 -Infinity": ('{"t":"ping","x":-Infinity}', "bad_json"),
    "W56 1e400": ('{"t":"ping","ref":1e400}', "bad_json"),
    "W57 two types": ('{"t":"ping","t":"send","ref":1}', "unknown_type"),
    "W58 no type": ("{}", "unknown_type"),
    "W58 no type among other fields": ('{"ch":1,"content":"x"}', "unknown_type"),
    "W58 an unknown type": ('{"t":"nope"}', "unknown_type"),
    "W58 a known type in capitals": ('{"t":"PING"}', "unknown_type"),
    "W58 null": ('{"t":null}', "unknown_type"),
    "W58 a number": ('{"t":5}', "unknown_type"),
    "W58 a list": ('{"t":["ping"]}', "unknown_type"),
    "W58 10 KB": ('{"t":"' + "x" * 10_000 + '"}', "unknown_type"),
    "W67 a lone surrogate": ('{"t":"send","ch":1,"content":"\\ud800"}', "bad_json"),
    "W67 a pair in reverse": ('{"t":"send","ch":1,"content":"\\udc00\\ud800"}', "bad_json"),
    "W67 a lone surrogate in a nonce": (
        '{"t":"send","ch":1,"content":"x","nonce":"\\udfff"}',
        "bad_json",
    ),
}
SERVERS_OWN = [
    "hello", "ok", "ack", "msg", "join", "leave", "chan", "presence", "reset", "added", "removed",
    "expiring", "error", "bye", "pong",
]  # fmt: skip
TEXTS |= {
    f"W76 {t}": (f'{{"t":"{t}","ref":1,"ch":1,"seq":1,"user":1}}', "unknown_type")
    for t in SERVERS_OWN
}


@pytest.mark.parametrize("name", TEXTS)
async def test_what_is_no_command_is_named(socket: Wire, name: str) -> None:
    """Not JSON, not an object, not a known type: three codes, told apart."""
    text, code = TEXTS[name]
    await socket.send(text)
    answer = await socket.recv()
    assert (answer["t"], answer["code"]) == ("error", code)
    assert answer["retry"] is False
    assert answer["message"]


UNUSUAL = {
    "W55 500 lists deep where nobody looks": nested(500),
    "W57 two refs": '{"t":"ping","ref":2,"ref":1}',
    "W59 further fields": '{"t":"ping","ref":1,"role":"owner","__proto__":{},"":null}',
    "W52 white space around": ' \r\n\t{ "t" : "ping" , "ref" : 1 } ',
    "W58 an escaped type": '{"\\u0074":"p\\u0069ng","ref":1}',
}


@pytest.mark.parametrize("name", UNUSUAL)
async def test_what_is_unusual_and_json_is_understood(socket: Wire, name: str) -> None:
    """Of a field that stands twice the last counts, of unknown ones none (RFC 8259 §4)."""
    await socket.send(UNUSUAL[name])
    assert await socket.recv() == {"t": "pong", "ref": 1}


@pytest.mark.parametrize(
    "text", [nested(1_100), nested(20_000), nested(10_000, '{"x":', "}")], ids=len
)
async def test_what_is_very_deep_is_refused_or_passed_over(socket: Wire, text: str) -> None:
    """W55: how deep is too deep is Python's limit: 1,000 in 3.11, ten times that in 3.12 and 3.13,
    in 3.14 what fits onto the stack. There is an answer in any case, and the next one comes too."""
    await socket.send(text)
    answer = await socket.recv()
    assert answer == {"t": "pong", "ref": 1} or (answer["t"], answer["code"]) == (
        "error",
        "bad_json",
    )
    await socket.send('{"t":"ping","ref":2}')
    assert await socket.recv() == {"t": "pong", "ref": 2}


def named(row: str, field: str, values: list[Any], code: str = "bad_field") -> dict[str, Any]:
    """A case for each value of a field."""
    return {
        f"{row} {field} {orjson.dumps(value).decode()[:24]}": ({field: value}, code, field)
        for value in values
    }


FIELDS = {
    **named("W60", "ch", [None, "", 0, -1, 1.0, 1e3, True, "1", [1], {}, BIG, 2**63, 2**64 - 1]),
    **named("W62", "nonce", ["", 5, True, [], {}, "a\0b", "\x7fmine"]),
    **named("W62", "nonce", ["n" * 65, "😀" * 65], "too_long"),
    **named("W64", "content", [None, "", "  \n\t ", "\u3000\u2003", 5, {}, [], True]),
    **named("W65", "content", ["x" * 4001, "😀" * 4001], "too_long"),
    **named("W66", "content", ["a\0b", "\0"]),
    **named("ref", "ref", [1.5, True, [], {}, BIG]),
    **named("ref", "ref", ["r" * 65], "too_long"),
}


@pytest.mark.parametrize("name", FIELDS)
async def test_a_bad_field_is_named(socket: Wire, room: tuple[Person, int], name: str) -> None:
    """Type, range and length of each field; with the `ref` where it could be read."""
    fields, code, field = FIELDS[name]
    await socket.send(send(room[1], **fields))
    answer = await socket.recv()
    assert (answer["t"], answer["code"], answer["field"]) == ("error", code, field)
    assert answer["retry"] is False
    if field != "ref":
        assert answer["ref"] == 1


@pytest.mark.parametrize("digits", [2**64, 10**400], ids=["W60 ch 2^64", "W60 ch 10^400"])
async def test_an_id_beyond_any_integer_is_no_id(socket: Wire, digits: int) -> None:
    """Not rounded to one."""
    await socket.send(f'{{"t":"send","ref":1,"content":"x","ch":{digits}}}')
    assert (await socket.recv())["code"] in ("bad_field", "bad_json")


MISSING = {"W60 no ch": "ch", "W64 no content": "content"}


@pytest.mark.parametrize("name", MISSING)
async def test_a_missing_field_is_named(socket: Wire, room: tuple[Person, int], name: str) -> None:
    """What is required and not there."""
    frame = send(room[1])
    del frame[MISSING[name]]
    answer = await socket.ask(frame)
    assert (answer["code"], answer["field"]) == ("bad_field", MISSING[name])


BAD_SUBS: list[Any] = [
    None, [], "x", {"x": 1}, {"1": -1}, {"1": 1.5}, {"1": "5"}, {"1": 2**63}, {"1": BIG}, {"0": 1},
    {"-1": 1}, {"01": 1}, {" 1": 1}, {"1_0": 1}, {"١": 1}, {"1e3": 1}, {str(BIG): 1}, {"1": True},
    {"1": []},
]  # fmt: skip
BAD_UNSUBS: list[Any] = [None, {}, "1", 1, ["1"], [0], [-1], [1.5], [True], [BIG], [None]]


@pytest.mark.parametrize("ch", BAD_SUBS, ids=[f"W71 {orjson.dumps(c).decode()}" for c in BAD_SUBS])
async def test_a_bad_sub_is_named(socket: Wire, ch: Any) -> None:
    """Channel ids are digits, cursors are seqs or null."""
    answer = await socket.ask({"t": "sub", "ref": 1, "ch": ch})
    assert (answer["code"], answer["field"]) == ("bad_field", "ch")


@pytest.mark.parametrize("ch", BAD_UNSUBS, ids=[f"W72 {c}" for c in BAD_UNSUBS])
async def test_a_bad_unsub_is_named(socket: Wire, ch: Any) -> None:
    """A list of ids."""
    answer = await socket.ask({"t": "unsub", "ref": 1, "ch": ch})
    assert (answer["code"], answer["field"]) == ("bad_field", "ch")


async def test_w72_more_subscriptions_than_allowed(socket: Wire) -> None:
    """1001 in one frame."""
    ch = {str(i): None for i in range(1, 1002)}
    answer = await socket.ask({"t": "sub", "ref": 1, "ch": ch})
    assert (answer["code"], answer["field"]) == ("too_long", "ch")


FIRST = {
    "W78 send": orjson.dumps(send(1)).decode(),
    "W78 sub": '{"t":"sub","ch":{"1":0}}',
    "W78 unsub": '{"t":"unsub","ch":[1]}',
}


@pytest.mark.parametrize("name", FIRST)
async def test_a_command_before_signing_in_closes(pod: Pod, name: str) -> None:
    """4001, and what was asked for is not done."""
    async with wire(pod.ws_url) as opened:
        await opened.send(FIRST[name])
        code, frames = await opened.closed()
    assert (code, [f["code"] for f in frames]) == (4001, ["unauthorized"])


async def test_w51_a_binary_frame_before_signing_in_closes(pod: Pod) -> None:
    """With one code or another; the reason comes first."""
    async with raw(pod.port) as client:
        await client.upgrade()
        await client.send(bytes([0x80 | BINARY, 0x82]) + bytes(4) + b"{}")
        await client.until(b'"error"')
        await client.until(b"\x88")
        assert client.close_code() in (1003, 4001)


async def test_one_socket_does_not_wait_for_anothers_bad_frames(
    pod: Pod, room: tuple[Person, int]
) -> None:
    """While one sends nonsense, the other's message is acked."""
    async with wire(pod.ws_url, room[0]) as bad, wire(pod.ws_url, room[0]) as good:
        for _ in range(90):
            await bad.send(orjson.dumps({"t": "send", "ch": "x"}).decode())
        assert (await good.ask(send(room[1])))["t"] == "ack"
