"""Messages: sending them once and for all, reading one, and what may be in them."""

import asyncio
from typing import Any

import pytest

from tests.contract.rest import (
    JSON,
    Caller,
    answer,
    exchange,
    is_message,
    no_content,
    problem,
    request,
)
from tests.pods import Pod

pytestmark = pytest.mark.usefixtures("calm")

MISSING = 999_999_999
SMILE = "\N{GRINNING FACE}"


@pytest.fixture(scope="module")
async def channel(ann: Caller, bob: Caller) -> JSON:
    """A channel of ann and bob."""
    return await ann.makes("private", bob)


def messages_of(channel: JSON) -> str:
    return f"/channels/{channel['id']}/messages"


# --- sending


async def test_a_sent_message_is_answered_as_it_is_stored(ann: Caller, bob: Caller):
    """201 and the Message, the next of its channel; others read the same."""
    channel = await ann.makes("private", bob)
    message = answer(await ann.post(messages_of(channel), {"content": "hi"}), 201)
    is_message(message)
    assert set(message) == {"id", "channelId", "seq", "userId", "content", "timestamp"}
    expected = {"channelId": channel["id"], "seq": 1, "userId": ann.id, "content": "hi"}
    assert message | expected == message
    for reader in (ann, bob):
        assert answer(await reader.get(f"{messages_of(channel)}/1")) == message
    assert (await bob.sees(channel))["lastSeq"] == 1


async def test_messages_are_numbered_without_holes(ann: Caller, bob: Caller):
    """40 at once by two: 1 to 40, each once."""
    channel = await ann.makes("private", bob)
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(caller.says(channel, f"{number}"))
            for number in range(20)
            for caller in (ann, bob)
        ]
    assert sorted(task.result()["seq"] for task in tasks) == list(range(1, 41))
    items = (await ann.reads(channel, limit=200))["items"]
    assert items == sorted((task.result() for task in tasks), key=lambda m: m["seq"])


async def test_the_same_text_twice_is_two_messages(ann: Caller, channel: JSON):
    """Without a nonce nothing is taken for a retry."""
    first, second = await ann.says(channel, "again"), await ann.says(channel, "again")
    assert second["seq"] > first["seq"]


async def test_only_the_listed_fields_make_a_message(ann: Caller, bob: Caller, channel: JSON):
    """S-46, W75: who, when and which number are the server's to say."""
    forged = {
        "id": "1:1", "seq": 1, "channelId": 1, "userId": bob.id, "user": bob.id,
        "timestamp": "2000-01-01T00:00:00.000Z", "ts": 0, "editedAt": None, "kind": 9,
        "target": 1, "deletedAt": "2000-01-01T00:00:00.000Z",
    }  # fmt: skip
    message = answer(await ann.post(messages_of(channel), {"content": "hi", **forged}), 201)
    is_message(message)
    assert (message["userId"], message["channelId"]) == (ann.id, channel["id"])
    assert message["seq"] == (await ann.sees(channel))["lastSeq"]
    assert "deletedAt" not in message


# --- content

TEXTS = {
    "one character": "x",
    "4000 characters": "x" * 4000,
    "4000 emoji": SMILE * 4000,
    "outer blanks": "  hi \n",
    "line breaks": "a\nb\r\nc\u2028d",
    "controls": "".join(map(chr, range(1, 32))) + "\x7f\x80",
    "noncharacters": "\ufffe\uffff\U0010ffff",
    "replacement character": "\ufffd",
    "right to left": "\u202egnirts\u202c مرحبا",
    "zero width": "a\u200bb\u200cc\u200dd\ufeff",
    "combining": "e" + "\u0301" * 1000,
    "not composed": "Jose\u0301 José",
    "joined emoji": "👩\u200d👩\u200d👧\u200d👦",
    "COPY's own marks": "\\. \\N \\\\x00 \t \\t \\",
    "end of COPY": "\\.",
    "quotes": "\"'`$$ $1 %s {0}",
    "SQL": "'); DROP TABLE messages; --",
    "HTML": "<script>alert(1)</script>&amp;",
    "template": "{{7*7}} ${7*7} #{7*7}",
    "log injection": 'x\r\n{"level":"error","event":"forged"}',
    "JSON": '{"t":"send","ch":1}',
}


@pytest.mark.parametrize("name", TEXTS)
async def test_content_comes_back_exactly_as_sent(ann: Caller, channel: JSON, name: str):
    """W68 to W70: stored and returned byte for byte, in the answer, alone and in a page."""
    content = TEXTS[name]
    message = await ann.says(channel, content)
    assert message["content"] == content
    assert answer(await ann.get(f"{messages_of(channel)}/{message['seq']}")) == message
    assert (await ann.reads(channel, limit=1))["items"] == [message]


@pytest.mark.parametrize("escaped", ["\\u0041", "\\ud83d\\ude00", "\\u00e9", "\\/"])
async def test_escapes_are_only_a_way_of_writing(
    ann: Caller, channel: JSON, pod: Pod, escaped: str
):
    """The longest message, every character of it escaped, still fits a body."""
    body = ('{"content":"' + escaped * 4000 + '"}').encode()
    head = request(
        f"POST {messages_of(channel)} HTTP/1.1", "Content-Type: application/json",
        f"Content-Length: {len(body)}", token=ann.person.token,
    )  # fmt: skip
    reply = await exchange(pod, head + body)
    assert reply.status == 201
    assert len(reply.json["content"]) == 4000


async def test_no_message_text_is_in_the_log(ann: Caller, channel: JSON, pod: Pod):
    """S-63."""
    await ann.says(channel, "a-text-that-is-nowhere-else")
    assert "a-text-that-is-nowhere-else" not in pod.log()
    assert '"event":"forged"' not in pod.log()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("", "bad_field"),
        (" ", "bad_field"),
        ("\t\r\n \u2003\u2028", "bad_field"),
        ("a\0b", "bad_field"),
        ("\0", "bad_field"),
        ("x" * 4001, "too_long"),
        (SMILE * 4001, "too_long"),
        (" " * 4001, "too_long"),
        (None, "bad_field"),
        (1, "bad_field"),
        (True, "bad_field"),
        (["hi"], "bad_field"),
        ({"text": "hi"}, "bad_field"),
    ],
    ids=lambda value: ascii(value)[:30],
)
async def test_content_is_text_of_1_to_4000_characters(
    ann: Caller, channel: JSON, content: object, code: str
):
    """Not only white space, no NUL (W64 to W66)."""
    problem(await ann.post(messages_of(channel), {"content": content}), code, field="content")


async def test_content_must_be_there(ann: Caller, channel: JSON):
    problem(await ann.post(messages_of(channel), {}), "bad_field", field="content")
    problem(await ann.post(messages_of(channel), {"Content": "hi"}), "bad_field", field="content")


# --- nonces


async def test_a_nonce_makes_a_retry_harmless(ann: Caller, channel: JSON):
    """201, then 200 with the same message for ever."""
    body = {"content": "once", "nonce": "n-1"}
    first = answer(await ann.post(messages_of(channel), body), 201)
    is_message(first)
    assert first["nonce"] == "n-1"
    await ann.says(channel, "in between")
    head = (await ann.sees(channel))["lastSeq"]
    for _ in range(3):
        assert answer(await ann.post(messages_of(channel), body), 200) == first
    assert (await ann.sees(channel))["lastSeq"] == head


async def test_of_many_retries_at_once_one_is_stored(ann: Caller, channel: JSON):
    """20 at once with one nonce: one 201, the others 200, all the same message."""
    body = {"content": "at once", "nonce": "n-2"}
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(ann.post(messages_of(channel), body)) for _ in range(20)]
    responses = [task.result() for task in tasks]
    assert sorted(response.status_code for response in responses) == [200] * 19 + [201]
    assert len({response.json()["seq"] for response in responses}) == 1
    assert len({response.content for response in responses}) == 1


async def test_a_nonce_with_other_content_is_a_conflict(ann: Caller, channel: JSON):
    """409, and what was stored first stands."""
    first = await ann.says(channel, "first", nonce="n-3")
    for content in ("other", "first ", "FIRST"):
        body = {"content": content, "nonce": "n-3"}
        problem(await ann.post(messages_of(channel), body), "nonce_conflict", field="nonce")
    assert answer(await ann.get(f"{messages_of(channel)}/{first['seq']}")) == first


async def test_a_nonce_is_its_users_and_its_channels(ann: Caller, bob: Caller, channel: JSON):
    """Unique for its (channel, user): elsewhere and for others it is new."""
    other_channel = await ann.makes()
    first = await ann.says(channel, "mine", nonce="n-4")
    theirs = await bob.says(channel, "theirs", nonce="n-4")
    elsewhere = await ann.says(other_channel, "elsewhere", nonce="n-4")
    assert len({message["id"] for message in (first, theirs, elsewhere)}) == 3


async def test_a_nonce_is_shown_to_its_author_only(ann: Caller, bob: Caller, channel: JSON):
    """Others read the message without it."""
    message = await ann.says(channel, "hi", nonce="n-5")
    path = f"{messages_of(channel)}/{message['seq']}"
    assert answer(await ann.get(path))["nonce"] == "n-5"
    assert "nonce" not in answer(await bob.get(path))
    assert "nonce" not in (await bob.reads(channel, limit=1))["items"][0]
    assert (await ann.reads(channel, limit=1))["items"][0]["nonce"] == "n-5"


async def test_a_known_nonce_comes_before_every_other_check(ann: Caller, bob: Caller):
    """Promise 4: it is answered even when its author has been removed since."""
    channel = await ann.makes("private", bob)
    body = {"content": "hi", "nonce": "n-6"}
    first = answer(await bob.post(messages_of(channel), body), 201)
    no_content(await ann.delete(f"/channels/{channel['id']}/members/{bob.id}"))
    again = answer(await bob.post(messages_of(channel), body), 200)
    same = ("id", "seq", "userId", "content", "timestamp", "nonce")
    assert [again[key] for key in same] == [first[key] for key in same]
    problem(await bob.post(messages_of(channel), body | {"content": "x"}), "nonce_conflict")
    problem(await bob.post(messages_of(channel), body | {"nonce": "n-7"}), "not_found")


async def test_deleting_the_channel_ends_the_promise(ann: Caller):
    """Then a retry finds no channel."""
    channel = await ann.makes()
    body = {"content": "hi", "nonce": "n-8"}
    answer(await ann.post(messages_of(channel), body), 201)
    no_content(await ann.delete(f"/channels/{channel['id']}"))
    problem(await ann.post(messages_of(channel), body), "not_found")


@pytest.mark.parametrize(
    "nonce", ["x", "n" * 64, SMILE * 64, "' OR 1=1 --", "a b", "\\N", "\u202e", "null"], ids=ascii
)
async def test_a_nonce_is_any_text_of_1_to_64_characters(ann: Caller, channel: JSON, nonce: str):
    """W62: kept exactly, and known again."""
    first = await ann.says(channel, "hi", nonce=nonce)
    assert first["nonce"] == nonce
    body = {"content": "hi", "nonce": nonce}
    assert answer(await ann.post(messages_of(channel), body), 200) == first


NO_NONCES: list[Any] = ["", "n" * 65, "a\0", 1, True, [], {}]


@pytest.mark.parametrize("nonce", NO_NONCES, ids=lambda value: ascii(value)[:20])
async def test_a_bad_nonce_is_refused(ann: Caller, channel: JSON, nonce: object):
    """W62."""
    response = await ann.post(messages_of(channel), {"content": "hi", "nonce": nonce})
    problem(response, "bad_field", "too_long", field="nonce")


async def test_no_nonce_is_the_same_as_null(ann: Caller, channel: JSON):
    for _ in range(2):
        body = {"content": "hi", "nonce": None}
        assert "nonce" not in answer(await ann.post(messages_of(channel), body), 201)


# --- reading one


async def test_only_messages_have_a_place_among_messages(ann: Caller, bob: Caller):
    """404 for a seq that is missing, or that is an entry of another kind."""
    channel = await ann.makes("public")
    answer(await bob.post(f"/channels/{channel['id']}/join"))
    missing = [
        problem(await ann.get(f"{messages_of(channel)}/{seq}"), "not_found")
        for seq in (1, 2, MISSING, 2**53 - 1)
    ]
    assert all(body == missing[0] for body in missing)
