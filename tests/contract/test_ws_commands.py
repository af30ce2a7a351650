"""What a signed-in socket can do, and what it is answered (contract §3, §4)."""

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed

from tests.people import People, Person
from tests.pods import Pod
from tests.sockets import wire


async def new_channel(http: httpx2.AsyncClient, owner: Person, *members: Person) -> int:
    body = {"name": "room", "type": "public", "members": [m.id for m in members]}
    answer = await http.post("/channels", json=body, headers=owner.headers)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


@pytest.mark.parametrize("ref", [9, "nine", 0, -1, "", None])
async def test_ping_is_answered_with_its_ref(pod: Pod, people: People, ref: Any) -> None:
    """`ref` is an integer or a short string, echoed as it was."""
    async with wire(pod.ws_url, await people.new("ann")) as socket:
        assert await socket.ask({"t": "ping", "ref": ref}) == {"t": "pong", "ref": ref}


async def test_send_is_acked_then_delivered(
    pod: Pod, people: People, http: httpx2.AsyncClient
) -> None:
    """The ack comes before the `msg` on the sending socket; everybody gets the same frame."""
    ann, bob = await people.new("ann"), await people.new("bob")
    channel = await new_channel(http, ann, bob)
    async with wire(pod.ws_url, ann) as a, wire(pod.ws_url, bob) as b:
        for socket in (a, b):
            ok = await socket.ask({"t": "sub", "ref": 2, "ch": {str(channel): None}})
            assert ok == {"t": "ok", "ref": 2, "ch": {str(channel): {"head": 0}}}
        ack = await a.ask({"t": "send", "ref": 4, "ch": channel, "content": "hi", "nonce": "n"})
        ts = ack.pop("ts")
        assert ack == {"t": "ack", "ref": 4, "ch": channel, "seq": 1}
        message = {"t": "msg", "ch": channel, "seq": 1, "user": ann.id, "content": "hi", "ts": ts}
        assert await a.recv() == message
        assert await b.recv() == message


async def test_a_retry_is_told_from_a_conflict(
    pod: Pod, people: People, http: httpx2.AsyncClient
) -> None:
    """Same nonce, same content: `dup`, first seq and ts. Other content: `nonce_conflict`."""
    ann = await people.new("ann")
    channel = await new_channel(http, ann)
    send = {"t": "send", "ref": 1, "ch": channel, "content": "hi", "nonce": "n"}
    async with wire(pod.ws_url, ann) as socket:
        first = await socket.ask(send)
        assert await socket.ask(send) == {**first, "dup": True}
        conflict = await socket.ask({**send, "content": "ho"})
        assert (conflict["t"], conflict["code"]) == ("error", "nonce_conflict")
        assert conflict["retry"] is False


async def test_a_known_nonce_is_acked_after_the_removal_of_its_author(
    pod: Pod, people: People, http: httpx2.AsyncClient
) -> None:
    """The nonce comes before every other check (contract §1.4)."""
    ann, bob = await people.new("ann"), await people.new("bob")
    channel = await new_channel(http, ann, bob)
    send = {"t": "send", "ref": 1, "ch": channel, "content": "hi", "nonce": "n"}
    async with wire(pod.ws_url, bob) as socket:
        first = await socket.ask(send)
        gone = await http.delete(f"/channels/{channel}/members/{bob.id}", headers=ann.headers)
        assert gone.status_code == 204
        await socket.until(t="removed")
        assert await socket.ask(send) == {**first, "dup": True}
        refused = await socket.ask({**send, "nonce": "another"})
        assert refused["code"] == "forbidden"


async def test_sends_of_one_connection_are_numbered_in_order(
    pod: Pod, people: People, http: httpx2.AsyncClient
) -> None:
    """Forty sent without waiting (the burst): acked 1 … 40, in that order."""
    ann = await people.new("ann")
    channel = await new_channel(http, ann)
    async with wire(pod.ws_url, ann) as socket:
        for i in range(40):
            await socket.send({"t": "send", "ref": i, "ch": channel, "content": f"m{i}"})
        acks = [await socket.recv() for _ in range(40)]
    assert [(a["ref"], a["seq"]) for a in acks] == [(i, i + 1) for i in range(40)]


async def test_too_fast_is_told_when_to_go_on(
    pod: Pod, people: People, http: httpx2.AsyncClient
) -> None:
    """Beyond the rate: `rate_limited`, retry, and after how many ms; nothing of it is stored."""
    ann = await people.new("ann")
    channel = await new_channel(http, ann)
    async with wire(pod.ws_url, ann) as socket:
        for i in range(120):
            await socket.send({"t": "send", "ref": i, "ch": channel, "content": "x"})
        answers = [await socket.recv() for _ in range(120)]
        limited = [a for a in answers if a["t"] == "error"]
        assert {a["code"] for a in limited} == {"rate_limited"}
        assert all(a["retry"] and 0 < a["after"] <= 50 for a in limited)
        acked = [a for a in answers if a["t"] == "ack"]
        assert 40 <= len(acked) < 120
        await asyncio.sleep(limited[-1]["after"] / 1000)
        again = await socket.ask({"t": "send", "ref": 99, "ch": channel, "content": "x"})
        assert again["seq"] == len(acked) + 1


async def test_membership_shows_in_the_log(
    pod: Pod, people: People, http: httpx2.AsyncClient
) -> None:
    """join, leave and chan are entries, with who did it."""
    ann, bob = await people.new("ann"), await people.new("bob")
    channel = await new_channel(http, ann)
    async with wire(pod.ws_url, ann) as socket:
        await socket.ask({"t": "sub", "ref": 1, "ch": {str(channel): None}})
        path = f"/channels/{channel}"
        await http.post(f"{path}/join", headers=bob.headers)
        await http.post(f"{path}/join", headers=bob.headers)  # no change, no entry
        await http.patch(path, json={"name": "new name"}, headers=ann.headers)
        await http.post(f"{path}/leave", headers=bob.headers)
        await http.post(f"{path}/members", json={"userId": bob.id}, headers=ann.headers)
        frames = await socket.until(seq=4)
    for frame in frames:
        assert isinstance(frame.pop("ts"), int)
    base = {"ch": channel}
    assert frames == [
        {"t": "join", **base, "seq": 1, "user": bob.id, "by": bob.id},
        {"t": "chan", **base, "seq": 2, "user": ann.id, "name": "new name"},
        {"t": "leave", **base, "seq": 3, "user": bob.id, "by": bob.id},
        {"t": "join", **base, "seq": 4, "user": bob.id, "by": ann.id},
    ]


async def test_unsub_ends_the_flow(pod: Pod, people: People, http: httpx2.AsyncClient) -> None:
    """After its `ok` nothing of the channel follows; unsub of nothing is fine."""
    ann = await people.new("ann")
    channel = await new_channel(http, ann)
    async with wire(pod.ws_url, ann) as socket:
        await socket.ask({"t": "sub", "ref": 1, "ch": {str(channel): None}})
        ok = await socket.ask({"t": "unsub", "ref": 3, "ch": [channel, 987654]})
        assert ok == {"t": "ok", "ref": 3}
        ack = await socket.ask({"t": "send", "ref": 4, "ch": channel, "content": "x"})
        assert ack["t"] == "ack"
        await socket.silence()


async def test_sub_and_unsub_in_one_burst_end_as_they_were_sent(
    pod: Pod, people: People, http: httpx2.AsyncClient
) -> None:
    """A hundred changes of mind: the last one holds."""
    ann = await people.new("ann")
    channel = await new_channel(http, ann)
    async with wire(pod.ws_url, ann) as socket:
        for i in range(100):
            await socket.send({"t": "sub", "ref": i, "ch": {str(channel): None}})
            await socket.send({"t": "unsub", "ref": i, "ch": [channel]})
        await socket.send({"t": "sub", "ref": "last", "ch": {str(channel): 0}})
        await socket.until(ref="last")
        await http.post(f"/channels/{channel}/messages", json={"content": "x"}, headers=ann.headers)
        assert (await socket.recv())["seq"] == 1
        await socket.silence()


async def test_the_token_is_renewed_on_the_live_socket(pod: Pod, people: People) -> None:
    """`auth` again answers `ok` with the new expiry; another user's token is refused."""
    ann, bob = await people.new("ann"), await people.new("bob")
    async with wire(pod.ws_url, ann) as socket:
        ok = await socket.ask({"t": "auth", "ref": 1, "token": ann.token})
        assert set(ok) == {"t", "ref", "exp"}
        refused = await socket.ask({"t": "auth", "ref": 2, "token": bob.token})
        assert refused["code"] == "forbidden"
        refused = await socket.ask({"t": "auth", "ref": 3, "token": "nonsense"})
        assert refused["code"] == "unauthorized"
        await socket.alive()


async def test_null_is_good_under_any_epoch(
    pod: Pod, people: People, http: httpx2.AsyncClient
) -> None:
    """It says nothing of the past; a number under another epoch is reset."""
    ann = await people.new("ann")
    channel = await new_channel(http, ann)
    async with wire(pod.ws_url, ann) as socket:
        sub = {"t": "sub", "ref": 1, "ch": {str(channel): None}, "epoch": "another"}
        assert (await socket.ask(sub))["ch"] == {str(channel): {"head": 0}}
        ack = await socket.ask({"t": "send", "ref": 2, "ch": channel, "content": "hi"})
        assert (await socket.recv())["seq"] == ack["seq"] == 1
        await socket.ask({**sub, "ch": {str(channel): 0}})
        assert (await socket.recv())["t"] == "reset"


async def test_a_lone_surrogate_hides_its_ref(pod: Pod, people: People) -> None:
    """What is no JSON has no `ref`, however well it can be seen."""
    async with wire(pod.ws_url, await people.new("ann")) as socket:
        await socket.send('{"t":"send","ref":5,"ch":1,"content":"\\ud800"}')
        error = await socket.recv()
        assert (error["t"], error["ref"], error["code"]) == ("error", None, "bad_json")


async def test_a_message_of_just_the_limit_is_taken(pod: Pod, people: People) -> None:
    """`limits.frameBytes` is the most that is taken; the next byte closes (below)."""
    async with wire(pod.ws_url, await people.new("ann")) as socket:
        ping = '{"t":"ping","ref":1}'
        await socket.send(ping.ljust(65_536))
        assert await socket.recv() == {"t": "pong", "ref": 1}


async def test_a_renewal_that_gives_no_more_time_is_not_warned_of_again(
    pod: Pod, people: People
) -> None:
    """A session ends, and each new token with it: one `expiring` tells of that end."""
    ann = await people.new("ann")

    def token(left_s: float) -> str:
        issued = time.time() + left_s - people.tokens.life_s
        return people.tokens.sign(ann.id, ann.session_id, issued)

    async with wire(pod.ws_url) as socket:
        last, later = token(40), token(50)
        await socket.ask({"t": "auth", "ref": None, "token": last})
        assert (await socket.recv())["t"] == "expiring"
        await socket.ask({"t": "auth", "ref": 1, "token": last})
        await socket.silence(2.5)
        await socket.ask({"t": "auth", "ref": 2, "token": later})
        assert (await socket.recv())["t"] == "expiring"


async def test_logout_closes_its_sockets_and_no_others(
    pod: Pod, people: People, http: httpx2.AsyncClient
) -> None:
    """4004 for the session that ended."""
    ann, bob = await people.new("ann"), await people.new("bob")
    async with wire(pod.ws_url, ann) as a, wire(pod.ws_url, bob) as b:
        answer = await http.post("/auth/logout", json={"refreshToken": ann.refresh_token})
        assert answer.status_code == 204
        assert await a.closed() == (4004, [])
        await b.alive()


async def test_the_socket_survives_any_number_of_bad_frames(pod: Pod, people: People) -> None:
    """Errors are answered, slowly enough for ever."""
    async with wire(pod.ws_url, await people.new("ann")) as socket:
        for _ in range(100):
            await socket.send("nonsense")
        for _ in range(100):
            assert (await socket.recv())["code"] == "bad_json"
        await socket.alive()


async def test_a_flood_of_bad_frames_closes(pod: Pod, people: People) -> None:
    """4008 above the rate of errors."""
    async with wire(pod.ws_url, await people.new("ann")) as socket:
        for _ in range(300):
            await socket.send("nonsense")
        assert (await socket.closed())[0] == 4008


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"{}", 1003), (b'{"t":"ping"}', 1003), ("x" * 65537, 1009)],
    ids=["W51 binary", "W51 binary with a command", "W14 text over the limit"],
)
async def test_frames_of_the_wrong_kind_close(
    pod: Pod, people: People, data: str | bytes, code: int
) -> None:
    """Binary and oversized frames are closed as RFC 6455 has it."""
    async with wire(pod.ws_url, await people.new("ann")) as socket:
        await socket.send(data)
        assert (await socket.closed())[0] == code


async def test_who_does_not_read_the_answers_is_read_no_further(pod: Pod, people: People) -> None:
    """A flood of pings without reading the pongs: the pod keeps little, and soon cuts it off."""
    async with wire(pod.ws_url, await people.new("ann"), max_queue=1) as flooder:
        ping = b'{"t":"ping","ref":"' + b"x" * 60 + b'"}'
        before = rss_kb(pod)
        with contextlib.suppress(ConnectionClosed):
            async with asyncio.timeout(20):
                while True:
                    await flooder.socket.send(ping, text=True)
                    await asyncio.sleep(0)
        assert rss_kb(pod) - before < 20_000
        async with wire(pod.ws_url, await people.new("bob")) as other:
            await other.alive()
        flooder.socket.transport.abort()  # a close would stand in line behind the pings


def rss_kb(pod: Pod) -> int:
    """The pod's resident memory."""
    for line in Path(f"/proc/{pod.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")
