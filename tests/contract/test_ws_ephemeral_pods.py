"""`read`, `typing` and `presence` over pods: they are of users and channels, wherever served."""

import secrets
from collections.abc import AsyncIterator, Iterator
from typing import Any, NamedTuple

import pytest

from rtchat.server.valkey import PrivateValkey
from tests.contract.place import Place, place_on, presence
from tests.pods import Pod, Pods
from tests.services import Given

GRACE_S = 2
SETTINGS: dict[str, Any] = {
    "presence": 1,
    "presence_grace_s": GRACE_S,
    "presence_beat_s": 1,
    "ephemeral_tick_ms": 50,
    "read_flush_ms": 50,
    "drain_s": 0,
}


class Two(NamedTuple):
    """Two pods; `place` has its REST on the first."""

    place: Place
    one: Pod
    other: Pod


@pytest.fixture(scope="module")
def settings(valkey: PrivateValkey | Given) -> dict[str, Any]:
    prefix = f"ephemeral-{secrets.token_hex(4)}"
    return {**SETTINGS, "redis_urls": valkey.url, "bus_prefix": prefix}


@pytest.fixture(scope="module")
async def two(pods: Pods, module_database_url: str, settings: dict[str, Any]) -> AsyncIterator[Two]:
    one, other = (pods.spawn(module_database_url, **settings) for _ in range(2))
    await one.listening()
    await other.listening()
    async with place_on(one) as place:
        yield Two(place, one, other)


async def test_typing_and_marks_are_told_on_every_pod(two: Two) -> None:
    """To who follows the channel there, and of marks to the user's own sockets there."""
    ann, bob = await two.place.several(2)
    channel = await two.place.channel(ann, bob)
    await two.place.message(ann, channel, "a")
    socket = two.place.socket
    async with (
        socket(ann, channel) as a,
        socket(bob, pod=two.other) as b,
        socket(bob) as again,
    ):
        await b.send({"t": "typing", "ch": channel})
        await a.until(t="typing", ch=channel, user=bob.id)
        await b.send({"t": "read", "ch": channel, "seq": 1})
        told = {"t": "read", "ch": channel, "user": bob.id, "seq": 1}
        assert (await a.until(t="read"))[-1] == told
        assert await again.recv() == told
        assert await two.place.seen(bob, channel) == (1, 0)
        await b.alive()


async def test_presence_is_told_on_every_pod(two: Two) -> None:
    """Who is there when one comes, who comes, and who goes."""
    ann, bob = await two.place.several(2)
    channel = await two.place.channel(ann, bob)
    async with two.place.socket(ann, channel) as a:
        async with two.place.socket(bob, channel, pod=two.other) as b:
            assert await a.recv() == presence(bob, "online")
            assert await b.recv() == presence(ann, "online")
        assert await a.recv() == presence(bob, "offline")


async def test_who_moves_to_another_pod_does_not_flicker(two: Two) -> None:
    """As after a pod's stop."""
    ann, bob = await two.place.several(2)
    channel = await two.place.channel(ann, bob)
    async with two.place.socket(ann, channel) as a:
        async with two.place.socket(bob, channel, pod=two.other):
            assert await a.recv() == presence(bob, "online")
        async with two.place.socket(bob, channel):
            await a.silence(GRACE_S * 1.5)
        assert await a.recv() == presence(bob, "offline")


async def test_a_socket_that_follows_nothing_keeps_its_user_online(two: Two) -> None:
    """The pod that has it takes over the rooms of which the other had told."""
    ann, bob = await two.place.several(2)
    channel = await two.place.channel(ann, bob)
    async with two.place.socket(ann, channel) as a:
        async with two.place.socket(bob):
            async with two.place.socket(bob, channel, pod=two.other):
                assert await a.recv() == presence(bob, "online")
            await a.silence(GRACE_S * 1.5)
        assert await a.recv() == presence(bob, "offline")


async def test_nobody_hears_of_a_member_who_was_removed(two: Two) -> None:
    """Not from a pod that has no room of that channel either."""
    ann, bob = await two.place.several(2)
    channel = await two.place.channel(ann, bob, kind="private")
    async with two.place.socket(ann, channel) as a:
        async with two.place.socket(bob, channel, pod=two.other) as b:
            assert await a.recv() == presence(bob, "online")
            path = f"/channels/{channel}/members/{bob.id}"
            gone = await two.place.http.delete(path, headers=ann.headers)
            assert gone.status_code == 204
            await b.until(t="removed")
            assert (await a.recv())["t"] == "leave"
        await a.silence(GRACE_S * 1.5)


async def test_the_users_of_a_pod_that_died_go_unless_they_are_elsewhere(
    two: Two, pods: Pods, settings: dict[str, Any]
) -> None:
    """After three beats without a word; one who is on another pod by then stays."""
    third = await pods.start(two.one.database_url, **settings)
    ann, bob, cid = await two.place.several(3)
    channel = await two.place.channel(ann, bob, cid)
    socket = two.place.socket
    async with (
        socket(ann, channel) as a,
        socket(bob, channel, pod=third),
        socket(cid, channel, pod=third),
        socket(cid, pod=two.other),
    ):
        heard = [await a.recv(), await a.recv()]
        assert {f["user"] for f in heard} == {bob.id, cid.id}
        third.kill()
        assert await a.recv() == presence(bob, "offline")
        await a.silence()


async def test_the_users_of_a_pod_that_stops_have_their_grace(
    two: Two, pods: Pods, settings: dict[str, Any]
) -> None:
    """They are gone after it, and stay where they came back."""
    third = await pods.start(two.one.database_url, **settings)
    ann, bob, cid = await two.place.several(3)
    channel = await two.place.channel(ann, bob, cid)
    async with two.place.socket(ann, channel) as a:
        async with (
            two.place.socket(bob, channel, pod=third) as b,
            two.place.socket(cid, channel, pod=third),
        ):
            heard = [await a.recv(), await a.recv()]
            assert {f["user"] for f in heard} == {bob.id, cid.id}
            third.signal(15)
            assert (await b.closed())[0] == 4201
        async with two.place.socket(cid, channel, pod=two.other):
            assert await a.recv() == presence(bob, "offline")
            await a.silence()


@pytest.fixture(scope="module")
def lone_valkey() -> Iterator[PrivateValkey]:
    with PrivateValkey() as server:
        yield server


async def test_without_redis_a_pod_serves_its_own(
    database_url: str, pods: Pods, lone_valkey: PrivateValkey
) -> None:
    """What is ephemeral goes on among the sockets of one pod; marks are stored."""
    pod = await pods.start(database_url, **SETTINGS, redis_urls=lone_valkey.url)
    async with place_on(pod) as place:
        ann, bob = await place.several(2)
        channel = await place.channel(ann, bob)
        await place.message(ann, channel, "a")
        lone_valkey.stop()
        async with place.socket(ann, channel) as a:
            async with place.socket(bob, channel) as b:
                assert await a.recv() == presence(bob, "online")
                await b.send({"t": "typing", "ch": channel})
                assert (await a.recv())["t"] == "typing"
                await b.send({"t": "read", "ch": channel, "seq": 1})
                assert (await a.recv())["t"] == "read"
                assert await place.seen(bob, channel) == (1, 0)
            assert await a.recv() == presence(bob, "offline")
