"""Well-formed messages with something in mind: text, nonces, ids and frames that try their luck.

What is text is stored and comes back as it was, what is another's stays another's, and a message
that is sent again is the same one. The names begin with the row of the list of bad inputs.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from tests.people import People, Person
from tests.pods import Pod, Pods
from tests.sockets import Wire, wire

pytestmark = pytest.mark.usefixtures("calm")

NOWHERE = 2**53 - 1


async def channel_of(http: httpx2.AsyncClient, owner: Person, kind: str = "public") -> int:
    body = {"name": "room", "type": kind}
    answer = await http.post("/channels", json=body, headers=owner.headers)
    return int(answer.json()["id"])


@pytest.fixture(scope="module")
async def ann(people: People) -> Person:
    return await people.new("ann")


@pytest.fixture(scope="module")
async def rooms(http: httpx2.AsyncClient, ann: Person) -> list[int]:
    """Made before there is a socket, which would be told of them."""
    return [await channel_of(http, ann) for _ in range(4)]


@pytest.fixture(scope="module")
def room(rooms: list[int]) -> int:
    return rooms[0]


@pytest.fixture
async def socket(pod: Pod, ann: Person, rooms: list[int]) -> AsyncIterator[Wire]:
    """Ann's; it must be alive after the test."""
    async with wire(pod.ws_url, ann) as opened:
        yield opened
        await opened.alive()


def send(channel: int, **fields: Any) -> dict[str, Any]:
    return {"t": "send", "ref": 1, "ch": channel, "content": "hi", **fields}


# --- channels of others


async def test_w61_missing_foreign_and_deleted_channels_answer_alike(
    socket: Wire, people: People, http: httpx2.AsyncClient
) -> None:
    """`not_found`, whatever is asked of them."""
    bob = await people.new("bob")
    foreign = await channel_of(http, bob, "private")
    deleted = await channel_of(http, bob, "private")
    await http.delete(f"/channels/{deleted}", headers=bob.headers)
    asked: list[dict[str, Any]] = [
        {"t": "send", "content": "x"},
        {"t": "edit", "of": 1, "content": "x"},
        {"t": "del", "of": 1},
        {"t": "react", "of": 1, "emoji": "👍", "on": True},
    ]
    for what in asked:
        answers = [
            await socket.ask({"ref": 1, "ch": channel, **what})
            for channel in (foreign, deleted, NOWHERE)
        ]
        assert answers[0]["code"] == "not_found"
        assert answers[0] == answers[1] == answers[2]
    ch = {str(channel): 0 for channel in (foreign, deleted, NOWHERE)}
    heads = (await socket.ask({"t": "sub", "ref": 1, "ch": ch}))["ch"]
    assert heads == {channel: {"error": "not_found"} for channel in ch}


# --- nonces


NONCES = {
    "W62 one character": "x",
    "W62 as long as may be": "n" * 64,
    "W62 as many emoji as may be": "😀" * 64,
    "W62 SQL": "'; DELETE FROM messages; --",
    "W62 COPY": "\\.\n\\N\t\\x00",
    "W62 a JSON text": '{"t":"ping"}',
    "W62 right to left": "\u202enonce",
    "W62 NFD": "e\u0301",
}


@pytest.mark.parametrize("name", NONCES)
async def test_a_nonce_is_taken_exactly(
    socket: Wire, ann: Person, room: int, http: httpx2.AsyncClient, name: str
) -> None:
    """It comes back as it was sent, and only itself is the same again."""
    nonce = NONCES[name]
    ack = await socket.ask(send(room, nonce=nonce))
    assert ack["t"] == "ack"
    path = f"/channels/{room}/messages/{ack['seq']}"
    assert (await http.get(path, headers=ann.headers)).json()["nonce"] == nonce
    assert await socket.ask(send(room, nonce=nonce)) == {**ack, "dup": True}


async def test_w62_nonces_that_look_alike_differ(socket: Wire, room: int) -> None:
    """Neither case nor Unicode's forms make two of them one."""
    alike = ["case", "CASE", "case ", "\u00e9", "e\u0301", "ﬁ", "fi"]
    acks = [await socket.ask(send(room, nonce=nonce)) for nonce in alike]
    assert len({ack["seq"] for ack in acks}) == len(alike)


async def test_w63_a_nonce_is_its_authors_in_its_channel(
    pod: Pod, socket: Wire, rooms: list[int], people: People, http: httpx2.AsyncClient
) -> None:
    """Same content: the same entry. Other content: a conflict. Elsewhere it means nothing."""
    bob, room, other = await people.new("bob"), rooms[0], rooms[1]
    await http.post(f"/channels/{room}/join", headers=bob.headers)
    mine = send(room, nonce="w63")
    first = await socket.ask(mine)
    assert await socket.ask(mine) == {**first, "dup": True}
    assert (await socket.ask({**mine, "content": "ho"}))["code"] == "nonce_conflict"
    elsewhere = await socket.ask({**mine, "ch": other})
    assert (elsewhere["t"], elsewhere["seq"]) == ("ack", 1)
    assert "dup" not in elsewhere
    async with wire(pod.ws_url, bob) as his:
        ack = await his.ask({**mine, "content": "bob's"})
        assert ack["t"] == "ack"
        assert ack["seq"] > first["seq"]


async def test_s71_a_replayed_conversation_stores_nothing_anew(
    pod: Pod, ann: Person, http: httpx2.AsyncClient
) -> None:
    """All frames of a socket sent again, on another one and in disorder: the same acks."""
    room = await channel_of(http, ann)
    frames = [send(room, ref=n, content=f"m{n}", nonce=f"n{n}") for n in range(20)]
    async with wire(pod.ws_url, ann) as socket:
        first = [await socket.ask(frame) for frame in frames]
    async with wire(pod.ws_url, ann) as socket:
        again = [await socket.ask(frame) for frame in reversed(frames)]
    assert [{**ack, "dup": True} for ack in first] == again[::-1]
    page = await http.get(f"/channels/{room}/messages", headers=ann.headers)
    assert [item["seq"] for item in page.json()["items"]] == list(range(1, 21))


# --- text

CONTENTS = {
    "W65 as long as may be": "x" * 4000,
    "W65 as many emoji as may be": "😀" * 4000,
    "W68 noncharacters": "\ufffe\uffff\U0010ffff",
    "W68 right to left, zero width": "\u202eright to left\u202c \u200b\u200d",
    "W68 a thousand accents": "e" + "\u0301" * 1000,
    "W68 joined emoji": "👩‍👩‍👧‍👦🏳️‍🌈",
    "W69 COPY": "\\.\n\\N\t\\x00 \\\\ ' \" `",
    "W70 CR, LF, escapes": 'a\r\nb\x01\x1b[31m\x7f","level":"error"\nERROR forged',
    "W70 SQL": "'; DROP TABLE messages; --",
    "W70 HTML and templates": "<script>alert(1)</script>&amp;{{7*7}}${7*7}%s%n",
    "W70 a frame": '{"t":"msg","ch":1,"seq":1}',
    "outer blanks": "  outer blanks stay  ",
    "blanks that are text": "\u00a0\u00a0x",
}


@pytest.mark.parametrize("name", CONTENTS)
async def test_any_text_comes_back_as_it_was(
    pod: Pod, socket: Wire, ann: Person, room: int, http: httpx2.AsyncClient, name: str
) -> None:
    """Stored and returned exactly as sent, on the socket and in history; no log has it."""
    content = CONTENTS[name]
    await socket.ask({"t": "sub", "ref": 1, "ch": {str(room): None}})
    ack = await socket.ask(send(room, content=content))
    assert (await socket.recv())["content"] == content
    path = f"/channels/{room}/messages/{ack['seq']}"
    assert (await http.get(path, headers=ann.headers)).json()["content"] == content
    assert "forged" not in pod.log()


async def test_w75_what_only_the_server_says_is_not_taken_from_a_client(
    socket: Wire, ann: Person, room: int, http: httpx2.AsyncClient
) -> None:
    """Neither who, nor when, nor which number."""
    forged = {
        "seq": 10**6, "user": 1, "userId": 1, "sender": 1, "ts": 0, "timestamp": "1970-01-01",
        "id": "1:1", "role": "owner", "deleted": True, "kind": 9, "by": 1, "of": 1,
    }  # fmt: skip
    ack = await socket.ask(send(room, **forged))
    assert ack["seq"] < 10**6
    assert ack["ts"] > 10**12
    path = f"/channels/{room}/messages/{ack['seq']}"
    stored = (await http.get(path, headers=ann.headers)).json()
    assert (stored["userId"], stored["content"]) == (ann.id, "hi")
    assert "deletedAt" not in stored


# --- subscriptions


async def test_w71_a_cursor_ahead_of_the_head_is_reset(socket: Wire, rooms: list[int]) -> None:
    """The largest seq there may be."""
    room = rooms[2]
    await socket.ask({"t": "sub", "ref": 1, "ch": {str(room): NOWHERE}})
    reset = await socket.recv()
    assert (reset["t"], reset["ch"], reset["head"]) == ("reset", room, 0)


async def test_w72_sub_and_unsub_may_be_repeated(socket: Wire, rooms: list[int]) -> None:
    """Twice subscribed is once delivered; unsub of nothing is fine."""
    room = rooms[3]
    for _ in range(2):
        assert (await socket.ask({"t": "sub", "ref": 1, "ch": {str(room): None}}))["t"] == "ok"
    await socket.ask(send(room))
    assert (await socket.recv())["t"] == "msg"
    await socket.silence()
    for _ in range(2):
        ok = await socket.ask({"t": "unsub", "ref": 2, "ch": [room, room, NOWHERE]})
        assert ok == {"t": "ok", "ref": 2}


async def test_w73_a_thousand_changes_of_mind_under_a_stream(
    pods: Pods, pod: Pod, ann: Person, http: httpx2.AsyncClient
) -> None:
    """Each subscription's deliveries are dense, and after the last one nothing is missing."""
    room = await channel_of(http, ann)
    free = await pods.start(pod.database_url, sends_per_second=0, commands_per_second=0)
    async with wire(free.ws_url, ann) as fickle, wire(free.ws_url, ann) as sender:
        for number in range(1000):
            await fickle.send({"t": "sub", "ref": number, "ch": {str(room): None}})
            await fickle.send({"t": "unsub", "ref": number, "ch": [room]})
            if number % 4 == 0:
                await sender.send(send(room, content=str(number)))
            if number % 50 == 0:
                await asyncio.sleep(0)
        await fickle.send({"t": "sub", "ref": "last", "ch": {str(room): None}})
        before = await fickle.until(t="ok", ref="last")
        await sender.until(seq=250)
        runs: list[list[int]] = [[]]
        for frame in before:
            if frame["t"] == "ok":
                runs.append([])
            else:
                runs[-1].append(frame["seq"])
        assert all(run == list(range(run[0], run[0] + len(run))) for run in runs if run)
        head = before[-1]["ch"][str(room)]["head"]
        await sender.ask(send(room, content="end"))
        seen = [frame["seq"] for frame in await fickle.until(content="end")]
        assert seen == list(range(head + 1, 252))
    free.kill()


# --- whose socket it is


@pytest.mark.parametrize("row", ["W79 second auth as another", "W80 another's token"])
async def test_a_socket_stays_its_users(
    pod: Pod, socket: Wire, ann: Person, room: int, people: People, http: httpx2.AsyncClient,
    row: str,
) -> None:  # fmt: skip
    """`forbidden`; what it sends is still the first one's."""
    bob = await people.new("bob")
    await http.post(f"/channels/{room}/join", headers=bob.headers)
    refused = await socket.ask({"t": "auth", "ref": 1, "token": bob.token})
    assert (refused["t"], refused["code"]) == ("error", "forbidden")
    await socket.ask({"t": "sub", "ref": 2, "ch": {str(room): None}})
    await socket.ask(send(room, content=row))
    assert (await socket.recv())["user"] == ann.id
