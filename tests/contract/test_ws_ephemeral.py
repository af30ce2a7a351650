"""`read`, `typing` and `presence` on one pod (contract §3): who is told what, and who is not."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.contract.place import Frame, Place, eventually, place_on, presence
from tests.pods import Pods

GRACE_S = 1
SETTINGS: dict[str, Any] = {
    "presence": 1,
    "presence_grace_s": GRACE_S,
    "presence_room_max": 4,
    "typing_room_max": 6,
    "typing_every_ms": 600_000,
    "ephemeral_tick_ms": 50,
    "read_flush_ms": 50,
}


@pytest.fixture(scope="module")
async def place(pods: Pods, module_database_url: str) -> AsyncIterator[Place]:
    async with place_on(await pods.start(module_database_url, **SETTINGS)) as made:
        yield made


@pytest.fixture(scope="module")
async def quiet(pods: Pods, module_database_url: str) -> AsyncIterator[Place]:
    """The same without presence."""
    pod = await pods.start(module_database_url, **{**SETTINGS, "presence": 0})
    async with place_on(pod) as made:
        yield made


# --- typing


async def test_the_others_who_follow_a_channel_hear_who_is_typing(quiet: Place) -> None:
    """Not one's own sockets, not who does not follow it; without an answer to who says so."""
    ann, bob, cid = await quiet.several(3)
    channel = await quiet.channel(ann, bob, cid)
    async with (
        quiet.socket(ann, channel) as a,
        quiet.socket(ann, channel) as again,
        quiet.socket(bob, channel) as b,
        quiet.socket(cid) as c,
    ):
        await a.send({"t": "typing", "ch": channel})
        assert await b.recv() == {"t": "typing", "ch": channel, "user": ann.id}
        for socket in (a, again, c):
            await socket.alive()
        await b.silence()


async def test_typing_again_at_once_is_not_told_again(quiet: Place) -> None:
    """At most once in `typing_every_ms` for a user and channel; another's is told."""
    ann, bob = await quiet.several(2)
    one, two = await quiet.channel(ann, bob), await quiet.channel(ann, bob)
    async with quiet.socket(ann) as a, quiet.socket(bob, one, two) as b:
        for _ in range(3):
            await a.send({"t": "typing", "ch": one})
        assert (await b.recv())["ch"] == one
        await a.send({"t": "typing", "ch": one})
        await a.send({"t": "typing", "ch": two})
        assert (await b.recv())["ch"] == two
        await a.alive()


async def test_typing_is_not_told_behind_the_message(quiet: Place) -> None:
    """Who has sent it is shown as typing no more, for the seconds that clients show it."""
    ann, bob, cid = await quiet.several(3)
    channel = await quiet.channel(ann, bob, cid)
    async with (
        quiet.socket(ann) as a,
        quiet.socket(bob, channel) as b,
        quiet.socket(cid) as c,
    ):
        await a.send({"t": "typing", "ch": channel})
        await a.ask({"t": "send", "ref": 1, "ch": channel, "content": "ok"})
        await b.until(t="msg")
        await c.send({"t": "typing", "ch": channel})
        assert await b.recv() == {"t": "typing", "ch": channel, "user": cid.id}


async def test_large_rooms_are_not_told_of_typing_and_marks(quiet: Place) -> None:
    """One subscriber more than `typing_room_max`; one's own sockets hear of one's marks there."""
    ann, bob = await quiet.several(2)
    channel = await quiet.channel(ann, bob)
    await quiet.message(ann, channel, "a")
    async with contextlib.AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(quiet.socket(bob, channel)) for _ in range(7)]
        a = await stack.enter_async_context(quiet.socket(ann))
        b, *others = sockets
        await a.send({"t": "typing", "ch": channel})
        await a.send({"t": "read", "ch": channel, "seq": 1})
        await a.alive()
        await b.send({"t": "read", "ch": channel, "seq": 1})
        for socket in others:
            told = {"t": "read", "ch": channel, "user": bob.id, "seq": 1}
            assert await socket.recv() == told
        await b.alive()


# --- read


async def test_a_mark_moves_what_is_read_and_unread(quiet: Place) -> None:
    """To the head at most, never back; REST has it when it is told."""
    ann, bob = await quiet.several(2)
    channel = await quiet.channel(ann, bob)
    await quiet.message(ann, channel, "a", "b", "c")
    assert await quiet.seen(bob, channel) == (0, 3)
    async with quiet.socket(bob) as b, quiet.socket(ann, channel) as a:
        for sent, told, unread in ((2, 2, 1), (2**53 - 1, 3, 0)):
            await b.send({"t": "read", "ch": channel, "seq": sent})
            assert await a.recv() == {"t": "read", "ch": channel, "user": bob.id, "seq": told}
            assert await quiet.seen(bob, channel) == (told, unread)
        corrected = {"t": "read", "ch": channel, "user": bob.id, "seq": 3}
        assert await b.recv() == corrected  # it had said another
        await b.send({"t": "read", "ch": channel, "seq": 1})  # late
        await b.send({"t": "read", "ch": channel, "seq": 0})
        await b.alive()
        await quiet.message(ann, channel, "d")
        await a.until(t="msg")
        await b.send({"t": "read", "ch": channel, "seq": 4})
        assert (await a.recv())["seq"] == 4
        assert await quiet.seen(bob, channel) == (4, 0)


async def test_ones_other_sockets_hear_of_ones_marks(quiet: Place) -> None:
    """Whatever they follow; not the one that said it, and nobody else."""
    ann, bob = await quiet.several(2)
    channel = await quiet.channel(ann, bob)
    await quiet.message(ann, channel, "a")
    async with (
        quiet.socket(bob) as phone,
        quiet.socket(bob) as laptop,
        quiet.socket(bob, channel) as tab,
        quiet.socket(ann) as a,
    ):
        await phone.send({"t": "read", "ch": channel, "seq": 1})
        for socket in (laptop, tab):
            told = {"t": "read", "ch": channel, "user": bob.id, "seq": 1}
            assert await socket.recv() == told
        for socket in (phone, laptop, tab, a):
            await socket.alive()


async def test_marks_that_come_together_are_one(quiet: Place) -> None:
    """The furthest counts, and it is told once."""
    ann, bob = await quiet.several(2)
    channel = await quiet.channel(ann, bob)
    await quiet.message(ann, channel, *"abcdefgh")
    async with quiet.socket(bob) as b, quiet.socket(ann, channel) as a:
        for seq in (1, 2, 8, 3, 5):
            await b.send({"t": "read", "ch": channel, "seq": seq})
        seqs = [(await a.recv())["seq"]]
        while seqs[-1] != 8:
            seqs.append((await a.recv())["seq"])
        assert seqs == sorted(set(seqs))
        assert len(seqs) <= 3
        await a.silence()


# --- who may


@pytest.mark.parametrize("kind", ["public", "private"])
@pytest.mark.parametrize(
    "frame", [{"t": "typing"}, {"t": "read", "seq": 1}], ids=["typing", "read"]
)
async def test_who_is_no_member_is_refused_and_nobody_hears(
    quiet: Place, kind: str, frame: Frame
) -> None:
    """`forbidden` where the channel may be seen, `not_found` where not, as for one that is none."""
    ann, eve = await quiet.several(2)
    channel = await quiet.channel(ann, kind=kind)
    async with quiet.socket(eve) as e, quiet.socket(ann, channel) as a:
        error = await e.ask({**frame, "ref": 1, "ch": channel})
        assert error["code"] == ("forbidden" if kind == "public" else "not_found")
        missing = await e.ask({**frame, "ref": 2, "ch": 987_654_321})
        assert missing["code"] == "not_found"
        await a.silence()


NO_NUMBERS: list[Any] = [-1, 2**53, 1.5, 1e300, "17", None, [], [1], {}, True]
HOSTILE: list[Frame] = [
    {"t": "typing"},
    *[{"t": "typing", "ch": ch} for ch in [0, *NO_NUMBERS]],
    {"t": "read", "ch": 1},
    {"t": "read", "seq": 1},
    *[{"t": "read", "ch": 1, "seq": seq} for seq in NO_NUMBERS],
]


@pytest.mark.parametrize("frame", HOSTILE, ids=str)
async def test_fields_that_are_none_are_refused(quiet: Place, frame: Frame) -> None:
    """As in every command; the socket stays."""
    (ann,) = await quiet.several(1)
    async with quiet.socket(ann) as a:
        error = await a.ask({**frame, "ref": 1})
        assert (error["code"], error["retry"]) == ("bad_field", False)
        assert error["field"] in ("ch", "seq")
        await a.alive()


async def test_what_others_say_of_themselves_is_not_believed(quiet: Place) -> None:
    """Whose mark and who is typing is the connection's to say, and nobody else's."""
    ann, bob, cid = await quiet.several(3)
    channel = await quiet.channel(ann, bob, cid)
    await quiet.message(ann, channel, "a")
    async with quiet.socket(bob) as b, quiet.socket(cid, channel) as c:
        await b.send({"t": "typing", "ch": channel, "user": ann.id})
        assert (await c.recv())["user"] == bob.id
        await b.send({"t": "read", "ch": channel, "seq": 1, "user": ann.id})
        assert (await c.recv())["user"] == bob.id
        assert await quiet.seen(ann, channel) == (0, 0)


async def test_who_was_removed_says_and_hears_no_more(quiet: Place) -> None:
    """Though subscribed before."""
    ann, bob, cid = await quiet.several(3)
    channel = await quiet.channel(ann, bob, cid, kind="private")
    async with quiet.socket(bob, channel) as b, quiet.socket(cid, channel) as c:
        path = f"/channels/{channel}/members/{bob.id}"
        assert (await quiet.http.delete(path, headers=ann.headers)).status_code == 204
        await b.until(t="removed")
        assert (await b.ask({"t": "typing", "ref": 1, "ch": channel}))["code"] == "not_found"
        await c.until(t="leave")
        await c.send({"t": "typing", "ch": channel})
        await c.send({"t": "read", "ch": channel, "seq": 1})
        await eventually(lambda: quiet.has_read(cid, channel, 1))
        await b.alive()  # nothing of it came before the pong
        await c.alive()


# --- presence


async def test_who_shares_a_channel_hears_who_comes_and_goes(place: Place) -> None:
    """Once, whatever the number of sockets and channels; a newcomer hears who is there."""
    ann, bob = await place.several(2)
    one, two = await place.channel(ann, bob), await place.channel(ann, bob)
    async with place.socket(ann, one, two) as a:
        async with place.socket(bob, one, two) as b, place.socket(bob, one):
            assert await a.recv() == presence(bob, "online")
            assert await b.recv() == presence(ann, "online")
            await a.silence()
            await b.silence()
        assert await a.recv() == presence(bob, "offline")
        await a.silence()


async def test_who_reloads_does_not_flicker(place: Place) -> None:
    """Back within the grace: nobody hears of it; he hears who is there."""
    ann, bob = await place.several(2)
    channel = await place.channel(ann, bob)
    async with place.socket(ann, channel) as a:
        async with place.socket(bob, channel):
            assert await a.recv() == presence(bob, "online")
        async with place.socket(bob, channel) as b:
            assert await b.recv() == presence(ann, "online")
            await a.silence(GRACE_S * 1.5)


async def test_presence_is_of_the_user_and_not_of_a_subscription(place: Place) -> None:
    """Who unsubscribes is online still; the room hears when that ends."""
    ann, bob = await place.several(2)
    channel = await place.channel(ann, bob)
    async with place.socket(ann, channel) as a:
        async with place.socket(bob, channel) as b:
            assert await a.recv() == presence(bob, "online")
            await b.send({"t": "unsub", "ref": 3, "ch": [channel]})
            await b.until(t="ok")
            await a.silence(GRACE_S * 1.5)
        assert await a.recv() == presence(bob, "offline")


async def test_nobody_hears_of_whom_he_shares_nothing_with(place: Place) -> None:
    """Neither in a channel that only the other follows, nor after the other was removed."""
    ann, bob, eve = await place.several(3)
    shared = await place.channel(ann, bob, kind="private")
    async with place.socket(ann, shared) as a, place.socket(eve) as e:
        async with place.socket(bob, shared) as b:
            assert await a.recv() == presence(bob, "online")
            assert await b.recv() == presence(ann, "online")
            path = f"/channels/{shared}/members/{bob.id}"
            assert (await place.http.delete(path, headers=ann.headers)).status_code == 204
            await b.until(t="removed")
            assert (await a.recv())["t"] == "leave"
        await a.silence(GRACE_S * 1.5)  # that he is offline now is not said here
        await e.alive()


async def test_large_rooms_take_no_part(place: Place) -> None:
    """Who comes beyond `presence_room_max` is not told of, and is told nothing; who was told of
    before is told of when he goes."""
    *first, late = await place.several(5)
    channel = await place.channel(first[0], *first[1:], late)
    async with contextlib.AsyncExitStack() as stack:
        a = await stack.enter_async_context(place.socket(first[0], channel))
        early = contextlib.AsyncExitStack()
        for person in first[1:]:
            await early.enter_async_context(place.socket(person, channel))
        heard = [await a.recv() for _ in first[1:]]
        assert {(f["user"], f["status"]) for f in heard} == {(p.id, "online") for p in first[1:]}
        newcomer = await stack.enter_async_context(place.socket(late, channel))
        await newcomer.silence()
        await a.silence()
        await early.aclose()
        heard = [await a.recv() for _ in first[1:]]
        assert {(f["user"], f["status"]) for f in heard} == {(p.id, "offline") for p in first[1:]}


async def test_presence_can_be_switched_off(quiet: Place) -> None:
    """Then nobody is told of anybody."""
    ann, bob = await quiet.several(2)
    channel = await quiet.channel(ann, bob)
    async with quiet.socket(ann, channel) as a, quiet.socket(bob, channel) as b:
        await a.silence()
        await b.silence()
