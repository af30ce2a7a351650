"""Pods that are told to end while people talk: who is served until when; and nothing is lost.

A stop is a fault that happens every day: each deployment sends everybody away from every pod once.
"""

import asyncio
import contextlib
import itertools
import secrets
import signal
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx2
import orjson
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from rtchat.server.postgres import EmbeddedPostgres
from rtchat.server.valkey import PrivateValkey
from tests.people import People, Person
from tests.pods import Pod, Pods
from tests.services import Given
from tests.sockets import Wire, wire

SLACK_S = 3.0  # what two busy cores may add to a bound


@pytest.fixture(scope="module")
def database_url(module_database_url: str) -> str:
    """One database for all: each test makes people and channels of its own."""
    return module_database_url


@pytest.fixture
async def people(database_url: str) -> AsyncIterator[People]:
    async with People(database_url) as source:
        yield source


@contextlib.asynccontextmanager
async def rest(pod: Pod, person: Person | None = None) -> AsyncIterator[httpx2.AsyncClient]:
    headers = person.headers if person else {}
    async with httpx2.AsyncClient(base_url=pod.url, timeout=20, headers=headers) as http:
        yield http


async def make_channel(pod: Pod, owner: Person, *members: Person) -> int:
    body = {"name": "x", "type": "public", "members": [m.id for m in members]}
    async with rest(pod, owner) as http:
        return int((await http.post("/channels", json=body)).json()["id"])


async def stored(pod: Pod, reader: Person, channel: int) -> list[tuple[int, int, str]]:
    """Everything in the channel: seq, author, content."""
    found: list[tuple[int, int, str]] = []
    async with rest(pod, reader) as http:
        more = True
        while more:
            after = found[-1][0] if found else 0
            path = f"/channels/{channel}/messages?limit=200&after={after}"
            page = (await http.get(path)).json()
            found += [(m["seq"], m["userId"], m["content"]) for m in page["items"]]
            more = page["hasMore"]
    return found


async def not_ready(pod: Pod) -> None:
    """Wait until the drain has begun."""
    async with rest(pod) as http:
        while (answer := await http.get("/readyz")).status_code == 200:
            await asyncio.sleep(0.01)
        assert answer.json()["code"] == "draining"


# --- the window


async def test_until_its_slot_everything_goes_on(
    pods: Pods, database_url: str, people: People
) -> None:
    """Not ready at once, and nobody new; but who is there is served, over REST everybody."""
    pod = await pods.start(database_url, drain_s=4, drain_per_second=1, shutdown_s=11)
    ann = await people.new()
    channel = await make_channel(pod, ann)
    async with contextlib.AsyncExitStack() as stack:
        crowd = [await stack.enter_async_context(wire(pod.ws_url, ann)) for _ in range(8)]
        guest = await stack.enter_async_context(wire(pod.ws_url))
        http = await stack.enter_async_context(rest(pod, ann))
        pod.signal(signal.SIGTERM)
        began = time.monotonic()
        await not_ready(pod)
        assert time.monotonic() - began < 1 + SLACK_S
        assert (await http.get("/healthz")).status_code == 200
        with pytest.raises(InvalidStatus) as refused:
            async with wire(pod.ws_url, ann):
                raise AssertionError("let in")
        response = refused.value.response
        assert (response.status_code, orjson.loads(response.body)["code"]) == (503, "draining")
        sent = await http.post(f"/channels/{channel}/messages", json={"content": "over REST"})
        assert (sent.status_code, sent.headers["connection"]) == (201, "close")
        code, frames = await guest.closed()  # who has not signed in yet cannot any more
        assert (code, [f["t"] for f in frames]) == (4201, ["bye"])
        acks = await send_on_each(crowd, channel)
        assert acks >= 4, "at least half of the sockets wait for their slot"
        assert await pod.ended(11 + SLACK_S) == 0
    assert len(await stored(await pods.start(database_url), ann, channel)) == acks + 1


async def send_on_each(crowd: list[Wire], channel: int) -> int:
    """How many are acked now; the others have been sent away, and all are in the end."""
    acks = 0
    for socket_ in crowd:
        with contextlib.suppress(ConnectionClosed):
            await socket_.send({"t": "send", "ref": 1, "ch": channel, "content": "x"})
    for socket_ in crowd:
        code, frames = await socket_.closed()
        acks += any(f["t"] == "ack" for f in frames)
        assert (code, frames[-1]["t"]) == (4201, "bye")
    return acks


async def test_the_slots_are_spread_evenly(pods: Pods, database_url: str, people: People) -> None:
    """60 sockets in 3 seconds: 10 each half second, 15 at most; and no storm afterwards either."""
    pod = await pods.start(database_url, drain_s=3, drain_per_second=20, drain_return_ms=1000)
    ann = await people.new()
    ends: list[tuple[float, int]] = []
    stalls: list[float] = []

    async def until_closed(one: Wire) -> None:
        code, frames = await one.closed()
        assert code == 4201
        ends.append((time.monotonic(), frames[-1]["in"]))

    async def watch_the_clock() -> None:
        while len(ends) < 60:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            stalls.append(time.monotonic() - before)

    async with contextlib.AsyncExitStack() as stack:
        crowd = [await stack.enter_async_context(wire(pod.ws_url, ann)) for _ in range(60)]
        async with asyncio.TaskGroup() as group:
            for one in crowd:
                group.create_task(until_closed(one))
            group.create_task(watch_the_clock())
            pod.signal(signal.SIGTERM)
        assert await pod.ended() == 0
    times = sorted(at for at, _ in ends)
    most = max(sum(1 for t in times if at <= t < at + 0.5) for at in times)
    assert most <= 15 + 20 * max(stalls), [round(t - times[0], 2) for t in times]
    assert times[-1] - times[0] >= 2.5  # 59 slots of 50 ms, less what the first one came late
    assert all(0 <= back_ms <= 1000 for _, back_ms in ends)
    assert len({back_ms for _, back_ms in ends}) > 20


async def test_a_slot_waits_for_accepted_writes_and_takes_no_more(
    pods: Pods, database_url: str, people: People
) -> None:
    """`draining` for what comes later, the ack of what came before, `bye`, close; in this order."""
    pod = await pods.start(database_url)
    ann = await people.new()
    channel = await make_channel(pod, ann)
    send = {"t": "send", "ch": channel, "content": "x"}
    held = await asyncpg.connect(database_url)
    async with wire(pod.ws_url, ann) as one:
        async with held.transaction():
            await held.execute("SELECT FROM channels WHERE id = $1 FOR UPDATE", channel)
            await one.send({**send, "ref": "accepted"})
            await one.alive()  # so it was read
            pod.signal(signal.SIGTERM)
            await not_ready(pod)
            refused = await one.ask({**send, "ref": "late"})
            assert (refused["code"], refused["retry"]) == ("draining", True)
            assert refused["after"] > 0
        code, frames = await one.closed()
    await held.close()
    assert code == 4201
    assert [(f["t"], f.get("ref")) for f in frames] == [("ack", "accepted"), ("bye", None)]
    assert await pod.ended() == 0


async def test_after_the_window_rest_ends_in_good_order(
    pods: Pods, database_url: str, people: People
) -> None:
    """What was accepted is answered; a write on a connection that is still open is `draining`."""
    pod = await pods.start(database_url)
    ann = await people.new()
    path = f"/channels/{(channel := await make_channel(pod, ann))}/messages"
    held = await asyncpg.connect(database_url)
    async with rest(pod, ann) as http, rest(pod, ann) as other, asyncio.TaskGroup() as group:
        assert (await other.get("/healthz")).status_code == 200
        async with held.transaction():
            await held.execute("SELECT FROM channels WHERE id = $1 FOR UPDATE", channel)
            accepted = group.create_task(http.post(path, json={"content": "accepted"}))
            await asyncio.sleep(0.3)
            pod.signal(signal.SIGTERM)
            while not pod.events("drained"):
                await asyncio.sleep(0.01)
            late = await other.post(path, json={"content": "late"})
            assert (late.status_code, late.json()["code"]) == (503, "draining")
            assert "retry-after" in late.headers
    assert accepted.result().status_code == 201
    await held.close()
    assert await pod.ended() == 0


# --- nothing is lost


class Talker:
    """Sends numbered lines, five under way, and goes to the next pod when sent away."""

    def __init__(self, person: Person, channel: int, pods: list[Pod]) -> None:
        self.person = person
        self.acked: dict[str, int] = {}  # nonce to seq
        self.byes = 0
        self.sent_away: list[str] = []  # what was unanswered then
        self.stop = False
        self._pods = itertools.cycle(pods)
        self._channel = channel
        self._numbers = itertools.count()
        self._open: list[str] = []  # sent or to be sent, no ack yet

    async def run(self) -> None:
        while not (self.stop and not self._open):
            with contextlib.suppress(ConnectionClosed, InvalidStatus, OSError):
                async with wire(next(self._pods).ws_url, self.person) as one:
                    for nonce in self._open:
                        await self._send(one, nonce)
                    await self._talk(one)

    async def _talk(self, one: Wire) -> None:
        while not (self.stop and not self._open):
            while not self.stop and len(self._open) < 5:
                self._open.append(f"{next(self._numbers)}")
                await self._send(one, self._open[-1])
            frame = await one.recv()
            match frame["t"]:
                case "ack":
                    self._open.remove(frame["ref"])
                    assert self.acked.setdefault(frame["ref"], frame["seq"]) == frame["seq"]
                case "bye":
                    self.byes += 1
                    self.sent_away += self._open
                case "error":
                    assert frame["code"] == "draining", frame  # it is still to be sent

    async def _send(self, one: Wire, nonce: str) -> None:
        frame = {"t": "send", "ref": nonce, "ch": self._channel, "content": nonce, "nonce": nonce}
        with contextlib.suppress(ConnectionClosed):  # what came before is still to be read
            await one.send(frame)


async def test_under_load_nothing_is_lost_and_nothing_is_twice(
    pods: Pods,
    database_url: str,
    people: People,
    valkey: PrivateValkey | Given,
) -> None:
    """Two pods, one drains: acks hold, retries on the other pod end up stored exactly once."""
    settings: dict[str, Any] = {
        "redis_urls": valkey.url,
        "bus_prefix": f"drain-{secrets.token_hex(4)}",
        "sends_per_second": 0,
        "drain_s": 2,
        "drain_per_second": 5,
        "shutdown_s": 9,
    }
    pair = [pods.spawn(database_url, **settings) for _ in range(2)]
    for pod in pair:
        await pod.listening()
    crowd = await people.several(10)
    channel = await make_channel(pair[0], *crowd)
    talkers = [Talker(person, channel, pair) for person in crowd]
    async with asyncio.TaskGroup() as group:
        for talker in talkers:
            group.create_task(talker.run())
        await asyncio.sleep(0.5)
        pair[0].signal(signal.SIGTERM)
        assert await pair[0].ended(9 + SLACK_S) == 0
        for talker in talkers:
            talker.stop = True
    log = await stored(pair[1], crowd[0], channel)
    by_name = {(author, content): seq for seq, author, content in log}
    assert len(by_name) == len(log), "something is stored twice"
    claimed = {(t.person.id, n): seq for t in talkers for n, seq in t.acked.items()}
    assert claimed == by_name
    assert [e["sockets"] for e in pair[0].events("drained")] == [sum(t.byes for t in talkers)]
    assert any(talker.sent_away for talker in talkers), "nobody had to try again"
    assert "unanswered at shutdown" not in pair[0].log()
    assert "Traceback" not in pair[0].log()


# --- what is stuck


async def test_stuck_clients_do_not_hold_it(pods: Pods, database_url: str, people: People) -> None:
    """One that never reads with its buffers full, and requests that never end: out in time."""
    limits = {"write_high_bytes": 16_384, "write_low_bytes": 4096, "sends_per_second": 0}
    pod = await pods.start(database_url, drain_s=1, drain_per_second=1, shutdown_s=8, **limits)
    ann = await people.new()
    channel = await make_channel(pod, ann)
    async with contextlib.AsyncExitStack() as stack:
        options = {"max_queue": 1, "sock": small_socket(pod)}
        stuck = await stack.enter_async_context(wire(pod.ws_url, ann, **options))
        await stuck.ask({"t": "sub", "ref": 1, "ch": {str(channel): None}})
        quick = await stack.enter_async_context(wire(pod.ws_url, ann))
        for i in range(300):
            await quick.send({"t": "send", "ref": i, "ch": channel, "content": "x" * 4000})
        await quick.until(t="ack", ref=299)
        line = b"POST /auth/login HTTP/1.1\r\n"
        head = line + b"host: x\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{"
        for begun in (line, head):
            half_open = stack.enter_context(socket.create_connection(("127.0.0.1", pod.port)))
            half_open.sendall(begun)
        await asyncio.sleep(0.2)  # all of it has arrived
        pod.signal(signal.SIGTERM)
        began = time.monotonic()
        assert (await quick.closed())[0] == 4201
        assert await pod.ended(8 + SLACK_S) == 0
        assert time.monotonic() - began < 8 + SLACK_S
    assert "Traceback" not in pod.log()


def small_socket(pod: Pod) -> socket.socket:
    """A connected socket that takes little unread."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.connect(("127.0.0.1", pod.port))
    made.setblocking(False)
    return made


async def test_a_frozen_database_does_not_hold_it(
    pods: Pods, database_url: str, people: People, postgres: EmbeddedPostgres | Given
) -> None:
    """The write gets no answer; `bye` all the same, and the end in time. A retry tells its fate."""
    pod = await pods.start(database_url, drain_s=0, shutdown_s=7)
    ann = await people.new()
    channel = await make_channel(pod, ann)
    send = {"t": "send", "ref": 1, "ch": channel, "content": "x", "nonce": "n"}
    held = await asyncpg.connect(database_url)
    async with wire(pod.ws_url, ann) as one, held.transaction():
        await held.execute("SELECT FROM channels WHERE id = $1 FOR UPDATE", channel)
        await one.send(send)
        await one.alive()
        pod.signal(signal.SIGTERM)
        code, frames = await one.closed()
        assert (code, [f["t"] for f in frames]) == (4201, ["bye"])
        assert await pod.ended(8 + SLACK_S) == 0
    await held.close()
    other = await pods.start(database_url)
    async with wire(other.ws_url, ann) as one:
        assert (await one.ask(send))["t"] == "ack"
    assert len(await stored(other, ann, channel)) == 1


async def test_a_second_signal_cuts_it_short(pods: Pods, database_url: str, people: People) -> None:
    """Everybody is sent away at once, and it ends well."""
    pod = await pods.start(database_url, drain_s=20, drain_per_second=1)
    ann = await people.new()
    async with contextlib.AsyncExitStack() as stack:
        crowd = [await stack.enter_async_context(wire(pod.ws_url, ann)) for _ in range(20)]
        pod.signal(signal.SIGTERM)
        await not_ready(pod)
        pod.signal(signal.SIGTERM)
        began = time.monotonic()
        assert await pod.ended() == 0
        assert time.monotonic() - began < 2 + SLACK_S
        assert {(await one.closed())[0] for one in crowd} == {4201}
    assert "Traceback" not in pod.log()
