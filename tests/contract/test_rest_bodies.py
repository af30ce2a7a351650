"""Request bodies: what kind, how long, and what becomes of one that is too long or never ends."""

import asyncio
import json
from collections.abc import AsyncIterator

import httpx2
import pytest

from tests.contract.conftest import SignIn
from tests.contract.rest import (
    JSON,
    Caller,
    answer,
    exchange,
    problem,
    read_reply,
    request,
)
from tests.people import People
from tests.pods import Pod, Pods

pytestmark = pytest.mark.usefixtures("calm")

LIMIT = 65_536  # RTCHAT_BODY_MAX_BYTES
DRAINED = 4_194_304  # RTCHAT_BODY_DRAIN_BYTES


@pytest.fixture(scope="module")
async def channel(ann: Caller) -> JSON:
    return await ann.makes()


@pytest.fixture(scope="module")
def path(channel: JSON) -> str:
    return f"/channels/{channel['id']}/messages"


async def in_chunks(body: bytes) -> AsyncIterator[bytes]:
    """The body without a length."""
    for start in range(0, len(body), 16_384):
        yield body[start : start + 16_384]


def message_of(size: int) -> bytes:
    """A good message in a body of so many bytes."""
    body = json.dumps({"content": "hi"}).encode()
    return body + b" " * (size - len(body))


async def post(caller: Caller, path: str, body: bytes | str, **headers: str) -> httpx2.Response:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return await caller.http.post(path, content=body, headers=caller.person.headers | given)


# --- kind


@pytest.mark.parametrize(
    "kind",
    [
        "application/json", "application/json; charset=utf-8", "application/json;charset=UTF-8",
        "Application/JSON", 'application/json; charset="utf-8"',
    ],
)  # fmt: skip
async def test_json_is_taken(ann: Caller, path: str, kind: str):
    """However RFC 9110 §8.3.1 lets it be written."""
    answer(await post(ann, path, b'{"content":"hi"}', content_type=kind), 201)


@pytest.mark.parametrize(
    "kind",
    [
        "", "text/plain", "text/json", "application/json; charset=utf-16",
        "application/json; charset=latin-1", "application/jsonx", "application/json2; a=b",
        "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "*/*", "json",
        "application/problem+json", "application/json, text/plain", "application/ json",
    ],
    ids=lambda kind: f"B-H12 {kind or 'none'}",
)  # fmt: skip
async def test_nothing_but_json_is_taken(ann: Caller, path: str, kind: str):
    """B-H12, S-52: 415; what a form of a foreign page can send is not taken."""
    head = (await ann.reads({"id": path.split("/")[2]}, limit=1))["items"][-1:]
    response = await post(ann, path, b'{"content":"hi"}', content_type=kind)
    problem(response, "unsupported_media_type")
    assert (await ann.reads({"id": path.split("/")[2]}, limit=1))["items"][-1:] == head


async def test_a_kind_is_given_once(pod: Pod, ann: Caller, path: str):
    """None, or two: 415."""
    body = b'{"content":"hi"}'
    length = f"Content-Length: {len(body)}"
    kind = "Content-Type: application/json"
    for headers in ([length], [length, kind, "Content-Type: text/plain"], [length, kind, kind]):
        head = request(f"POST {path} HTTP/1.1", *headers, token=ann.person.token)
        reply = await exchange(pod, head + body)
        assert (reply.status, reply.json["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    "encoding",
    ["gzip", "deflate", "br", "gzip, identity", "x", "GZIP"],
    ids=lambda encoding: f"B-H13 {encoding}",
)
async def test_a_body_is_not_encoded(ann: Caller, path: str, encoding: str):
    """B-H13: 415 before anything is unpacked, so that nothing small can become large."""
    bomb = b"\x1f\x8b\x08" + b"\0" * 1000
    response = await post(
        ann, path, bomb, content_type="application/json", content_encoding=encoding
    )
    problem(response, "unsupported_media_type")


async def test_a_body_where_none_belongs_is_ignored(ann: Caller, channel: JSON):
    """B-H10."""
    response = await ann.http.request(
        "GET", f"/channels/{channel['id']}", content=b"nonsense", headers=ann.person.headers
    )
    answer(response)
    response = await post(ann, f"/channels/{channel['id']}/join", b"nonsense")
    answer(response)


# --- length


@pytest.mark.parametrize("size", [16, 1024, LIMIT - 1, LIMIT], ids=lambda size: f"B-H15 {size}")
async def test_a_body_up_to_the_limit_is_taken(ann: Caller, path: str, size: int):
    """B-H15: with a length and in chunks."""
    kind = {"Content-Type": "application/json"}
    body = message_of(size)
    for content in (body, in_chunks(body)):
        response = await ann.http.post(path, content=content, headers=ann.person.headers | kind)
        answer(response, 201)


@pytest.mark.parametrize(
    "size", [LIMIT + 1, 300_000, DRAINED - 100_000], ids=lambda size: f"B-H15 {size}"
)
async def test_a_body_over_the_limit_is_answered_readably(ann: Caller, path: str, size: int):
    """413, and a client that sends all of it first can read the answer."""
    kind = {"Content-Type": "application/json"}
    body = message_of(size)
    for content in (body, in_chunks(body)):
        response = await ann.http.post(path, content=content, headers=ann.person.headers | kind)
        problem(response, "too_large")


async def test_a_body_over_the_limit_is_answered_before_it_is_sent(
    pod: Pod, ann: Caller, path: str
):
    """With a length: by the head alone, whatever the length."""
    for length in (LIMIT + 1, 10**9, 2**63, 10**30):
        head = request(
            f"POST {path} HTTP/1.1", "Content-Type: application/json",
            f"Content-Length: {length}", token=ann.person.token,
        )  # fmt: skip
        reply = await exchange(pod, head, within_s=3)
        assert reply.status in ((413,) if length < 2**63 else (400, 413))


async def test_a_body_in_chunks_is_answered_once_it_is_too_long(pod: Pod, ann: Caller, path: str):
    """Without a length: as soon as the limit is passed, though more is to come."""
    head = request(
        f"POST {path} HTTP/1.1", "Content-Type: application/json",
        "Transfer-Encoding: chunked", token=ann.person.token,
    )  # fmt: skip
    chunk = b"4000\r\n" + b" " * 0x4000 + b"\r\n"
    reply = await exchange(pod, head, chunk * 5, within_s=3)
    assert (reply.status, reply.json["code"]) == (413, "too_large")


async def test_the_connection_closes_after_a_body_that_was_too_long(
    pod: Pod, ann: Caller, path: str
):
    """Nothing that was part of the body is taken for a request."""
    body = message_of(LIMIT + 1) + request("GET /healthz HTTP/1.1") * 2
    head = request(
        f"POST {path} HTTP/1.1", "Content-Type: application/json",
        f"Content-Length: {len(body)}", token=ann.person.token,
    )  # fmt: skip
    reader, writer = await asyncio.open_connection("127.0.0.1", pod.port)
    writer.write(head + body)
    async with asyncio.timeout(5):
        reply = await read_reply(reader)
        assert reply.status == 413
        assert reply.headers["connection"] == "close"
        assert await reader.read() == b""
    writer.close()


async def test_a_long_password_costs_nothing(pod: Pod, ann: Caller):
    """S-07: a megabyte of password is a body that is too long."""
    body = json.dumps({"email": "x@example.org", "password": "p" * 1_000_000})
    for path in ("/auth/login", "/auth/register"):
        response = await post(ann, path, body, content_type="application/json")
        problem(response, "too_large")


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("POST", "/nothing", 404),
        ("PUT", "/users/me", 405),
        ("POST", "/users/me", 405),
        ("POST", "/channels", 401),
        ("POST", "/auth/login", 415),
    ],
)
async def test_an_answer_to_a_body_that_nobody_wants_can_be_read(
    nobody: Caller, method: str, target: str, status: int
):
    """Two megabytes that were refused for another reason, sent to the end."""
    response = await nobody.http.request(method, target, content=b"x" * 2_000_000)
    assert response.status_code == status
    problem(response, "not_found", "method_not_allowed", "unauthorized", "unsupported_media_type")


# --- bodies that do not end


async def test_a_client_that_goes_away_leaves_nothing(pod: Pod, ann: Caller, path: str):
    """B-H16: in the middle of a body, or before the answer: the next one is served as ever."""
    head = request(
        f"POST {path} HTTP/1.1", "Content-Type: application/json",
        "Content-Length: 1000", token=ann.person.token,
    )  # fmt: skip
    whole = request(
        f"POST {path} HTTP/1.1", "Content-Type: application/json",
        "Content-Length: 16", token=ann.person.token,
    ) + b'{"content":"hi"}'  # fmt: skip
    for data in (head[:50], head, head + b'{"content":', whole) * 10:
        _, writer = await asyncio.open_connection("127.0.0.1", pod.port)
        writer.write(data)
        await writer.drain()
        await asyncio.sleep(0.002)
        writer.transport.abort()
    answer(await ann.get("/users/me"))


UNENDING = {
    "B-H2 half a body": (["Content-Length: 1000"], b'{"name":'),
    "B-H4 no final chunk": (["Transfer-Encoding: chunked"], b"2\r\n{}\r\n"),
    "B-H4 FFFFFFFFFFFFFFFF": (["Transfer-Encoding: chunked"], b"F" * 16 + b"\r\n{}\r\n0\r\n\r\n"),
    "B-H10 Expect, then nothing": (["Content-Length: 1000", "Expect: 100-continue"], b""),
}


@pytest.fixture(scope="module")
async def impatient(pods: Pods, pod: Pod) -> AsyncIterator[Pod]:
    """A pod that waits a second for a body."""
    impatient = await pods.start(pod.database_url, body_read_s=1)
    yield impatient
    impatient.kill()


@pytest.mark.parametrize("row", UNENDING)
async def test_a_body_that_does_not_arrive_is_not_waited_for(
    impatient: Pod, people: People, row: str
):
    """It is answered after `RTCHAT_BODY_READ_S`, and the connection closes."""
    framing, begun = UNENDING[row]
    token = (await people.new("slow")).token
    kind = "Content-Type: application/json"
    reader, writer = await asyncio.open_connection("127.0.0.1", impatient.port)
    writer.write(request("POST /channels HTTP/1.1", kind, *framing, token=token) + begun)
    async with asyncio.timeout(4):
        reply = await read_reply(reader)
        if reply.status == 100:
            reply = await read_reply(reader)
        assert (reply.status, reply.json["code"]) == (400, "bad_json")
        assert reply.headers["connection"] == "close"
        assert await reader.read() == b""
    writer.close()


async def test_as_many_members_as_a_channel_takes_fit_a_body(sign_in: SignIn):
    """The largest list that the rules allow is no matter for the limit of bodies."""
    me = await sign_in("me")
    body = {"name": "x", "type": "private", "members": [2**53 - 1 - n for n in range(99)]}
    problem(await me.post("/channels", body), "not_found", field="members")
