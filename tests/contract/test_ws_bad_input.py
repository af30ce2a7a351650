"""Bad frames: each gets the contract's error, the socket stays open, nothing else is disturbed."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import orjson
import pytest

from tests.people import People, Person
from tests.pods import Pod
from tests.sockets import Wire, wire

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
    """A socket that must be alive after the test, on a pod whose log shows no traceback."""
    before = len(pod.log())
    async with wire(pod.ws_url, room[0]) as opened:
        yield opened
        await opened.alive()
    assert "Traceback" not in pod.log()[before:]


def send(channel: int, **fields: Any) -> dict[str, Any]:
    return {"t": "send", "ref": 1, "ch": channel, "content": "hi", **fields}


TEXTS = {
    "": "bad_json",
    "   ": "bad_json",
    "nul": "bad_json",
    "{": "bad_json",
    "{}x": "bad_json",
    "[1,]": "bad_json",
    "{'t':1}": "bad_json",
    '{"t":"ping",}': "bad_json",
    '{"t":"ping" /* c */}': "bad_json",
    '{"t":"ping","ref":01}': "bad_json",
    '{"t":"ping","ref":+1}': "bad_json",
    '{"t":"ping","ref":.5}': "bad_json",
    '{"t":"ping","ref":1.}': "bad_json",
    '{"t":"ping","ref":NaN}': "bad_json",
    '{"t":"ping","ref":Infinity}': "bad_json",
    '\ufeff{"t":"ping"}': "bad_json",
    '{"t":"send","ch":1,"content":"\\ud800"}': "bad_json",
    '{"t":"send","ch":1,"content":"\\udc00\\ud800"}': "bad_json",
    '{"t":"ping","x":' + "[" * 20_000 + "]" * 20_000 + "}": "bad_json",
    "[]": "bad_message",
    "1": "bad_message",
    '"x"': "bad_message",
    "null": "bad_message",
    "true": "bad_message",
    "{}": "unknown_type",
    '{"t":"nope"}': "unknown_type",
    '{"t":null}': "unknown_type",
    '{"t":5}': "unknown_type",
    '{"t":["ping"]}': "unknown_type",
    '{"t":"' + "x" * 10_000 + '"}': "unknown_type",
    '{"t":"ack","ref":1}': "unknown_type",
    '{"t":"msg","ch":1,"seq":1}': "unknown_type",
    '{"t":"hello"}': "unknown_type",
}


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
async def test_what_is_no_command_is_named(socket: Wire, text: str) -> None:
    """Not JSON, not an object, not a known type: three codes, told apart."""
    await socket.send(text)
    answer = await socket.recv()
    assert (answer["t"], answer["code"]) == ("error", TEXTS[text])
    assert answer["retry"] is False
    assert answer["message"]


BAD_CHANNELS: list[Any] = [None, "", 0, -1, 1.0, 1e3, True, "1", [1], {}, BIG, 2**63, 2**64 - 1]
BAD_CONTENTS: list[Any] = [None, "", "  \n\t ", 5, {}, [], True, "a\0b"]
BAD_NONCES: list[Any] = ["", 5, True, [], {}, "a\0b", "\x7fmine"]
BAD_REFS: list[Any] = [1.5, True, [], {}, BIG]

FIELDS: list[tuple[dict[str, Any], str, str]] = [
    *[({"ch": ch}, "bad_field", "ch") for ch in BAD_CHANNELS],
    *[({"content": content}, "bad_field", "content") for content in BAD_CONTENTS],
    ({"content": "x" * 4001}, "too_long", "content"),
    ({"content": "😀" * 4001}, "too_long", "content"),
    *[({"nonce": nonce}, "bad_field", "nonce") for nonce in BAD_NONCES],
    ({"nonce": "n" * 65}, "too_long", "nonce"),
    *[({"ref": ref}, "bad_field", "ref") for ref in BAD_REFS],
    ({"ref": "r" * 65}, "too_long", "ref"),
]


@pytest.mark.parametrize(("fields", "code", "field"), FIELDS, ids=range(len(FIELDS)))
async def test_a_bad_field_is_named(
    socket: Wire, room: tuple[Person, int], fields: dict[str, Any], code: str, field: str
) -> None:
    """Type, range and length of each field; with the `ref` where it could be read."""
    await socket.send(send(room[1], **fields))
    answer = await socket.recv()
    assert (answer["t"], answer["code"], answer["field"]) == ("error", code, field)
    assert answer["retry"] is False
    if field != "ref":
        assert answer["ref"] == 1


@pytest.mark.parametrize("missing", ["ch", "content"])
async def test_a_missing_field_is_named(
    socket: Wire, room: tuple[Person, int], missing: str
) -> None:
    """What is required and not there."""
    frame = send(room[1])
    del frame[missing]
    answer = await socket.ask(frame)
    assert (answer["code"], answer["field"]) == ("bad_field", missing)


@pytest.mark.parametrize(
    "ch",
    [
        None, [], "x", {"x": 1}, {"1": -1}, {"1": 1.5}, {"1": "5"}, {"1": 2**63}, {"0": 1},
        {"-1": 1}, {"01": 1}, {" 1": 1}, {"1_0": 1}, {"١": 1}, {"1e3": 1}, {str(BIG): 1},
        {"1": True}, {"1": []},
    ],
    ids=range(18),
)  # fmt: skip
async def test_a_bad_sub_is_named(socket: Wire, ch: Any) -> None:
    """Channel ids are digits, cursors are seqs or null."""
    answer = await socket.ask({"t": "sub", "ref": 1, "ch": ch})
    assert (answer["code"], answer["field"]) == ("bad_field", "ch")


async def test_more_subscriptions_than_allowed(socket: Wire) -> None:
    """1001 in one frame."""
    ch = {str(i): None for i in range(1, 1002)}
    answer = await socket.ask({"t": "sub", "ref": 1, "ch": ch})
    assert (answer["code"], answer["field"]) == ("too_long", "ch")


async def test_missing_and_foreign_channels_answer_alike(
    socket: Wire, people: People, http: httpx2.AsyncClient
) -> None:
    """`not_found` for one that is private and for one that is not there."""
    bob = await people.new("bob")
    body = {"name": "private", "type": "private"}
    foreign = (await http.post("/channels", json=body, headers=bob.headers)).json()["id"]
    answers = [await socket.ask(send(channel)) for channel in (foreign, BIG - 1)]
    assert answers[0] == answers[1]
    assert answers[0]["code"] == "not_found"


@pytest.mark.parametrize(
    "content",
    [
        "x" * 4000,
        "😀" * 4000,
        "\ufffe\uffff\U0010ffff",
        "\u202eright to left\u202c \u200b\u200d",
        "e" + "\u0301" * 1000,
        "👩‍👩‍👧‍👦🏳️‍🌈",
        "\\.\n\\N\t\\x00 \\\\ ' \" `",
        "a\r\nb\x01\x1b[31m\x7f",
        "'; DROP TABLE messages; --",
        "<script>alert(1)</script>&amp;{{7*7}}${7*7}%s%n",
        "  outer blanks stay  ",
        "\u00a0\u00a0x",
    ],
    ids=range(12),
)
async def test_any_text_comes_back_as_it_was(
    socket: Wire, room: tuple[Person, int], http: httpx2.AsyncClient, content: str
) -> None:
    """Stored and returned exactly as sent, on the socket and in history."""
    ann, channel = room
    await socket.ask({"t": "sub", "ref": 1, "ch": {str(channel): None}})
    ack = await socket.ask(send(channel, content=content))
    assert (await socket.recv())["content"] == content
    path = f"/channels/{channel}/messages/{ack['seq']}"
    assert (await http.get(path, headers=ann.headers)).json()["content"] == content


async def test_double_keys_do_not_smuggle_a_type(socket: Wire, room: tuple[Person, int]) -> None:
    """Two types are none; of any other key the last one counts (RFC 8259 §4 leaves it open)."""
    await socket.send('{"t":"ping","t":"send","ref":1}')
    assert (await socket.recv())["code"] == "unknown_type"
    await socket.send('{"t":"ping","ref":1,"ref":2}')
    assert await socket.recv() == {"t": "pong", "ref": 2}


async def test_unknown_fields_are_ignored(socket: Wire, room: tuple[Person, int]) -> None:
    """Also those that a client may not set."""
    forged = {"seq": 10**6, "user": 1, "ts": 0, "id": "1:1", "role": "owner", "x": [{}, None]}
    ack = await socket.ask(send(room[1], **forged))
    assert ack["t"] == "ack"
    assert ack["seq"] < 10**6
    assert ack["ts"] > 0


async def test_bad_utf8_closes_with_1007(pod: Pod, room: tuple[Person, int]) -> None:
    """RFC 6455 §8.1; and the pod's next socket is fine."""
    async with wire(pod.ws_url, room[0]) as opened:
        opened.socket.transport.write(b"\x81\x83\0\0\0\0\xff\xfe\xfd")
        assert (await opened.closed())[0] == 1007
    async with wire(pod.ws_url, room[0]) as opened:
        await opened.alive()


async def test_a_reset_in_mid_frame_leaves_nothing_behind(
    pod: Pod, room: tuple[Person, int]
) -> None:
    """A hundred sockets that break off: all are gone from the pod, which is well."""
    for _ in range(100):
        with contextlib.suppress(Exception):
            async with wire(pod.ws_url, room[0]) as opened:
                opened.socket.transport.write(b"\x81\xfe")
                opened.socket.transport.abort()
    for _ in range(200):
        connected, gone = len(pod.events("connected")), len(pod.events("disconnected"))
        if connected == gone:
            break
        await asyncio.sleep(0.05)
    async with wire(pod.ws_url, room[0]) as opened:
        await opened.alive()
    assert len(pod.events("connected")) - len(pod.events("disconnected")) <= 1


async def test_one_socket_does_not_wait_for_anothers_bad_frames(
    pod: Pod, room: tuple[Person, int]
) -> None:
    """While one sends nonsense, the other's message is acked."""
    async with wire(pod.ws_url, room[0]) as bad, wire(pod.ws_url, room[0]) as good:
        for _ in range(90):
            await bad.send(orjson.dumps({"t": "send", "ch": "x"}).decode())
        assert (await good.ask(send(room[1])))["t"] == "ack"
