"""Getting a socket: tokens, origins, deadlines (contract §3)."""

import time

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from rtchat.auth.tokens import Tokens
from rtchat.config import Config
from tests.people import People
from tests.pods import SECRET_KEY, Pod, Pods
from tests.sockets import wire

pytestmark = pytest.mark.usefixtures("calm")


def signed(person_id: int, session_id: int, now: float) -> str:
    return Tokens(Config(secret_key=SECRET_KEY)).sign(person_id, session_id, now)


async def refused(url: str, **options: object) -> int:
    with pytest.raises(InvalidStatus) as error:
        async with connect(url, proxy=None, **options):  # type: ignore[arg-type]
            pass
    return error.value.response.status_code


async def test_hello_tells_who_until_when_and_the_limits(pod: Pod, people: People) -> None:
    """`hello` comes once, first, after a token in the header."""
    ann = await people.new("ann")
    async with wire(pod.ws_url, None, additional_headers=ann.headers) as socket:
        hello = await socket.recv()
    assert hello.pop("epoch")
    assert 800 < hello.pop("exp") - time.time() < 930
    assert hello.pop("user").items() >= {"id": ann.id, "name": "ann", "email": ann.email}.items()
    assert hello == {
        "t": "hello",
        "session": str(ann.session_id),
        "heartbeat": 25,
        "limits": {
            "frameBytes": 65536,
            "contentChars": 4000,
            "subs": 1000,
            "sendsPerSecond": 20,
        },
    }


async def test_the_token_may_come_in_the_first_frame(pod: Pod, people: People) -> None:
    """A browser cannot set headers: `auth` within the deadline, answered by `hello`."""
    ann = await people.new("ann")
    async with wire(pod.ws_url) as socket:
        await socket.send({"t": "auth", "ref": 1, "token": ann.token})
        assert (await socket.recv())["t"] == "hello"
        await socket.alive()


@pytest.mark.parametrize(
    "authorization", ["Bearer nonsense", "Bearer ", "Basic YTpi", "Bearer a.b.c", "nonsense"]
)
async def test_a_bad_header_is_refused_before_the_upgrade(pod: Pod, authorization: str) -> None:
    """401, and no socket."""
    headers = {"Authorization": authorization}
    assert await refused(pod.ws_url, additional_headers=headers) == 401


async def test_a_refusal_is_no_failure_of_ours(pod: Pod) -> None:
    """Anybody may be refused as often as they like: the log has no error, and no traceback."""
    before = len(pod.log())
    assert await refused(pod.ws_url, additional_headers={"Authorization": "Bearer x"}) == 401
    await refused(pod.url.replace("http", "ws") + "/nowhere")
    said = pod.log()[before:]
    assert '"level":"error"' not in said
    assert "Traceback" not in said


async def test_an_ended_session_is_refused(pod: Pod, people: People) -> None:
    """A good signature does not help after the logout."""
    ann = await people.new("ann")
    stranger = signed(ann.id, 10**9, time.time())
    headers = {"Authorization": f"Bearer {stranger}"}
    assert await refused(pod.ws_url, additional_headers=headers) == 401


@pytest.mark.parametrize(
    ("first", "code"),
    [
        ('{"t":"auth","token":"nonsense"}', "unauthorized"),
        ('{"t":"ping","ref":1}', "unauthorized"),
        ('{"t":"auth"}', "bad_field"),
        ("nonsense", "bad_json"),
        ('{"t":"what"}', "unknown_type"),
    ],
)
async def test_a_first_frame_that_does_not_sign_in_closes(pod: Pod, first: str, code: str) -> None:
    """4001, with the reason before it."""
    async with wire(pod.ws_url) as socket:
        await socket.send(first)
        closed, frames = await socket.closed()
    assert closed == 4001
    assert [f["code"] for f in frames] == [code]


@pytest.mark.parametrize("ref", [7, "seven", None])
async def test_what_refuses_the_first_frame_has_its_ref(pod: Pod, ref: int | str | None) -> None:
    """As in every answer."""
    for first in ({"t": "auth", "ref": ref, "token": "x"}, {"t": "ping", "ref": ref}, {"ref": ref}):
        async with wire(pod.ws_url) as socket:
            await socket.send(first)
            _, frames = await socket.closed()
        assert [frame["ref"] for frame in frames] == [ref]


async def test_an_expired_token_says_so(pod: Pod, people: People) -> None:
    """4202 (refresh, then come back), or 401 in the handshake; within the leeway it is good."""
    ann = await people.new("ann")
    old = signed(ann.id, ann.session_id, time.time() - 1000)
    async with wire(pod.ws_url) as socket:
        await socket.send({"t": "auth", "token": old})
        closed, frames = await socket.closed()
    assert (closed, frames[0]["code"]) == (4202, "token_expired")
    assert await refused(pod.ws_url, additional_headers={"Authorization": f"Bearer {old}"}) == 401


async def test_a_token_in_the_url_is_no_token(pod: Pod, people: People) -> None:
    """URLs are logged everywhere; and nothing of this one stands in our log."""
    ann = await people.new("ann")
    async with wire(f"{pod.ws_url}?token={ann.token}") as socket:
        await socket.send({"t": "ping"})
        assert (await socket.closed())[0] == 4001
    assert ann.token not in pod.log()


async def test_a_silent_socket_is_closed_at_the_deadline(pods: Pods, pod: Pod) -> None:
    """4001 when no `auth` comes in time."""
    hasty = await pods.start(pod.database_url, auth_deadline_ms=200)
    async with wire(hasty.ws_url) as socket:
        began = time.monotonic()
        assert (await socket.closed())[0] == 4001
        assert 0.1 < time.monotonic() - began < 3
    hasty.stop()


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "http://127.0.0.1",
        "http://127.0.0.1.evil.example",
        "http://127.0.0.1:{port}.",
        "HTTP://127.0.0.1:{port}",
        "",
    ],
)
async def test_a_foreign_page_gets_no_socket(pod: Pod, people: People, origin: str) -> None:
    """403 for every Origin that is not exactly the server's own or on the list."""
    ann = await people.new("ann")
    headers = {**ann.headers, "Origin": origin.format(port=pod.port)}
    assert await refused(pod.ws_url, additional_headers=headers) == 403


async def test_the_own_page_and_listed_ones_may_connect(
    pods: Pods, pod: Pod, people: People
) -> None:
    """Its own host is allowed, and what RTCHAT_ORIGINS lists."""
    ann = await people.new("ann")
    other = await pods.start(pod.database_url, origins="https://chat.example, https://b.example")
    own = [f"{scheme}://127.0.0.1:{other.port}" for scheme in ("http", "https")]
    for origin in (*own, "https://chat.example", "https://b.example"):
        headers = {**ann.headers, "Origin": origin}
        async with wire(other.ws_url, additional_headers=headers) as socket:
            assert (await socket.recv())["t"] == "hello"
    other.stop()


async def test_the_subprotocol_is_optional(pod: Pod, people: People) -> None:
    """Offered, `rtchat.v1` is chosen; others are not; none is fine."""
    ann = await people.new("ann")
    for offered, chosen in (
        (["rtchat.v1"], "rtchat.v1"),
        (["x", "rtchat.v1"], "rtchat.v1"),
        (None, None),
    ):
        async with wire(pod.ws_url, ann, subprotocols=offered) as socket:
            assert socket.socket.subprotocol == chosen


async def test_only_ws_has_a_socket(pod: Pod, people: People) -> None:
    """404 on every other path, a trailing slash included."""
    ann = await people.new("ann")
    for path in ("/", "/ws/", "/wss", "/users/me"):
        url = pod.ws_url.removesuffix("/ws") + path
        assert await refused(url, additional_headers=ann.headers) == 404
