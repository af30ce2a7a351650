"""Reactions: commands of the WebSocket, entries of the log, and how a message has them in REST."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.contract.rest import JSON, Caller, answer, is_message, no_content
from tests.pods import Pod
from tests.sockets import Wire, wire

pytestmark = pytest.mark.usefixtures("calm")


@pytest.fixture
async def message(ann: Caller, bob: Caller) -> JSON:
    """Ann's, in a channel of hers and bob's."""
    return await ann.says(await ann.makes("private", bob), "hello")


@pytest.fixture
async def socket(pod: Pod, ann: Caller) -> AsyncIterator[Wire]:
    """Ann's; it must be alive after the test."""
    assert ann.person is not None
    async with wire(pod.ws_url, ann.person) as opened:
        yield opened
        assert (await ask(opened, {"t": "ping", "ref": "alive?"}))["t"] == "pong"


def react(message: JSON, emoji: object = "👍", **fields: Any) -> JSON:
    of = {"ch": message["channelId"], "of": message["seq"]}
    return {"t": "react", "ref": 7, **of, "emoji": emoji, "on": True, **fields}


async def ask(socket: Wire, frame: JSON) -> JSON:
    """The answer; hints that one was made a member may come before it."""
    await socket.send(frame)
    return (await socket.until(ref=frame["ref"]))[-1]


async def reacted(socket: Wire) -> JSON:
    return (await socket.until(t="react"))[-1]


async def of(reader: Caller, message: JSON) -> object:
    """What a reader sees of a message's reactions, alone and in a page."""
    path = f"/channels/{message['channelId']}/messages"
    one = answer(await reader.get(f"{path}/{message['seq']}"))
    is_message(one)
    page = answer(await reader.get(path))["items"]
    assert [m for m in page if m["seq"] == message["seq"]] == [one]
    return one.get("reactions")


async def test_a_reaction_is_acked_then_delivered_and_read_again(
    pod: Pod, ann: Caller, bob: Caller, message: JSON
):
    """The ack, then the entry; everybody gets the same, live and from the log."""
    assert ann.person is not None
    assert bob.person is not None
    channel = message["channelId"]
    async with wire(pod.ws_url, ann.person) as mine, wire(pod.ws_url, bob.person) as other:
        for socket in (mine, other):
            await ask(socket, {"t": "sub", "ref": 1, "ch": {str(channel): None}})
        live = []
        for number, on in enumerate((True, False)):
            ack = await ask(mine, react(message, on=on))
            seq = message["seq"] + 1 + number
            assert ack == {"t": "ack", "ref": 7, "ch": channel, "seq": seq, "ts": ack["ts"]}
            entry = {
                "t": "react", "ch": channel, "seq": seq, "of": message["seq"], "user": ann.id,
                "emoji": "👍", "on": on, "ts": ack["ts"],
            }  # fmt: skip
            live.append(entry)
            assert [await reacted(mine), await reacted(other)] == [entry, entry]
    async with wire(pod.ws_url, bob.person) as later:
        await ask(later, {"t": "sub", "ref": 1, "ch": {str(channel): message["seq"]}})
        assert [await reacted(later), await reacted(later)] == live


async def test_a_message_has_its_reactions(
    pod: Pod, socket: Wire, ann: Caller, bob: Caller, message: JSON
):
    """In the order in which they came; one that is taken back is gone; none: no such field."""
    assert bob.person is not None
    assert await of(bob, message) is None
    async with wire(pod.ws_url, bob.person) as his:
        for emoji, on in (("🎉", True), ("👍", True), ("👍", True), ("🙂", False)):
            assert (await ask(his, react(message, emoji, on=on)))["t"] == "ack"
        assert (await ask(socket, react(message)))["t"] == "ack"
        assert await of(ann, message) == [
            {"emoji": "🎉", "count": 1, "users": [bob.id]},
            {"emoji": "👍", "count": 2, "users": [bob.id, ann.id]},
        ]
        for emoji in ("🎉", "👍"):
            await ask(his, react(message, emoji, on=False))
    assert await of(bob, message) == [{"emoji": "👍", "count": 1, "users": [ann.id]}]


async def test_a_repeated_send_is_answered_with_its_reactions(socket: Wire, ann: Caller):
    channel = await ann.makes()
    path, body = f"/channels/{channel['id']}/messages", {"content": "hello", "nonce": "n"}
    message = answer(await ann.post(path, body), 201)
    await ask(socket, react(message))
    told = [{"emoji": "👍", "count": 1, "users": [ann.id]}]
    assert answer(await ann.post(path, body))["reactions"] == told


async def test_a_retry_is_told_from_a_conflict(socket: Wire, ann: Caller, message: JSON):
    """`dup` for the same; another emoji, another message or its end: `nonce_conflict`."""
    mine = react(message, nonce="r-1")
    first = await ask(socket, mine)
    assert await ask(socket, mine) == {**first, "dup": True}
    for other in ({"emoji": "🎉"}, {"of": message["seq"] + 1}, {"on": False}):
        assert (await ask(socket, {**mine, **other}))["code"] == "nonce_conflict"
    await ask(socket, react(message, on=False))
    assert await ask(socket, mine) == {**first, "dup": True}
    assert await of(ann, message) is None


async def test_who_may_send_may_react(
    pod: Pod, ann: Caller, bob: Caller, eve: Caller, message: JSON
):
    """Members; to others it is `not_found`, or `forbidden` where they see the channel."""
    assert bob.person is not None
    assert eve.person is not None
    public = await ann.says(await ann.makes("public", bob), "hello")
    async with wire(pod.ws_url, bob.person) as his, wire(pod.ws_url, eve.person) as hers:
        for on in (True, False):
            for one, code in ((message, "not_found"), (public, "forbidden")):
                assert (await ask(his, react(one, on=on)))["t"] == "ack"
                assert (await ask(hers, react(one, on=on)))["code"] == code
        no_content(await bob.post(f"/channels/{public['channelId']}/leave"))
        await his.until(t="removed")
        assert (await ask(his, react(public)))["code"] == "forbidden"


async def test_only_a_message_that_stands_is_reacted_to(socket: Wire, ann: Caller, message: JSON):
    """Not an entry of another kind, not one that is missing or deleted, which loses its own."""
    entry = (await ask(socket, react(message)))["seq"]
    for seq in (entry, 0, entry + 1):
        wanted = "bad_field" if seq == 0 else "not_found"
        assert (await ask(socket, react(message, of=seq)))["code"] == wanted
    no_content(await ann.delete(f"/channels/{message['channelId']}/messages/{message['seq']}"))
    for on in (True, False):
        assert (await ask(socket, react(message, on=on)))["code"] == "not_found"
    assert await of(ann, message) is None


NONE: list[object] = ["", " ", "a", "👍👍", "<b>", "\0", "\u202e👍", "👍\u2028", 1, None, ["👍"]]


@pytest.mark.parametrize("emoji", NONE, ids=ascii)
async def test_what_is_no_emoji_is_refused(socket: Wire, message: JSON, emoji: object):
    refused = await ask(socket, react(message, emoji))
    assert (refused["code"], refused["field"], refused["retry"]) == ("bad_field", "emoji", False)


async def test_an_emoji_comes_back_as_it_was_sent(socket: Wire, ann: Caller, message: JSON):
    """Pictures that look alike are different ones: nothing is normalised."""
    for emoji in ("❤", "❤️", "👩🏽‍🔬", "1️⃣", "🇩🇪"):
        assert (await ask(socket, react(message, emoji)))["t"] == "ack"
    told = await of(ann, message)
    assert isinstance(told, list)
    assert [reaction["emoji"] for reaction in told] == ["❤", "❤️", "👩🏽‍🔬", "1️⃣", "🇩🇪"]


async def test_a_message_has_twenty_different_reactions_at_most(socket: Wire, message: JSON):
    """One more of a kind that is there is none too many; nor is one for another that is gone."""
    emojis = [chr(0x1F600 + number) for number in range(21)]
    for emoji in emojis[:20]:
        assert (await ask(socket, react(message, emoji)))["t"] == "ack"
    refused = await ask(socket, react(message, emojis[20]))
    assert (refused["code"], refused["field"], refused["retry"]) == ("too_long", "emoji", False)
    assert (await ask(socket, react(message, emojis[0])))["t"] == "ack"
    assert (await ask(socket, react(message, emojis[0], on=False)))["t"] == "ack"
    assert (await ask(socket, react(message, emojis[20])))["t"] == "ack"


@pytest.mark.parametrize("on", [None, 1, "true"])
async def test_on_is_true_or_false(socket: Wire, message: JSON, on: object):
    assert (await ask(socket, react(message, on=on)))["code"] == "bad_field"


async def test_reactions_are_limited_as_other_writes_are(pod: Pod, bob: Caller, message: JSON):
    """By the rate of the connection."""
    assert bob.person is not None
    async with wire(pod.ws_url, bob.person) as socket:
        for number in range(80):
            await socket.send(react(message, ref=number))
        answers: list[JSON] = []
        while len(answers) < 80:
            frame = await socket.recv()
            answers += [frame] if "ref" in frame else []
    assert {a.get("code") for a in answers} == {None, "rate_limited"}
