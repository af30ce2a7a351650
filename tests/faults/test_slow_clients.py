"""Clients that do not read, or hardly: they cost little, delay nobody, and miss nothing.

The pod's marks and deadline are low, so that seconds show what minutes would.
"""

import asyncio
import re
import sys
import time
from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest

from tests.people import People, Person
from tests.pods import Pod, Pods
from tests.raw import PING, TEXT, Raw, eventually, frame, handshake, peak_mb, raw, rss_mb
from tests.services import Databases
from tests.sockets import Wire, wire

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

HIGH, LOW = 65_536, 16_384
DEADLINE_S = 2.0
SWEEP_S = 1.0
# Who stops taking is given its deadline, and one more for what may lie unread in its kernel.
STUCK_S = 2 * DEADLINE_S + SWEEP_S
SLACK_S = 4.0  # for a machine that is slow
MESSAGE = "x" * 1000
SETTINGS = {
    "write_high_bytes": HIGH, "write_low_bytes": LOW, "sends_per_second": 0,
    "slow_deadline_ms": int(DEADLINE_S * 1000), "heartbeat_s": 2, "heartbeat_timeout_s": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def url(databases: Databases) -> Iterator[str]:
    with databases.fresh() as url:
        yield url


@pytest.fixture(scope="module")
async def folk(url: str) -> AsyncIterator[People]:
    async with People(url) as source:
        yield source


@pytest.fixture(scope="module")
async def patient(url: str, pods: Pods) -> AsyncIterator[Pod]:
    """The pod."""
    pod = await pods.start(url, **SETTINGS)
    yield pod
    assert "Traceback" not in pod.log()
    pod.kill()


@pytest.fixture
async def ann(folk: People) -> Person:
    return await folk.new("ann")


@pytest.fixture
async def room(patient: Pod, ann: Person) -> int:
    """A channel of Ann's."""
    return await channel_of(patient, ann)


async def channel_of(pod: Pod, person: Person) -> int:
    """A new channel of this person's."""
    async with httpx2.AsyncClient(base_url=pod.url) as http:
        body = {"name": "hot", "type": "public"}
        answer = await http.post("/channels", json=body, headers=person.headers)
        return int(answer.json()["id"])


async def follow(pod: Pod, person: Person, channel: int, client: Raw) -> None:
    """Sign in and subscribe from the head, and read as far as that."""
    await client.upgrade(person)
    await client.send(frame(TEXT, b'{"t":"sub","ref":1,"ch":{"%d":null}}' % channel))
    await client.until(b'"head"')


async def talk(socket: Wire, channel: int, count: int, per_second: float) -> None:
    """Send messages of 1 KB at a rate, and see each acked."""
    began = time.monotonic()
    for number in range(count):
        wait_s = began + number / per_second - time.monotonic()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        await socket.send({"t": "send", "ref": number, "ch": channel, "content": MESSAGE})
        if number % 100 == 99:
            await socket.until(t="ack", ref=number)


def seqs(received: bytes) -> list[int]:
    """The messages in what was received, in order."""
    return [int(seq) for seq in re.findall(rb'"t":"msg","ch":\d+,"seq":(\d+)', received)]


def established(pod: Pod, client: Raw) -> bool:
    """Whether the kernel knows the pod's end of this connection, in whatever state."""
    with open("/proc/net/tcp") as table:
        text = table.read()
    return re.search(rf":{pod.port:04X} [0-9A-F]+:{client.port:04X} ", text) is not None


async def test_a_client_that_never_reads(
    patient: Pod, ann: Person, room: int, folk: People
) -> None:
    """G8: others get everything in time, memory stays, it is cut and freed, and can resume."""
    before = rss_mb(patient)
    async with (
        wire(patient.ws_url, ann) as sender,
        wire(patient.ws_url, ann) as other,
        raw(patient.port, rcvbuf=4096) as stuck,
    ):
        await other.ask({"t": "sub", "ref": 1, "ch": {str(room): None}})
        await follow(patient, ann, room, stuck)
        async with asyncio.TaskGroup() as tasks:
            gone = tasks.create_task(eventually(lambda: not established(patient, stuck)))
            tasks.create_task(talk(sender, room, 1500, 300))
            heard = tasks.create_task(other.until(seq=1500))
        assert [f["seq"] for f in heard.result()] == list(range(1, 1501))
        assert peak_mb(patient) - before < 20
        # It stops taking within 0.5 s of 300 KB/s.
        assert gone.result() < 1 + STUCK_S + SLACK_S
        await stuck.rest()
        last = max(seqs(bytes(stuck.received)), default=0)
        assert last < 1000
        assert patient.events("client too slow")
        async with wire(patient.ws_url, ann) as again:
            await again.ask({"t": "sub", "ref": 1, "ch": {str(room): last}})
            resumed = await again.until(seq=1500)
        assert [f["seq"] for f in resumed] == list(range(last + 1, 1501))


async def test_a_client_that_pauses_misses_nothing(patient: Pod, ann: Person, room: int) -> None:
    """It reads on before the deadline, and gets a dense run to the head."""
    async with wire(patient.ws_url, ann) as sender, raw(patient.port, rcvbuf=4096) as client:
        await follow(patient, ann, room, client)
        await talk(sender, room, 600, 600)
        await client.until(b'"seq":600,')
        assert seqs(bytes(client.received)) == list(range(1, 601))


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("rcvbuf", "per_second"), [(4096, 2000), (16_384, 8000)])
async def test_a_slow_line_lives(
    url: str, pods: Pods, folk: People, rcvbuf: int, per_second: int
) -> None:
    """Its buffer stays full beyond every deadline, but it takes some KB a second all the time.

    A client of 16 KB acknowledges 30 KB every four seconds, and nothing in between. Nor do
    unanswered pings end it: they wait behind what it has not taken. Where the machine stood still
    for as long as the deadline, it is tried again with longer ones.
    """
    ann = await folk.new()
    for slow_s in (4.0, 12.0):
        pod = await pods.start(
            url, write_high_bytes=HIGH, write_low_bytes=16_000, sends_per_second=0, heartbeat_s=2,
            heartbeat_timeout_s=2, slow_deadline_ms=int(slow_s * 1000),  # and 1 KB/s is enough
            tcp_user_timeout_ms=int(1.25 * slow_s * 1000),
        )  # fmt: skip
        room = await channel_of(pod, ann)
        async with wire(pod.ws_url, ann) as sender, raw(pod.port, rcvbuf=rcvbuf) as client:
            await follow(pod, ann, room, client)
            await talk(sender, room, 600, 1200)
            if lives := await sips(client, per_second, 3.75 * slow_s):
                assert len(client.received) < 400_000  # or it was not slow
                await client.until(b'"seq":600,')
                assert seqs(bytes(client.received)) == list(range(1, 601))
        pod.kill()
        if lives:
            return
    pytest.fail("it was cut")


async def sips(client: Raw, per_second: int, seconds: float) -> bool:
    """Take so much a second; False: there came an end."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not await client.recv(per_second // 4):
            return False
        await asyncio.sleep(0.25)
    return True


async def test_a_client_that_dribbles_is_cut(patient: Pod, ann: Person, room: int) -> None:
    """A few bytes now and then do not hold a slot."""
    async with wire(patient.ws_url, ann) as sender, raw(patient.port, rcvbuf=4096) as client:
        await follow(patient, ann, room, client)
        await talk(sender, room, 600, 1200)
        began = time.monotonic()
        while established(patient, client):
            assert time.monotonic() - began < STUCK_S + SLACK_S
            await client.recv(20)
            await asyncio.sleep(0.1)
        assert len(client.received) < HIGH


async def test_a_client_that_goes_while_it_is_paused_is_forgotten_at_once(
    patient: Pod, ann: Person, room: int
) -> None:
    """Not when its deadline comes: until then it would count as there."""
    async with wire(patient.ws_url, ann) as sender:
        async with raw(patient.port, rcvbuf=4096) as client:
            await follow(patient, ann, room, client)
            await talk(sender, room, 600, 1200)
            await client.send(frame(TEXT, b'{"t":"ping"}'))  # answered, and then held back
            await asyncio.sleep(0.3)
            slow, gone = (len(patient.events(e)) for e in ("client too slow", "disconnected"))
        await eventually(lambda: len(patient.events("disconnected")) > gone)
    assert len(patient.events("client too slow")) == slow


async def test_a_client_that_is_paused_is_not_read(patient: Pod, ann: Person, room: int) -> None:
    """Else it could have work done that it never pays for by reading the answers."""
    async with wire(patient.ws_url, ann) as sender, raw(patient.port, rcvbuf=4096) as client:
        await follow(patient, ann, room, client)
        await talk(sender, room, 600, 1200)
        sent = client.sent
        much = frame(TEXT, b'{"t":"send","ch":%d,"content":"%b"}' % (room, b"y" * 3000)) * 10
        await client.flood(much, upto_bytes=sent + 50_000_000, for_s=1.5)
        assert client.sent - sent < 12_000_000  # what the kernels of both ends hold
        async with wire(patient.ws_url, ann) as probe:
            answer = await probe.ask({"t": "sub", "ref": 1, "ch": {str(room): None}})
        head = answer["ch"][str(room)]["head"]
        assert head < 600 + 256  # at most what had been read when it was noticed


async def test_pings_of_a_paused_client_are_not_piled_up(
    patient: Pod, ann: Person, room: int
) -> None:
    """The last of them is answered when there is room again (RFC 6455 §5.5.3)."""
    async with wire(patient.ws_url, ann) as sender, raw(patient.port, rcvbuf=4096) as client:
        await follow(patient, ann, room, client)
        await talk(sender, room, 600, 1200)
        for number in range(50):
            await client.send(frame(PING, b"ping%02d" % number))
        await client.until(b'"seq":600,')
        await client.until(b"\x8a\x06ping49")
        assert client.received.count(b"\x8a\x06ping") == 1
        assert seqs(bytes(client.received)) == list(range(1, 601))


async def test_a_silent_client_is_dropped_though_something_waits_for_it(
    url: str, pods: Pods, folk: People
) -> None:
    """Below the mark, where nobody counts it as slow: uvicorn would close, and wait for ever."""
    pod = await pods.start(
        url, heartbeat_s=1, heartbeat_timeout_s=1, tcp_user_timeout_ms=0, sends_per_second=0,
        write_high_bytes=4_000_000,
    )  # fmt: skip
    ann = await folk.new()
    room = await channel_of(pod, ann)
    async with wire(pod.ws_url, ann) as sender, raw(pod.port, rcvbuf=4096) as client:
        await follow(pod, ann, room, client)
        await talk(sender, room, 600, 1200)
        await eventually(lambda: not established(pod, client))
    assert not pod.events("client too slow")
    pod.kill()


async def test_a_peer_whose_window_stays_closed_is_cut_by_the_kernel(
    url: str, pods: Pods, folk: People
) -> None:
    """F30: over HTTP, where neither pings nor deadlines help."""
    pod = await pods.start(url, tcp_user_timeout_ms=1000, sends_per_second=0)
    ann = await folk.new()
    room = await channel_of(pod, ann)
    async with wire(pod.ws_url, ann) as sender:
        await talk(sender, room, 600, 1200)
    async with raw(pod.port, rcvbuf=4096) as client:
        await client.send(page_of(room, ann))
        await client.until(b"HTTP/1.1 200")
        assert established(pod, client)
        await eventually(lambda: not established(pod, client))
    assert "Traceback" not in pod.log()
    pod.kill()


async def test_an_upgrade_behind_an_answer_that_is_not_read_is_none(
    patient: Pod, ann: Person, room: int
) -> None:
    """The answer lies in a full buffer, and nobody would be told so when frames come."""
    async with wire(patient.ws_url, ann) as sender:
        for number in range(200):
            long = {"t": "send", "ref": number, "ch": room, "content": "日" * 4000}
            await sender.send(long)
        await sender.until(t="ack", ref=199)
    async with raw(patient.port, rcvbuf=4096) as client:
        for _ in range(3):  # 2.4 MB each; kernels take 4 MB
            await client.send(page_of(room, ann))
            await asyncio.sleep(0.5)
        await client.send(handshake(ann))
        assert b"HTTP/1.1 101" not in await client.rest()


def page_of(channel: int, person: Person) -> bytes:
    """The request for 200 messages, 200 KB and more."""
    lines = [
        f"GET /channels/{channel}/messages?limit=200 HTTP/1.1", "Host: x",
        f"Authorization: Bearer {person.token}", "", "",
    ]  # fmt: skip
    return "\r\n".join(lines).encode()
