"""Hostile input costs a pod little memory and nobody else anything; what is full says so.

Each attack is one connection that sends for as long as the pod lets it, up to 30 MB; the pod's
memory before is compared with its highest since. Sizes that the attacks reach on a server without
these limits: 1800 MB for headers, 200 MB for pings.
"""

import asyncio
import contextlib
import json
import resource
import sys
from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest

from tests.calm import clients_of
from tests.people import People, Person
from tests.pods import Pod, Pods
from tests.raw import (
    CONT,
    PING,
    PONG,
    TEXT,
    eventually,
    frame,
    handshake,
    open_files,
    peak_mb,
    raw,
    rss_mb,
)
from tests.server.test_http import problem, request
from tests.services import Databases
from tests.sockets import wire

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, sets limits of a pod")

ATTACK_BYTES = 30_000_000
GROWTH_MB = 20
FEW = {"connections_max": 12, "connections_per_user": 2, "guests_max": 3}
FULL = ["127.0.0.2"] * 6 + ["127.0.0.3"] * 6  # whence so many connections come


@pytest.fixture(scope="module")
def url(databases: Databases) -> Iterator[str]:
    with databases.fresh() as url:
        yield url


@pytest.fixture(scope="module")
async def folk(url: str) -> AsyncIterator[People]:
    async with People(url) as source:
        yield source


@pytest.fixture(scope="module")
async def attacked(url: str, pods: Pods) -> AsyncIterator[Pod]:
    """A pod with its limits as they are by default."""
    pod = await pods.start(url)
    yield pod
    pod.kill()


@contextlib.asynccontextmanager
async def harmless(pod: Pod, bystander: Person) -> AsyncIterator[None]:
    """What happens meanwhile grows the pod little, and delays nobody."""
    before = rss_mb(pod)
    async with wire(pod.ws_url, bystander) as socket:
        async with asyncio.TaskGroup() as tasks:
            calm = tasks.create_task(keep_asking(pod, socket))
            yield
            calm.cancel()
        await socket.alive()
    assert peak_mb(pod) - before <= GROWTH_MB
    assert "Traceback" not in pod.log()


async def keep_asking(pod: Pod, socket: object) -> None:
    async with httpx2.AsyncClient(base_url=pod.url) as http:
        while True:
            async with asyncio.timeout(5):
                assert (await http.get("/healthz")).status_code == 200
            await asyncio.sleep(0.1)


# --- floods

CHUNKED = request(
    "content-type: application/json", "transfer-encoding: chunked", path="/auth/login",
    method="POST",
)  # fmt: skip
ENDLESS = {
    "headers": (b"GET / HTTP/1.1\r\n", b"x: y\r\n" * 1000),
    "one header": (b"GET / HTTP/1.1\r\nx: ", b"y" * 60_000),
    "one header's name": (b"GET / HTTP/1.1\r\n", b"x" * 60_000),
    "a path": (b"GET /", b"x" * 60_000),
    "empty lines": (b"", b"\r\n" * 30_000),
    "trailers": (CHUNKED + b"2\r\n{}\r\n0\r\n", b"x: y\r\n" * 1000),
    "a body that nobody reads": (CHUNKED.replace(b"/auth/login", b"/x"), b"1\r\nx\r\n" * 5000),
    "an extension of a chunk": (CHUNKED + b"1;", b"x" * 60_000),
}


@pytest.mark.parametrize("name", ENDLESS, ids=lambda name: f"B-H1 {name}")
async def test_requests_without_an_end(attacked: Pod, folk: People, name: str) -> None:
    """Cut off soon: at the limit, or where nothing is kept, when their time is over."""
    begin, more = ENDLESS[name]
    async with harmless(attacked, await folk.new()), raw(attacked.port) as client:
        await client.send(begin)
        await client.flood(more, upto_bytes=ATTACK_BYTES)
        await client.rest()
    assert client.sent < ATTACK_BYTES


FLOODS = {
    "W19 pings": (frame(PING) * 5000, 4008),
    "W19 long pings": (frame(PING, b"x" * 125) * 400, 4008),
    "W20 pongs": (frame(PONG) * 5000, 4008),
    "W18 empty fragments": (frame(CONT, fin=False) * 5000, 4009),
    "commands": (frame(TEXT, b'{"t":"ping"}') * 2000, 4008),
    "empty messages": (frame(TEXT) * 5000, 4008),
    "empty messages in two fragments": (
        (frame(TEXT, fin=False) + frame(CONT)) * 2500,
        4008,
    ),
}


@pytest.mark.parametrize("name", FLOODS)
async def test_frames_without_an_end(attacked: Pod, folk: People, name: str) -> None:
    """Closed with the code that says why, and the client can read it."""
    more, code = FLOODS[name]
    async with harmless(attacked, await folk.new()), raw(attacked.port) as client:
        await client.upgrade(await folk.new())
        if name == "W18 empty fragments":
            await client.send(frame(TEXT, b"{", fin=False))
        await client.send(more)
        await client.rest()
    assert client.close_code() == code


@pytest.mark.parametrize("name", ["W19 pings", "W19 long pings", "commands"])
async def test_floods_that_nobody_reads_the_answers_of(
    attacked: Pod, folk: People, name: str
) -> None:
    """It is no different for one that never reads, whether or not it has signed in."""
    for person in (None, await folk.new()):
        async with (
            harmless(attacked, await folk.new()),
            raw(attacked.port, rcvbuf=4096) as client,
        ):
            await client.upgrade(person)
            ended = await client.flood(FLOODS[name][0], upto_bytes=ATTACK_BYTES)
        assert ended or client.sent < ATTACK_BYTES


async def test_without_a_limit_frames_are_read_no_faster_than_heard(
    url: str, pods: Pods, folk: People
) -> None:
    """`commands_per_second` 0 switches off the close, and not the bound on memory."""
    pod = await pods.start(url, commands_per_second=0)
    more, _ = FLOODS["commands"]
    async with harmless(pod, await folk.new()), raw(pod.port) as client:
        await client.upgrade(await folk.new())
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(client.rest())  # so that it is not held back for that
            assert not await client.flood(more, upto_bytes=ATTACK_BYTES, for_s=2)
            reading.cancel()
    pod.kill()


async def test_requests_whose_answers_nobody_reads(attacked: Pod, folk: People) -> None:
    """Thousands in one read: those that wait are bounded, and then the connection is cut."""
    async with harmless(attacked, await folk.new()), raw(attacked.port, rcvbuf=4096) as client:
        ended = await client.flood(request() * 5000, upto_bytes=ATTACK_BYTES)
    assert ended


async def test_a_few_fragments_and_pings_are_fine(attacked: Pod, folk: People) -> None:
    """64 fragments a message, and a hundred control frames at once."""
    async with raw(attacked.port) as client:
        await client.upgrade(await folk.new())
        text = b'{"t":"ping","ref":"' + b"x" * 40 + b'"}'
        parts = [frame(TEXT, text[:1], fin=False)]
        parts += [frame(CONT, text[i : i + 1], fin=False) for i in range(1, len(text))]
        await client.send(b"".join(parts) + frame(PING, b"y") * 50 + frame(CONT))
        answer = await client.until(b'"pong"')
        assert answer.count(b"\x8a\x01y") == 50


async def test_w27_ten_thousand_come_and_go(attacked: Pod, folk: People) -> None:
    """Nothing is left of any."""
    async with harmless(attacked, await folk.new()):
        files = open_files(attacked)
        for number in range(10_000):
            async with raw(attacked.port) as client:
                await client.send([handshake(), request()[:-2], b""][number % 3])
        await eventually(lambda: open_files(attacked) <= files + 5)


# --- what is full


@pytest.fixture(scope="module")
async def small(url: str, pods: Pods) -> AsyncIterator[Pod]:
    """A pod for few."""
    pod = await pods.start(url, **FEW, connections_per_address=9)
    yield pod
    pod.kill()


@pytest.fixture(autouse=True)
async def emptied(request: pytest.FixtureRequest) -> None:
    """Each test finds the small pod without clients."""
    if "small" in request.fixturenames:
        pod: Pod = request.getfixturevalue("small")
        await eventually(lambda: clients_of(pod) == 0)


async def ask(port: int, head: bytes, address: str = "127.0.0.1") -> bytes:
    """The whole answer of a request that is the connection's last."""
    async with raw(port, address=address) as client:
        await client.send(head)
        return await client.rest()


async def refused_upgrade(pod: Pod, person: Person | None, address: str = "127.0.0.1") -> str:
    """The code of the problem that a handshake gets."""
    answer = await ask(pod.port, handshake(person), address)
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["retryAfter"] > 0
    return problem(answer, 503)


async def crowd(
    stack: contextlib.AsyncExitStack, pod: Pod, folk: People, addresses: list[str]
) -> None:
    """Sockets from there that stay; one that only had an answer would be closed after 5 s."""
    for address in addresses:
        client = await stack.enter_async_context(raw(pod.port, address=address))
        await client.upgrade(await folk.new())


async def test_a_pod_that_is_full_says_so_and_stays_healthy(small: Pod, folk: People) -> None:
    """Sockets and requests are told `overloaded`, probes are answered; who leaves makes room."""
    async with contextlib.AsyncExitStack() as stack:
        await crowd(stack, small, folk, FULL)
        assert await refused_upgrade(small, await folk.new()) == "overloaded"
        answer = await ask(small.port, request(path="/channels"))
        assert problem(answer, 503) == "overloaded"
        for path in ("/healthz", "/readyz?x=1"):
            assert (await ask(small.port, request(path=path))).startswith(b"HTTP/1.1 200")
    await eventually(lambda: clients_of(small) == 0)
    async with wire(small.ws_url, await folk.new()) as socket:
        await socket.alive()


async def test_who_was_refused_does_not_stand_in_a_probes_way(small: Pod, folk: People) -> None:
    """More of them than there are places for probes, and none hangs up; each has its answer."""
    async with contextlib.AsyncExitStack() as stack:
        await crowd(stack, small, folk, FULL)
        for number in range(150):
            client = await stack.enter_async_context(
                raw(small.port, address=f"127.0.{2 + number % 10}.1")
            )
            await client.send(handshake())
            assert (await client.until(b"}")).startswith(b"HTTP/1.1 503")
            if number % 10 == 9:
                assert (await ask(small.port, request())).startswith(b"HTTP/1.1 200")


async def test_the_pre_stop_call_reaches_a_full_pod(url: str, pods: Pods, folk: People) -> None:
    """It is what makes room; it wants its token as ever."""
    pod = await pods.start(url, connections_max=1, internal_token="t" * 20)
    async with wire(pod.ws_url, await folk.new()) as socket:
        assert problem(await ask(pod.port, request(path="/users/me")), 503) == "overloaded"
        for token, status in (("wrong", b"401"), ("t" * 20, b"200")):
            head = request(
                f"authorization: Bearer {token}", "content-length: 0",
                path="/internal/drain", method="POST",
            )  # fmt: skip
            assert (await ask(pod.port, head)).split()[1] == status
        assert (await socket.closed())[0] == 4201
    pod.kill()


async def test_far_beyond_the_limit_connections_are_dropped(small: Pod) -> None:
    """The reserve for probes has an end; and those who say nothing do not hold it."""
    async with contextlib.AsyncExitStack() as stack:
        for number in range(200):
            address = f"127.0.1.{number}"
            await stack.enter_async_context(raw(small.port, address=address))
        await eventually(lambda: clients_of(small) <= FEW["connections_max"] + 64)
        await eventually(lambda: clients_of(small) <= FEW["connections_max"])
        assert (await ask(small.port, request())).startswith(b"HTTP/1.1 200")


async def test_an_address_has_its_share(small: Pod, folk: People) -> None:
    """Another one is not bothered."""
    async with contextlib.AsyncExitStack() as stack:
        await crowd(stack, small, folk, ["127.0.0.2"] * 9)
        ann = await folk.new()
        assert await refused_upgrade(small, ann, "127.0.0.2") == "overloaded"
        async with wire(small.ws_url, ann) as socket:
            await socket.alive()


async def test_a_user_has_so_many_sockets(small: Pod, folk: People) -> None:
    """Over the limit: 503 where the handshake says who it is, else an error and 4101."""
    ann = await folk.new()
    async with wire(small.ws_url, ann):
        async with wire(small.ws_url, ann):
            assert await refused_upgrade(small, ann) == "overloaded"
            async with wire(small.ws_url) as late:
                await late.send({"t": "auth", "ref": 1, "token": ann.token})
                code, frames = await late.closed()
            assert (code, [f["code"] for f in frames]) == (4101, ["overloaded"])
            assert frames[0]["retry"] is True
            assert frames[0]["after"] > 0
            async with wire(small.ws_url, await folk.new()) as other:
                await other.alive()
        await eventually(lambda: clients_of(small) == 1)
        async with wire(small.ws_url, ann) as again:
            await again.alive()


async def test_so_many_may_not_have_signed_in(small: Pod, folk: People) -> None:
    """Guests are refused; who says at once who they are is not."""
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(FEW["guests_max"]):
            await stack.enter_async_context(wire(small.ws_url))
        assert await refused_upgrade(small, None) == "overloaded"
        async with wire(small.ws_url, await folk.new()) as socket:
            await socket.alive()


# --- open files


async def test_at_the_limit_of_open_files_a_pod_lives_on(
    url: str, pods: Pods, folk: People
) -> None:
    """It bounds connections to what fits, says so, refuses the rest, idles, and recovers."""
    pod = pods.spawn(url)
    resource.prlimit(pod.pid, resource.RLIMIT_NOFILE, (256, 256))  # before Python has started
    await pod.listening()
    (said,) = pod.events("the limit of open files bounds connections")
    assert said["level"] == "warning"
    assert 50 < said["bound"] < 256
    ann = await folk.new()
    async with wire(pod.ws_url, ann) as socket, contextlib.AsyncExitStack() as stack:
        for _ in range(500):
            await stack.enter_async_context(raw(pod.port))
        await socket.alive()
        assert open_files(pod) < 250
        busy = cpu_s(pod)
        await asyncio.sleep(1)
        assert cpu_s(pod) - busy < 0.5
        assert (await ask(pod.port, request(path="/readyz"))).startswith(b"HTTP/1.1 200")
    await eventually(lambda: clients_of(pod) == 0)
    async with wire(pod.ws_url, ann) as socket:
        await socket.alive()
    assert "Traceback" not in pod.log()


async def test_without_any_descriptor_left_accepting_goes_on_later(
    url: str, pods: Pods, folk: People
) -> None:
    """Something else may have taken them all: no busy loop, and no end of listening."""
    pod = await pods.start(url)
    ann = await folk.new()
    async with wire(pod.ws_url, ann) as socket, contextlib.AsyncExitStack() as stack:
        before = resource.prlimit(pod.pid, resource.RLIMIT_NOFILE)
        taken = open_files(pod) + 3
        resource.prlimit(pod.pid, resource.RLIMIT_NOFILE, (taken, before[1]))
        for _ in range(30):
            await stack.enter_async_context(raw(pod.port))
        busy = cpu_s(pod)
        await asyncio.sleep(1)
        assert cpu_s(pod) - busy < 0.5
        await socket.alive()
        resource.prlimit(pod.pid, resource.RLIMIT_NOFILE, before)
        async with wire(pod.ws_url, ann) as another:
            await another.alive()
    pod.kill()


def cpu_s(pod: Pod) -> float:
    """The processor time that a pod has used."""
    with open(f"/proc/{pod.pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100
