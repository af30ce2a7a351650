"""The workflow of a user, over real sockets through real processes: on one pod and across two."""

import asyncio
from typing import Any

import httpx2
import pytest

from tests.people import People
from tests.pods import Pod, Pods
from tests.sockets import Wire, wire


async def sign_up(pod: Pod, name: str) -> tuple[httpx2.AsyncClient, dict[str, Any]]:
    """Register, log in, and return a client that is signed in."""
    http = httpx2.AsyncClient(base_url=pod.url, timeout=20)
    account = {"email": f"{name}-{pod.pid}@example.org", "password": "correct horse battery"}
    registered = await http.post("/auth/register", json={**account, "name": name})
    assert registered.status_code in (201, 409), registered.text
    session = (await http.post("/auth/login", json=account)).json()
    http.headers["Authorization"] = f"Bearer {session['accessToken']}"
    return http, session


async def signed_in(socket: Wire, session: dict[str, Any]) -> None:
    await socket.send({"t": "auth", "ref": 0, "token": session["accessToken"]})
    assert (await socket.recv())["t"] == "hello"


@pytest.mark.parametrize("layout", ["one pod", "two pods"])
async def test_login_join_send(layout: str, pod: Pod, two_pods: tuple[Pod, Pod]) -> None:
    """Login → join channel → send message: acked, delivered to the other, read back as history."""
    first, second = (pod, pod) if layout == "one pod" else two_pods
    ann, ann_session = await sign_up(first, "ann")
    bob, bob_session = await sign_up(second, "bob")
    channel = (await ann.post("/channels", json={"name": "general", "type": "public"})).json()
    async with wire(first.ws_url) as a, wire(second.ws_url) as b:
        await signed_in(a, ann_session)
        await signed_in(b, bob_session)
        key = str(channel["id"])
        ok = await a.ask({"t": "sub", "ref": 1, "ch": {key: None}})
        assert ok["ch"] == {key: {"head": 0}}

        joined = await bob.post(f"/channels/{key}/join")
        assert (joined.status_code, joined.json()["role"]) == (200, "member")
        assert (await b.recv())["t"] == "added"
        assert (await a.recv())["t"] == "join"
        ok = await b.ask({"t": "sub", "ref": 1, "ch": {key: 0}})
        assert ok["ch"] == {key: {"head": 1}}
        assert (await b.recv())["t"] == "join"

        send = {"t": "send", "ref": 2, "ch": channel["id"], "content": "hello, bob", "nonce": "1"}
        ack = await a.ask(send)
        assert (ack["t"], ack["seq"]) == ("ack", 2)
        expected = {
            "t": "msg", "ch": channel["id"], "seq": 2, "user": ann_session["user"]["id"],
            "content": "hello, bob", "ts": ack["ts"],
        }  # fmt: skip
        assert await a.recv() == expected
        assert await b.recv() == expected

    page = (await bob.get(f"/channels/{key}/messages")).json()
    assert [(m["seq"], m["content"]) for m in page["items"]] == [(2, "hello, bob")]
    assert (await bob.get(f"/channels/{key}")).json()["unread"] == 1
    for http in (ann, bob):
        await http.aclose()


async def test_order_is_one_on_all_pods(two_pods: tuple[Pod, Pod]) -> None:
    """Two senders on two pods, four readers: everybody sees the same dense run."""
    async with People(two_pods[0].database_url) as people:
        ann, bob = await people.new("ann"), await people.new("bob")
        async with httpx2.AsyncClient(base_url=two_pods[0].url, timeout=20) as http:
            body = {"name": "busy", "type": "public", "members": [bob.id]}
            channel = (await http.post("/channels", json=body, headers=ann.headers)).json()["id"]
        runs: list[list[tuple[int, str]]] = []

        async def read(pod: Pod) -> None:
            async with wire(pod.ws_url, ann) as socket:
                await socket.ask({"t": "sub", "ref": 1, "ch": {str(channel): 0}})
                frames = await socket.until(seq=60)
                runs.append([(f["seq"], f["content"]) for f in frames])

        async def talk(pod: Pod, who: Any) -> None:
            async with wire(pod.ws_url, who) as socket:
                for i in range(30):
                    content = f"{who.name} {i}"
                    ack = await socket.ask(
                        {"t": "send", "ref": i, "ch": channel, "content": content}
                    )
                    assert ack["t"] == "ack", ack

        async with asyncio.TaskGroup() as group:
            for pod in (*two_pods, *two_pods):
                group.create_task(read(pod))
            group.create_task(talk(two_pods[0], ann))
            group.create_task(talk(two_pods[1], bob))
    assert [seq for seq, _ in runs[0]] == list(range(1, 61))
    assert all(run == runs[0] for run in runs)
    for who in ("ann", "bob"):
        said = [content for _, content in runs[0] if content.startswith(who)]
        assert said == [f"{who} {i}" for i in range(30)]


async def test_the_same_nonce_on_two_pods_is_one_message(two_pods: tuple[Pod, Pod]) -> None:
    """Sent at once on both, a hundred times: one row each, all acks with the same seq."""
    one, two = two_pods
    async with People(one.database_url) as people:
        ann = await people.new("ann")
        async with httpx2.AsyncClient(base_url=one.url, timeout=20) as http:
            body = {"name": "race", "type": "public"}
            channel = (await http.post("/channels", json=body, headers=ann.headers)).json()["id"]
            async with wire(one.ws_url, ann) as a, wire(two.ws_url, ann) as b:
                for i in range(40):
                    frame = {"t": "send", "ref": i, "ch": channel, "content": "x", "nonce": f"{i}"}
                    await a.send(frame)
                    await b.send(frame)
                pairs = [(await a.recv(), await b.recv()) for _ in range(40)]
            page = await http.get(f"/channels/{channel}/messages?limit=200", headers=ann.headers)
    for one_ack, two_ack in pairs:
        assert one_ack["seq"] == two_ack["seq"]
        assert [one_ack.get("dup"), two_ack.get("dup")].count(True) == 1
    assert [m["nonce"] for m in page.json()["items"]] == [f"{i}" for i in range(40)]


async def test_sigterm_sends_everybody_away_in_good_order(pods: Pods, pod: Pod) -> None:
    """`bye` with a time, close 4201, accepted writes answered, exit status 0 in time."""
    leaving = await pods.start(pod.database_url)
    async with People(pod.database_url) as people:
        ann = await people.new("ann")
        async with httpx2.AsyncClient(base_url=leaving.url, timeout=20) as http:
            body = {"name": "last words", "type": "public"}
            channel = (await http.post("/channels", json=body, headers=ann.headers)).json()["id"]
        async with wire(leaving.ws_url, ann) as socket:
            for i in range(20):
                await socket.send({"t": "send", "ref": i, "ch": channel, "content": "x"})
            await socket.recv()
            leaving.process.terminate()
            code, frames = await socket.closed()
    assert code == 4201
    assert [f["t"] for f in frames] == ["ack"] * 19 + ["bye"]
    assert frames[-1]["code"] == 4201
    assert 0 <= frames[-1]["in"] <= 5000
    assert await leaving.ended() == 0
