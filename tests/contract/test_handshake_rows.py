"""Bad handshakes, row by row (W30 to W47): each is answered, at once, and leaves nothing behind."""

import time
from collections.abc import Iterable
from typing import Any

import pytest

from tests.contract.conftest import SignIn
from tests.contract.rest import Caller, Reply, exchange
from tests.contract.test_rest_tokens import LEEWAY_S, Forge, raw_jwt
from tests.people import People, Person
from tests.pods import Pod
from tests.raw import TEXT, frame, handshake, raw
from tests.sockets import wire

pytestmark = pytest.mark.usefixtures("calm")

KEY = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="


def head(
    *extra: str, without: Iterable[str] = (), line: str = "GET /ws HTTP/1.1", body: bytes = b""
) -> tuple[str, tuple[str, ...], tuple[str, ...], bytes]:
    """What is changed of a good handshake."""
    return line, tuple(name.lower() + ":" for name in without), extra, body


def written(changed: tuple[str, tuple[str, ...], tuple[str, ...], bytes], person: Person) -> bytes:
    """The bytes of a handshake, signed in but for what is changed."""
    line, without, extra, body = changed
    _, *lines = handshake(person).decode().split("\r\n")[:-2]
    kept = [each for each in lines if not each.lower().startswith(without or ("\0",))]
    return "\r\n".join([line, *kept, *extra, "", ""]).encode("latin-1") + body


BAD: dict[str, tuple[Any, int, str]] = {
    "W30 no key": (head(without=["Sec-WebSocket-Key"]), 400, "bad_message"),
    "W30 bad key": (
        head("Sec-WebSocket-Key: !!", without=["Sec-WebSocket-Key"]), 400, "bad_message"
    ),
    "W30 short key": (
        head("Sec-WebSocket-Key: AAAA", without=["Sec-WebSocket-Key"]), 400, "bad_message"
    ),
    "W30 raw key": (
        head("Sec-WebSocket-Key: \xff\xfe", without=["Sec-WebSocket-Key"]), 400, "bad_message"
    ),
    "W30 two keys": (head(KEY), 400, "bad_message"),
    "W31 no version": (head(without=["Sec-WebSocket-Version"]), 426, "bad_message"),
    "W31 version 8": (
        head("Sec-WebSocket-Version: 8", without=["Sec-WebSocket-Version"]), 426, "bad_message"
    ),
    "W31 two versions": (head("Sec-WebSocket-Version: 8"), 426, "bad_message"),
    "W32 POST": (head(line="POST /ws HTTP/1.1"), 405, "method_not_allowed"),
    "W32 PUT": (head(line="PUT /ws HTTP/1.1"), 405, "method_not_allowed"),
    "W33 POST with a body": (
        head("Content-Length: 5", line="POST /ws HTTP/1.1", body=b"12345"),
        405, "method_not_allowed",
    ),
    "W33 POST with a body that does not come": (
        head("Content-Length: 5", line="POST /ws HTTP/1.1"), 405, "method_not_allowed"
    ),
    "W33 POST in chunks": (
        head("Transfer-Encoding: chunked", line="POST /ws HTTP/1.1", body=b"1\r\nx\r\n0\r\n\r\n"),
        405, "method_not_allowed",
    ),
    "W33 GET with a body": (head("Content-Length: 5", body=b"12345"), 400, "bad_message"),
    "W33 GET in chunks": (head("Transfer-Encoding: chunked"), 400, "bad_message"),
    "W34 no Upgrade": (head(without=["Upgrade"]), 426, "bad_message"),
    "W34 no Connection": (head(without=["Connection"]), 426, "bad_message"),
    "W34 Connection keep-alive": (
        head("Connection: keep-alive", without=["Connection"]), 426, "bad_message"
    ),
    "W35 HTTP/1.0": (head(line="GET /ws HTTP/1.0"), 400, "bad_message"),
    "W35 HTTP/1.0 no Host": (
        head(line="GET /ws HTTP/1.0", without=["Host"]), 400, "bad_message"
    ),
    "W35 no Host": (head(without=["Host"]), 400, "bad_message"),
    "W35 two Hosts": (head("Host: y"), 400, "bad_message"),
    "W36 two Origins": (head("Origin: http://x", "Origin: http://x"), 400, "bad_message"),
    "W37 null": (head("Origin: null"), 403, "forbidden"),
    "W37 evil": (head("Origin: https://evil.example"), 403, "forbidden"),
    "W37 suffix": (head("Origin: http://x.evil.example"), 403, "forbidden"),
    "W37 prefix": (head("Origin: http://evilx"), 403, "forbidden"),
    "W37 port": (head("Origin: http://x:81"), 403, "forbidden"),
    "W37 upper case": (head("Origin: HTTP://X"), 403, "forbidden"),
    "W37 trailing dot": (head("Origin: http://x."), 403, "forbidden"),
    "W37 trailing slash": (head("Origin: http://x/"), 403, "forbidden"),
    "W37 user": (head("Origin: http://x@evil.example"), 403, "forbidden"),
    "W37 two in one": (head("Origin: http://x http://x"), 403, "forbidden"),
    "W37 empty": (head("Origin:"), 403, "forbidden"),
    "W37 any": (head("Origin: *"), 403, "forbidden"),
    "W37 raw": (head("Origin: http://x\xff"), 403, "forbidden"),
    "W37 file": (head("Origin: file://"), 403, "forbidden"),
    "W38 130 headers": (head(*(f"x{n}: y" for n in range(130))), 431, "too_large"),
    "W38 9 KB header": (head("x: " + "y" * 9000), 431, "too_large"),
    "W38 9 KB path": (head(line=f"GET /ws?{'x' * 9000} HTTP/1.1"), 431, "too_large"),
    "W39 0xFF in the query": (head(line="GET /ws?\xff HTTP/1.1"), 400, "bad_message"),
    "W39 0xFF in a subprotocol": (head("Sec-WebSocket-Protocol: \xff"), 400, "bad_message"),
    "W41 %00": (head(line="GET /ws%00 HTTP/1.1"), 404, "not_found"),
    "W41 %ff": (head(line="GET /ws%ff HTTP/1.1"), 404, "not_found"),
    "W41 %2f": (head(line="GET /%2fws HTTP/1.1"), 404, "not_found"),
    "W41 #x": (head(line="GET /ws#x HTTP/1.1"), 404, "not_found"),
    "W41 ;x": (head(line="GET /ws;x HTTP/1.1"), 404, "not_found"),
    "W41 absolute URI": (head(line="GET http://evil/ws HTTP/1.1"), 404, "not_found"),
    "W41 absolute URI of ours": (head(line="GET http://x/ws HTTP/1.1"), 404, "not_found"),
    "W42 empty": (head("Sec-WebSocket-Protocol:"), 400, "bad_message"),
    "W42 commas": (head("Sec-WebSocket-Protocol: ,,,"), 400, "bad_message"),
    "W42 no token": (head("Sec-WebSocket-Protocol: a b;c"), 400, "bad_message"),
    "W44 websocket or h2c": (
        head("Upgrade: websocket, h2c", without=["Upgrade"]), 426, "bad_message"
    ),
    "W46 1 MB": (
        head("Authorization: Bearer " + "x" * 10**6, without=["Authorization"]), 431, "too_large"
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", BAD)
async def test_a_bad_handshake_is_refused_with_its_reason(pod: Pod, ann: Caller, row: str):
    """Before any socket opens, within 5 s, with the code that names what is wrong."""
    changed, status, code = BAD[row]
    reply = await exchange(pod, written(changed, ann.person), within_s=5)
    assert (reply.status, reply.json["code"]) == (status, code), reply
    is_safe_refusal(reply)
    if status == 426:
        assert reply.headers["upgrade"] == "websocket"
    if row.startswith("W31"):
        assert reply.headers["sec-websocket-version"] == "13"


def is_safe_refusal(reply: Reply) -> None:
    """A problem like any other, which tells nothing of what refused it."""
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json["status"] == reply.status
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["content-security-policy"].startswith("default-src 'none'")
    assert reply.headers["referrer-policy"] == "no-referrer"
    assert "server" not in reply.headers


GOOD = {
    "W33 GET with a body of nothing": head("Content-Length: 0"),
    "W37 own": head("Origin: http://x"),
    "W37 own by https": head("Origin: https://x"),
    "W40 raw header": head("X-Y: \xff\xfe"),
    "W40 raw User-Agent": head("User-Agent: \xff\xfe"),
    "W42 unknown": head("Sec-WebSocket-Protocol: nope"),
    "W42 1000": head("Sec-WebSocket-Protocol: " + ", ".join(f"p{n}" for n in range(1000))),
    "W43 ;;;": head("Sec-WebSocket-Extensions: ;;;"),
    "W43 a bad window": head(
        "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=99"
    ),
}


@pytest.mark.parametrize("row", GOOD)
async def test_what_is_merely_odd_gets_a_socket(pod: Pod, ann: Caller, row: str):
    """`hello` comes; nothing that was offered beyond the contract is taken."""
    async with raw(pod.port) as client:
        await client.send(written(GOOD[row], ann.person))
        answer = await client.until(b'"hello"')
    start = answer.partition(b"\r\n\r\n")[0].lower()
    assert start.startswith(b"http/1.1 101 ")
    assert b"sec-websocket-protocol" not in start
    assert b"sec-websocket-extensions" not in start


async def test_w44_h2c_is_no_upgrade_of_ours(pod: Pod):
    """The request is answered in HTTP/1.1, and is the connection's last."""
    upgrade = ["Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABk"]
    lines = ["GET /healthz HTTP/1.1", "Host: x", *upgrade, "", ""]
    reply = await exchange(pod, "\r\n".join(lines).encode())
    assert reply.status == 200
    preface = await exchange(pod, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert (preface.status, preface.json["code"]) == (400, "bad_message")


async def test_w45_frames_before_the_101_are_heard(pod: Pod, ann: Caller):
    """RFC 6455 §4.1 lets no client do so; those that do lose nothing."""
    async with raw(pod.port) as client:
        await client.send(handshake(ann.person) + frame(TEXT, b'{"t":"ping","ref":7}'))
        assert b'"ref":7' in await client.until(b'"pong"')


async def test_w47_tls_on_the_plain_port_is_told_so(pod: Pod):
    """400, in plain text: whoever sees it knows what is wrong."""
    hello = bytes.fromhex("16030100c8010000c40303") + bytes(190)
    reply = await exchange(pod, hello, within_s=5)
    assert (reply.status, reply.json["code"]) == (400, "bad_message")
    is_safe_refusal(reply)


# --- W46: tokens

NOW = int(time.time())
CHANGES: dict[str, dict[str, Any]] = {
    "W46 future iat": {"iat": NOW + 10 * LEEWAY_S},
    "W46 wrong aud": {"aud": "other"},
    "W46 wrong typ": {"header": {"typ": "JWT"}},
    "W46 wrong iss": {"iss": "other"},
    "W46 no exp": {"without": "exp"},
}
TEXTS = {
    "W46 empty": "",
    "W46 nonsense": "nonsense",
    "W46 dots": "..",
    "W46 non-ASCII": "é.é.é",
    "W46 long": "x" * 7000,
    "W46 alg none": raw_jwt({"alg": "none", "typ": "at+jwt"}, {"sub": "1"}),
}


async def frames_of(pod: Pod, token: str) -> tuple[int, list[dict[str, Any]]]:
    """What an `auth` frame with this token leads to."""
    async with wire(pod.ws_url) as socket:
        await socket.send({"t": "auth", "ref": 1, "token": token})
        return await socket.closed()


async def header_of(pod: Pod, token: str) -> Reply:
    """What a handshake with this token leads to."""
    line = f"Authorization: Bearer {token}".encode()
    good = handshake().removesuffix(b"\r\n")
    return await exchange(pod, good + line + b"\r\n\r\n", within_s=5)


@pytest.fixture(scope="module")
async def bad_tokens(people: People, sign_in: SignIn) -> dict[str, str]:
    """Each row's token; what is changed is the only thing that is wrong."""
    cat = await sign_in("cat")
    forge = Forge(people, cat.id, cat.person.session_id)
    tokens = {row: forge(**change) for row, change in CHANGES.items()} | TEXTS
    tokens["W46 tampered"] = cat.person.token[:-8] + "AAAAAAAA"
    dan = await sign_in("dan")
    await dan.post("/auth/logout", {"refreshToken": dan.person.refresh_token})
    tokens["W46 revoked"] = dan.person.token
    tokens["W46 revoked, written otherwise"] = dan.person.token + "="
    return tokens


# Told to whoever holds what our own key has signed; everybody else learns one and the same.
REASONS = {
    "W46 future iat": "This token is not valid yet: its issuer's clock is ahead.",
    "W46 revoked": "This session has ended.",
    "W46 revoked, written otherwise": "This session has ended.",
}
ROWS = [*CHANGES, *TEXTS, "W46 tampered", "W46 revoked", "W46 revoked, written otherwise"]


@pytest.mark.parametrize("row", ROWS)
async def test_a_bad_token_gets_no_socket(pod: Pod, bad_tokens: dict[str, str], row: str):
    """401 at the handshake, 4001 after an `auth` frame: the same words, whatever was forged."""
    token, words = bad_tokens[row], REASONS.get(row, "Not signed in")
    before = len(pod.log())
    reply = await header_of(pod, token)
    assert (reply.status, reply.json["code"]) == (401, "unauthorized")
    assert reply.json["detail"] == words
    assert reply.headers["www-authenticate"] == "Bearer"
    is_safe_refusal(reply)
    code, frames = await frames_of(pod, token)
    assert (code, [f["code"] for f in frames]) == (4001, ["unauthorized"])
    assert frames[0]["message"] == words
    if token:
        assert token not in pod.log()[before:]


@pytest.mark.parametrize(("size", "code"), [(60_000, 4001), (100_000, 1009), (1_000_000, 1009)])
async def test_w46_a_long_token_in_a_frame_is_none(pod: Pod, size: int, code: int):
    """Up to the limit of a frame it is read and refused; beyond, nothing of it is kept."""
    closed, _ = await frames_of(pod, "x" * size)
    assert closed == code


async def test_w46_an_expired_token_asks_for_a_refresh(pod: Pod, people: People, ann: Caller):
    """The one that is told apart: `token_expired`, 4202."""
    token = people.tokens.sign(ann.id, ann.person.session_id, time.time() - 2000)
    reply = await header_of(pod, token)
    assert (reply.status, reply.json["code"]) == (401, "token_expired")
    code, frames = await frames_of(pod, token)
    assert (code, [f["code"] for f in frames]) == (4202, ["token_expired"])
