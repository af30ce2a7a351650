"""A retry finds its first copy: at once, after a cut, on another pod, over the other interface.

Rows F31, F32, F33 and guarantee G2 of the fault matrix. One user, one channel and one nonce are one
entry for ever; only the first content counts.
"""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from rtchat.model import Kind
from rtchat.server.valkey import PrivateValkey
from tests.faults.proxy import FaultProxy
from tests.faults.scene import Scene, answers, message, scene
from tests.people import Person
from tests.pods import Pods
from tests.raw import TEXT, frame, raw
from tests.services import Given
from tests.sockets import Wire, wire

NONCES = 300


@pytest.fixture(scope="module")
async def two(
    pods: Pods, module_database_url: str, valkey: PrivateValkey | Given
) -> AsyncIterator[Scene]:
    """Two pods."""
    async with scene(pods, module_database_url, 2, redis_urls=valkey.url) as made:
        yield made


async def stored(made: Scene, channel: int) -> dict[str, tuple[int, str]]:
    """Seq and content by nonce; each nonce is there once, and no seq is left out."""
    rows = [r for r in await made.log(channel) if r["kind"] == Kind.MESSAGE]
    found = {r["nonce"]: (r["seq"], r["content"]) for r in rows}
    assert len(found) == len(rows), "a nonce is stored twice"
    return found


async def send_all(one: Wire, channel: int, contents: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Send these contents by nonce, and return the answers by nonce."""
    for nonce, content in contents.items():
        await one.send(message(nonce, channel, content, nonce))
    return await answers(one, set(contents))


async def test_one_nonce_at_once_on_two_pods(two: Scene) -> None:
    """G2, F32: two pods, two sockets each, 300 nonces: one row each, one seq, three of four dup."""
    ann = await two.people.new()
    channel = await two.channel(ann)
    contents = {f"n{number}": f"said {number}" for number in range(NONCES)}
    async with contextlib.AsyncExitStack() as stack:
        four = [
            await stack.enter_async_context(wire(pod.ws_url, ann)) for pod in two.pods for _ in "ab"
        ]
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(send_all(one, channel, contents)) for one in four]
    got = [task.result() for task in asked]
    found = await stored(two, channel)
    assert {nonce: content for nonce, (_, content) in found.items()} == contents
    for nonce in contents:
        acks = [one[nonce] for one in got]
        assert {a["t"] for a in acks} == {"ack"}
        assert {a["seq"] for a in acks} == {found[nonce][0]}
        assert len({a["ts"] for a in acks}) == 1
        assert sorted(a.get("dup", False) for a in acks) == [False, True, True, True]
    assert sorted(seq for seq, _ in found.values()) == list(range(1, NONCES + 1))


async def test_other_content_is_a_conflict(two: Scene) -> None:
    """G2: with a known nonce, other content is `nonce_conflict` on each pod; the row stays."""
    ann = await two.people.new()
    channel = await two.channel(ann)
    async with wire(two.pod.ws_url, ann) as one, wire(two.pods[1].ws_url, ann) as other:
        first = await one.ask(message(1, channel, "first", "n"))
        for socket in (one, other):
            refused = await socket.ask(message(2, channel, "second", "n"))
            assert (refused["code"], refused["retry"]) == ("nonce_conflict", False)
            again = await socket.ask(message(3, channel, "first", "n"))
            assert (again["seq"], again["ts"], again["dup"]) == (first["seq"], first["ts"], True)
            edit = {"t": "edit", "ref": 4, "ch": channel, "of": 1, "content": "first", "nonce": "n"}
            assert (await socket.ask(edit))["code"] == "nonce_conflict"
    path = f"/channels/{channel}/messages"
    over_rest = await two.call(ann, "POST", path, {"content": "third", "nonce": "n"})
    assert (over_rest.status_code, over_rest.json()["code"]) == (409, "nonce_conflict")
    assert await stored(two, channel) == {"n": (1, "first")}


async def test_two_contents_race_for_a_nonce(two: Scene) -> None:
    """G2, F32: one of them is stored, the other one is told of the conflict; never both."""
    ann = await two.people.new()
    channel = await two.channel(ann)
    nonces = [f"n{number}" for number in range(50)]
    async with (
        wire(two.pod.ws_url, ann) as one,
        wire(two.pods[1].ws_url, ann) as other,
        asyncio.TaskGroup() as group,
    ):
        asked = [
            group.create_task(send_all(socket, channel, dict.fromkeys(nonces, content)))
            for socket, content in ((one, "here"), (other, "there"))
        ]
    here, there = (task.result() for task in asked)
    found = await stored(two, channel)
    for nonce in nonces:
        won, lost = (here, there) if found[nonce][1] == "here" else (there, here)
        assert (won[nonce]["t"], won[nonce]["seq"]) == ("ack", found[nonce][0])
        assert lost[nonce]["code"] == "nonce_conflict"


async def test_a_removed_author_still_learns_what_became_of_it(two: Scene) -> None:
    """G2, F33: the known nonce is acked after the removal, an unknown one is `forbidden`."""
    ann, bob = await two.people.new("ann"), await two.people.new("bob")
    channel = await two.channel(ann, bob)
    async with wire(two.pod.ws_url, bob) as one:
        first = await one.ask(message(1, channel, "hello", "n"))
    gone = await two.call(ann, "DELETE", f"/channels/{channel}/members/{bob.id}")
    assert gone.status_code == 204
    for pod in two.pods:
        async with wire(pod.ws_url, bob) as one:
            again = await one.ask(message(2, channel, "hello", "n"))
            assert (again["seq"], again["ts"], again["dup"]) == (first["seq"], first["ts"], True)
            assert (await one.ask(message(3, channel, "hello", "m")))["code"] == "forbidden"
        over_rest = await two.call(
            bob, "POST", f"/channels/{channel}/messages", {"content": "hello", "nonce": "n"}, pod
        )
        assert (over_rest.status_code, over_rest.json()["seq"]) == (200, first["seq"])


async def test_the_other_interface_knows_the_nonce(two: Scene) -> None:
    """G2, F31: sent over WebSocket and again over REST, and the reverse, on either pod."""
    ann = await two.people.new()
    channel = await two.channel(ann)
    path = f"/channels/{channel}/messages"
    for number, (here, there) in enumerate(itertools.product(two.pods, repeat=2)):
        async with wire(here.ws_url, ann) as one:
            ack = await one.ask(message(1, channel, "ws", f"ws {number}"))
        again = await two.call(ann, "POST", path, {"content": "ws", "nonce": f"ws {number}"}, there)
        assert (again.status_code, again.json()["seq"]) == (200, ack["seq"])
        first = await two.call(
            ann, "POST", path, {"content": "rest", "nonce": f"rest {number}"}, here
        )
        assert first.status_code == 201
        async with wire(there.ws_url, ann) as one:
            ack = await one.ask(message(1, channel, "rest", f"rest {number}"))
        assert (ack["seq"], ack["dup"]) == (first.json()["seq"], True)
    assert len(await stored(two, channel)) == 8


async def until_cut(proxy: FaultProxy, person: Person, frames: list[dict[str, Any]]) -> set[str]:
    """Send through the proxy and read until it cuts; returns the refs that were acked."""
    port = int(proxy.url.rpartition(":")[2])
    async with raw(port) as one:
        await one.upgrade(person)
        for each in frames:
            await one.send(frame(TEXT, orjson.dumps(each)))
        got = await one.rest()
    return {each["ref"] for each in frames if f'"ref":"{each["ref"]}"'.encode() in got}


@pytest.mark.parametrize("every", [1, 3, 7])
async def test_whoever_missed_an_ack_gets_it_from_the_other_pod(two: Scene, every: int) -> None:
    """G2, F31: the link is cut before each k-th ack; the retry elsewhere tells the same seq."""
    ann = await two.people.new()
    channel = await two.channel(ann)
    waiting = {f"{every}.{n}": message(f"{every}.{n}", channel, "x", f"{n}") for n in range(21)}
    acked: dict[str, int] = {}
    cuts = 0
    async with contextlib.AsyncExitStack() as stack:
        proxies = [FaultProxy(pod.url) for pod in two.pods]
        for proxy in proxies:
            await proxy.start()
            stack.push_async_callback(proxy.close)
        while waiting:
            proxy, other = proxies[cuts % 2], two.pods[1 - cuts % 2]
            some = list(waiting.values())[:every]
            proxy.drop_reply_to(f'"nonce":"{some[-1]["nonce"]}"'.encode())
            known = await until_cut(proxy, ann, some)
            assert some[-1]["ref"] not in known
            cuts += 1
            async with wire(other.ws_url, ann) as one:
                for each in some:
                    ack = await one.ask(each)
                    assert ack["t"] == "ack"
                    acked[ack["ref"]] = ack["seq"]
                    del waiting[ack["ref"]]
    assert cuts == 21 // every
    found = await stored(two, channel)
    assert sorted(seq for seq, _ in found.values()) == list(range(1, 22))
    assert {f"{every}.{nonce}": seq for nonce, (seq, _) in found.items()} == acked
