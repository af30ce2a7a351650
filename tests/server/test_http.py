"""HTTP's bounds: how large a head may be and how long it may take, and what is answered then."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.pods import Pod, Pods
from tests.raw import PING, TEXT, Raw, frame, handshake, raw
from tests.services import Databases

HEAD_S = 1  # this pod's `header_read_s`
LIMIT = 16_384  # the default of `header_max_bytes`


@pytest.fixture(scope="module")
def hasty(databases: Databases, pods: Pods) -> Iterator[Pod]:
    with databases.fresh() as url:
        pod = pods.spawn(url, header_read_s=HEAD_S).wait()
        yield pod
        pod.kill()


@pytest.fixture
async def client(hasty: Pod) -> AsyncIterator[Raw]:
    """A connection; afterwards another one is served, and the log shows no traceback."""
    async with raw(hasty.port) as opened:
        yield opened
    async with raw(hasty.port) as other:
        await other.send(request())
        assert (await other.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    assert "Traceback" not in hasty.log()


def request(*headers: str, path: str = "/healthz", method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *headers, "", ""]).encode()


def problem(answer: bytes, status: int) -> str:
    """The problem's code of an answer, which is well-formed and the connection's last."""
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    assert lines[0].startswith(f"http/1.1 {status} ")
    assert {"content-type: application/problem+json", "connection: close"} <= set(lines)
    assert f"content-length: {len(body)}" in lines
    told = json.loads(body)
    assert told["status"] == status
    assert told["type"] == f"urn:rtchat:error:{told['code']}"
    return str(told["code"])


# --- how large


async def test_a_head_up_to_the_limit_is_served(client: Raw) -> None:
    """In one piece, in many, and again on the same connection."""
    whole = request("x: " + "y" * (LIMIT - 100))
    for size in (len(whole), 1000):
        for start in range(0, len(whole), size):
            await client.send(whole[start : start + size])
        await client.until(b'"ok"}' if b'"ok"}' in client.received else b"\r\n\r\n")
    assert client.received.startswith(b"HTTP/1.1 200")


HEADS = {
    "one header": request("x: " + "y" * LIMIT),
    "many headers": request(*(f"x{i}: {'y' * 1000}" for i in range(20))),
    "more headers than are sane": request(*(f"x{i}: y" for i in range(101))),
    "the path": request(path="/" + "y" * LIMIT),
    "the upgrade's path": handshake(path="/ws?" + "y" * 8100),
    "the upgrade's line": handshake(None, "x: " + "y" * 8100),
    "the upgrade's headers": handshake(None, *(f"x{i}: y" for i in range(129))),
}


@pytest.mark.parametrize("name", HEADS, ids=lambda name: f"B-H1 {name}")
@pytest.mark.parametrize("pieces", [1, 7])
async def test_a_head_over_the_limit_is_told_so(client: Raw, name: str, pieces: int) -> None:
    """431 and the end, at once; also where `websockets` would say nothing and wait."""
    head = HEADS[name]
    size = len(head) // pieces + 1
    for start in range(0, len(head), size):
        await client.send(head[start : start + size])
        await asyncio.sleep(0.001)
    assert problem(await client.rest(), 431) == "too_large"


async def test_a_head_over_the_limit_behind_another_request(client: Raw) -> None:
    """The first one's answer is not lost."""
    await client.send(request() + HEADS["one header"])
    answer = await client.rest()
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"431" not in answer


async def test_requests_in_a_row_are_counted_each_by_itself(client: Raw) -> None:
    """Together they are over the limit."""
    await client.send(request("x: " + "y" * 3000) * 10)
    for _ in range(200):
        if client.received.count(b"HTTP/1.1 200") == 10:
            break
        await client.recv()
    assert client.received.count(b"HTTP/1.1 200") == 10


async def test_a_body_comes_in_so_many_chunks(client: Raw) -> None:
    """A byte each: what one costs does not depend on its size."""
    about = request(
        "content-type: application/json", "transfer-encoding: chunked",
        path="/auth/login", method="POST",
    )  # fmt: skip
    body, end = b"1\r\n{\r\n", b"0\r\n\r\n"
    await client.send(about + body * 1023 + end)
    assert b'"bad_json"' in await client.until(b'"code"')
    client.received.clear()
    await client.send(about + body * 1025)
    assert problem(await client.rest(), 413) == "too_large"


async def test_a_body_is_no_head(client: Raw) -> None:
    """It has a limit of its own; chunked or not."""
    body = json.dumps({"email": "x" * 40_000, "password": "y"}).encode()
    about = request(
        "content-type: application/json", "transfer-encoding: chunked",
        path="/auth/login", method="POST",
    )  # fmt: skip
    chunks = b"".join(
        b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:20_000], body[20_000:])
    )
    message = about + chunks + b"0\r\n\r\n"
    for start in range(0, len(message), 9000):
        await client.send(message[start : start + 9000])
        await asyncio.sleep(0.001)
    answer = await client.until(b"\r\n\r\n")
    assert answer.split()[1] in (b"401", b"422")


async def test_trailers_are_headers(client: Raw) -> None:
    """Behind the last chunk, they are bounded like a head."""
    about = request(
        "content-type: application/json", "transfer-encoding: chunked",
        path="/auth/login", method="POST",
    )  # fmt: skip
    await client.send(about + b"2\r\n{}\r\n0\r\n")
    await client.flood(b"x" * 4096, upto_bytes=200_000)
    assert problem(await client.rest(), 431) == "too_large"


async def test_what_is_no_http_is_told_so(client: Raw) -> None:
    await client.send(b"\x16\x03\x01\x02\x00\x01\x00 hello\r\n\r\n")
    assert problem(await client.rest(), 400) == "bad_message"


# --- how long


@pytest.mark.parametrize(
    "said",
    [b"", b"GET", request()[:-2], b"\r\n"],
    ids=["B-H2 nothing", "B-H2 a word", "B-H2 half", "B-H2 a line"],
)
async def test_a_head_that_does_not_come_ends_the_connection(client: Raw, said: bytes) -> None:
    """Within `header_read_s` of the connection's begin."""
    began = time.monotonic()
    await client.send(said)
    assert await client.rest() == b""
    assert time.monotonic() - began > HEAD_S * 0.8


async def test_dribbling_does_not_buy_time(client: Raw) -> None:
    """B-H2: a byte now and then is no progress."""
    began = time.monotonic()
    closed = False
    for byte in request("x: " + "y" * 200):
        closed = await client.flood(bytes([byte]), upto_bytes=client.sent + 1)
        if closed:
            break
        await asyncio.sleep(0.1)
    assert closed
    assert time.monotonic() - began < HEAD_S * 5


@pytest.mark.parametrize("said", [b"GET", b"\r\n"])
async def test_the_next_head_has_its_time_too(client: Raw, said: bytes) -> None:
    """uvicorn forgets its own timer at the first byte."""
    await client.send(request())
    await client.until(b"\r\n\r\n")
    await asyncio.sleep(HEAD_S * 1.5)  # idle: that is the keep-alive's time, and longer
    began = time.monotonic()
    await client.send(said)
    await client.rest()
    assert HEAD_S * 0.8 < time.monotonic() - began < HEAD_S * 4


# --- upgrades


async def test_what_comes_right_behind_the_handshake_is_not_lost(client: Raw) -> None:
    """A client need not wait for the 101: uvicorn drops this."""
    early = frame(PING, b"early") + frame(TEXT, b'{"t":"ping"}')
    await client.send(handshake() + early)
    answer = await client.until((4001).to_bytes(2))  # the first frame is `auth`
    assert answer.startswith(b"HTTP/1.1 101")
    assert b"\x8a\x05early" in answer.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (handshake().replace(b"GET", b"POST"), b"405"),
        (handshake(None, "Content-Length: 5").replace(b"GET", b"POST") + b"12345", b"405"),
        (handshake().replace(b"HTTP/1.1", b"HTTP/1.0"), b"400"),
        (handshake().replace(b"websocket", b"h2c"), b"426"),
    ],
    ids=["post", "post with a body", "http/1.0", "h2c"],
)
async def test_other_upgrades_are_answered_and_end(client: Raw, head: bytes, status: bytes) -> None:
    """As a request that asks for none; what follows is not heard."""
    await client.send(head)
    await client.send(request())
    answer = await client.rest()
    assert answer.split()[1] == status
    assert answer.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("before", [1, 2, 50])
async def test_an_upgrade_behind_an_unanswered_request_is_none(client: Raw, before: int) -> None:
    """The answers would come between frames. What was asked alone before is answered."""
    await client.send(request(path="/readyz") * before + handshake())
    answer = await client.rest()
    assert b"HTTP/1.1 101" not in answer
    assert answer.count(b"HTTP/1.1 200") == (before == 1)


async def test_an_upgrade_behind_an_answered_request_is_one(client: Raw) -> None:
    await client.send(request())
    await client.until(b'"ok"}')
    client.received.clear()
    await client.upgrade()


async def test_who_goes_while_requests_wait_leaves_no_error(client: Raw, hasty: Pod) -> None:
    """The one that is being answered is told; uvicorn tells the last."""
    async with raw(hasty.port) as other:
        await other.send(request(path="/readyz") * 3)


async def test_an_idle_connection_is_kept_for_as_long_as_is_set(database_url: str, pods: Pods):
    """A proxy that keeps it longer would send a request into its end."""
    pod = await pods.start(database_url, keep_alive_s=2)
    reader, writer = await asyncio.open_connection("127.0.0.1", pod.port)
    began = asyncio.get_running_loop().time()
    for _ in range(2):
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200")
        await asyncio.sleep(1)  # not yet
    async with asyncio.timeout(20):
        assert await reader.read() == b""
    assert asyncio.get_running_loop().time() - began >= 3
    writer.close()
    pod.kill()
