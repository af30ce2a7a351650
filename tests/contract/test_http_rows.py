"""Bad requests below any route, row by row (B-H3 to B-H11, B-H31): framing, heads, hosts, methods.

What two servers could understand in two ways is refused and ends the connection, so that nothing
can be smuggled past a proxy (RFC 9112 §11.2).
"""

import asyncio
import random
import re

import pytest

from tests.contract.rest import TELLTALES, Caller, answer, exchange, read_reply, request
from tests.contract.test_handshake_rows import is_safe_refusal
from tests.pods import Pod
from tests.raw import handshake, raw

pytestmark = pytest.mark.usefixtures("calm")

JSON = "Content-Type: application/json"
CHUNKED = "Transfer-Encoding: chunked"
CHUNKS = b"2\r\n{}\r\n0\r\n\r\n"


def login(*headers: str, body: bytes = b"{}", version: str = "1.1") -> bytes:
    """A sign-in, framed by these headers; with `{}` for a body it is `bad_field` where taken."""
    lines = [f"POST /auth/login HTTP/{version}", "Host: x", JSON, *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def chunked(body: bytes) -> bytes:
    return login(CHUNKED, body=body)


def probe(*headers: str, line: str = "GET /healthz HTTP/1.1", host: str = "Host: x\r\n") -> bytes:
    lines = [f"{header}\r\n" for header in headers]
    return f"{line}\r\n{host}{''.join(lines)}\r\n".encode("latin-1")


MALFORMED = {
    "B-H3 TE and CL": login(CHUNKED, "Content-Length: 12", body=CHUNKS),
    "B-H3 CL and TE": login("Content-Length: 12", CHUNKED, body=CHUNKS),
    "B-H3 two CL": login("Content-Length: 2", "Content-Length: 2"),
    "B-H3 two other CL": login("Content-Length: 2", "Content-Length: 3", body=b"{} "),
    "B-H3 CL 2, 2": login("Content-Length: 2, 2"),
    "B-H3 CL -1": login("Content-Length: -1"),
    "B-H3 CL +2": login("Content-Length: +2"),
    "B-H3 CL 0x2": login("Content-Length: 0x2"),
    "B-H3 CL 2.0": login("Content-Length: 2.0"),
    "B-H3 CL empty": login("Content-Length:"),
    "B-H3 CL 2^64": login(f"Content-Length: {2**64}"),
    "B-H3 TE chunked, identity": login("Transfer-Encoding: chunked, identity", body=CHUNKS),
    "B-H3 TE identity": login("Transfer-Encoding: identity"),
    "B-H3 TE xchunked": login("Transfer-Encoding: xchunked"),
    "B-H3 TE gzip, chunked": login("Transfer-Encoding: gzip, chunked", body=CHUNKS),
    "B-H3 TE twice": login(CHUNKED, CHUNKED, body=CHUNKS),
    "B-H3 TE raw": login("Transfer-Encoding: \x0bchunked", body=CHUNKS),
    "B-H3 TE in HTTP/1.0": login(CHUNKED, body=CHUNKS, version="1.0"),
    "B-H4 garbage": chunked(b"zz\r\n{}\r\n0\r\n\r\n"),
    "B-H4 minus": chunked(b"-2\r\n{}\r\n0\r\n\r\n"),
    "B-H4 0x": chunked(b"0x2\r\n{}\r\n0\r\n\r\n"),
    "B-H4 17 digits": chunked(b"F" * 17 + b"\r\n{}\r\n0\r\n\r\n"),
    "B-H4 no end of chunk": chunked(b"2\r\n{}xx0\r\n\r\n"),
    "B-H4 bare LF": chunked(b"2\n{}\n0\n\n"),
    "B-H5 bare LF": b"GET /healthz HTTP/1.1\nHost: x\n\n",
    "B-H5 bare LF behind a header": b"GET /healthz HTTP/1.1\r\nHost: x\nX: y\r\n\r\n",
    "B-H5 bare CR": probe("X: a\rb"),
    "B-H5 space before the colon": probe("X : a"),
    "B-H5 obs-fold": probe("X: a\r\n b"),
    "B-H5 NUL": probe("X: a\0b"),
    "B-H5 no colon": probe("nonsense"),
    "B-H5 no name": probe(": y"),
    "B-H5 HTTP/9.9": probe(line="GET /healthz HTTP/9.9"),
    "B-H5 HTTP/2.0": probe(line="GET /healthz HTTP/2.0"),
    "B-H5 HTTP/1.2": probe(line="GET /healthz HTTP/1.2"),
    "B-H5 HTTP/0.9": b"GET /healthz\r\n\r\n",
    "B-H5 HTPT": probe(line="GET /healthz HTPT/1.1"),
    "B-H5 FOO": probe(line="FOO /healthz HTTP/1.1"),
    "B-H5 get": probe(line="get /healthz HTTP/1.1"),
    "B-H5 CONNECT": probe(line="CONNECT evil.example:443 HTTP/1.1"),
    "B-H9 no Host": probe(host=""),
    "B-H9 two Hosts": probe("Host: y"),
    "B-H9 two equal Hosts": probe("Host: x"),
    "B-H9 a path in Host": probe(host="Host: x/y\r\n"),
    "B-H9 a user in Host": probe(host="Host: x@y\r\n"),
    "B-H9 blanks in Host": probe(host="Host: x y\r\n"),
    "B-H9 raw Host": probe(host="Host: \xff\r\n"),
}


@pytest.mark.parametrize("row", MALFORMED)
async def test_what_is_not_plain_http_is_refused(pod: Pod, row: str):
    """400, and the connection ends: whatever came behind it is no request."""
    async with raw(pod.port) as client:
        await client.send(MALFORMED[row] + probe())
        said = await client.rest()
    assert said.count(b"HTTP/1.1 ") == 1
    reader = asyncio.StreamReader()
    reader.feed_data(said)
    reply = await read_reply(reader)
    assert (reply.status, reply.json["code"]) == (400, "bad_message")
    assert reply.headers["connection"] == "close"
    is_safe_refusal(reply)


TOO_LARGE = {
    "B-H4 20 KB chunk extension": (chunked(b"2;" + b"x" * 20_000 + b"\r\n{}\r\n0\r\n\r\n"), 431),
    "B-H7 100 KB": (probe(line=f"GET /{'x' * 100_000} HTTP/1.1"), 431),
    "B-H7 9 KB": (probe(line=f"GET /{'x' * 9000} HTTP/1.1"), 414),
    "B-H7 9 KB query": (probe(line=f"GET /users?{'x' * 9000} HTTP/1.1"), 414),
    "B-H31 Cookie 17 KB": (probe("Cookie: a=" + "x" * 17_000), 431),
    "B-H17 Authorization 1 MB": (probe("Authorization: Bearer " + "x" * 1_000_000), 431),
}


@pytest.mark.parametrize("row", TOO_LARGE)
async def test_what_is_too_large_is_refused_before_it_is_handled(pod: Pod, row: str):
    """By status 431 or 414, as a problem, at once."""
    said, status = TOO_LARGE[row]
    reply = await exchange(pod, said, within_s=5)
    assert (reply.status, reply.json["code"]) == (status, "too_large")
    assert reply.headers["connection"] == "close"
    is_safe_refusal(reply)


TAKEN = {
    "B-H4 a chunk's extension": (chunked(b"2;a=b\r\n{}\r\n0\r\n\r\n"), 422),
    "B-H4 trailers": (chunked(b"2\r\n{}\r\n0\r\nX: y\r\n\r\n"), 422),
    "B-H6 OPTIONS *": (probe(line="OPTIONS * HTTP/1.1"), 204),
    "B-H6 TRACE": (probe(line="TRACE /healthz HTTP/1.1"), 405),
    "B-H6 PROPFIND": (probe(line="PROPFIND /healthz HTTP/1.1"), 405),
    "B-H6 CONNECT to a path": (probe(line="CONNECT /healthz HTTP/1.1"), 405),
    "B-H9 HTTP/1.0 without Host": (probe(line="GET /healthz HTTP/1.0", host=""), 200),
    "B-H9 an address": (probe(host="Host: [::1]:8000\r\n"), 200),
    "B-H9 absolute URI": (probe(line="GET http://evil.example/healthz HTTP/1.1"), 200),
    "B-H31 Cookie 8 KB": (probe("Cookie: a=" + "x" * 8000), 200),
    "B-H31 equal names": (probe("Cookie: a=1; a=2", "Cookie: a=3"), 200),
    "B-H31 bad quoting": (probe('Cookie: a="; =; ;;, b="\\"'), 200),
    "B-H31 raw": (probe("Cookie: \xff=\xfe"), 200),
}


@pytest.mark.parametrize("row", TAKEN)
async def test_what_is_merely_unusual_is_answered(pod: Pod, row: str):
    """As RFC 9110 and RFC 9112 want it."""
    said, status = TAKEN[row]
    reply = await exchange(pod, said, within_s=5)
    assert reply.status == status
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert "server" not in reply.headers


async def test_options_of_the_server_tells_every_method(pod: Pod):
    """B-H6, RFC 9110 §9.3.7."""
    reply = await exchange(pod, probe(line="OPTIONS * HTTP/1.1"))
    assert reply.headers["allow"] == "DELETE, GET, HEAD, OPTIONS, PATCH, POST"


async def test_a_hundred_requests_at_once_are_answered_in_order(pod: Pod):
    """B-H11: each by itself, in the order of asking."""
    asked = [number * number % 7 < 3 for number in range(100)]  # no pattern that a mix-up keeps
    heads = [probe(line=f"GET {'/healthz' if good else '/nothing'} HTTP/1.1") for good in asked]
    reader, writer = await asyncio.open_connection("127.0.0.1", pod.port)
    writer.write(b"".join(heads))
    async with asyncio.timeout(10):
        statuses = [(await read_reply(reader)).status for _ in asked]
    writer.close()
    assert statuses == [200 if good else 404 for good in asked]


async def test_an_encoded_slash_separates_nothing(pod: Pod, ann: Caller):
    """B-H8: who guards a path by its text guards all of it."""
    for path in ("/users%2Fme", "/users%2fme", "/channels%2F1", "/%2Fhealthz", "/auth%2flogin"):
        head = [f"GET {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {ann.person.token}"]
        reply = await exchange(pod, "\r\n".join([*head, "", ""]).encode())
        assert (reply.status, reply.json["code"]) == (404, "not_found"), path
    answer(await ann.get("/users/me"))


# --- whatever comes

SEEDS = 12
CHANGES_EACH = 30
STATUSES = {101, 200, 204, 400, 401, 403, 404, 405, 413, 414, 415, 422, 426, 429, 431, 503}


def changed(data: bytes, chance: random.Random) -> bytes:
    """A request with a few bytes set, put in, taken out or doubled at random."""
    found = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(found))
        odd = chance.choice((0, 9, 10, 13, 32, 37, 58, 127, 255, chance.randrange(256)))
        part = found[at : at + chance.randint(1, 20)]
        found[at : at + chance.randint(0, 2)] = chance.choice((bytes([odd]), b"", part * 2))
    return bytes(found) or b"x"


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_a_request_changed_at_random_is_answered_as_one_or_dropped(
    pod: Pod, ann: Caller, seed: int
):
    """No 500, and no telltale; afterwards the log has no complaint (`calm`)."""
    chance = random.Random(seed)
    good = [
        probe(), chunked(CHUNKS), login("Content-Length: 2"), handshake(ann.person),
        request("GET /users?q=a&limit=5 HTTP/1.1", token=ann.person.token), probe() * 3,
    ]  # fmt: skip
    async with asyncio.TaskGroup() as tasks:
        asked = [
            tasks.create_task(said_to(pod, changed(chance.choice(good), chance)))
            for _ in range(CHANGES_EACH)
        ]
    for task in asked:
        said = task.result()
        statuses = {int(found) for found in re.findall(rb"HTTP/1\.1 (\d{3}) ", said)}
        assert statuses <= STATUSES, said
        assert not TELLTALES.search(said.decode("latin-1")), said


async def said_to(pod: Pod, data: bytes) -> bytes:
    """What is answered within a moment; what waits for more is hung up on."""
    async with raw(pod.port) as client:
        try:
            async with asyncio.timeout(0.5):
                await client.send(data)
                while await client.recv():
                    pass
        except (TimeoutError, OSError):
            pass
        return bytes(client.received)


def test_every_kind_of_bad_request_has_its_rows():
    """A row that is taken out of the tables above is missed."""
    rows = {name.split()[0] for table in (MALFORMED, TOO_LARGE, TAKEN) for name in table}
    assert rows == {"B-H3", "B-H4", "B-H5", "B-H6", "B-H7", "B-H9", "B-H17", "B-H31"}
