"""What two people do with a chat, whichever server it is in: each step asserts its answer."""

import re
import secrets

import asyncpg
import httpx2
from websockets.exceptions import InvalidStatus

from tests.embedding.outer import Outer
from tests.people import People, Person
from tests.sockets import Wire, wire

PROBLEM = "application/problem+json"


async def new_channel(http: httpx2.AsyncClient, *people: Person) -> int:
    """A channel of these people, made by the first."""
    body = {"name": "x", "type": "public", "members": [p.id for p in people[1:]]}
    made = await http.post("/channels", json=body, headers=people[0].headers)
    assert made.status_code == 201, made.text
    channel: int = made.json()["id"]
    return channel


async def follow(socket: Wire, channel: int, cursor: int | None) -> None:
    """Subscribe from a cursor on."""
    answer = await socket.ask({"t": "sub", "ref": "sub", "ch": {str(channel): cursor}})
    assert answer["t"] == "ok", answer


async def say(socket: Wire, channel: int, content: str) -> int:
    """Send, and wait for the ack; the seq."""
    await socket.send({"t": "send", "ref": "say", "ch": channel, "content": content})
    ack = (await socket.until(ref="say"))[-1]
    assert ack["t"] == "ack", ack
    seq: int = ack["seq"]
    return seq


async def talk(server: Outer) -> None:
    """Sign up, REST with its errors, two sockets, delivery, and coming back by a cursor."""
    async with (
        People(server.database_url) as people,
        httpx2.AsyncClient(base_url=server.url, timeout=20) as http,
    ):
        ann, bob = await people.new("ann"), await people.new("bob")
        await _rest(http)
        channel = await new_channel(http, ann, bob)
        async with (
            wire(server.ws_url, ann) as a,
            wire(server.ws_url, subprotocols=["rtchat.v1"]) as b,
        ):
            hello = await b.ask({"t": "auth", "ref": None, "token": bob.token})
            assert (hello["t"], b.socket.subprotocol) == ("hello", "rtchat.v1")
            await follow(a, channel, None)
            await follow(b, channel, None)
            seq = await say(a, channel, "one")
            for each in (a, b):
                assert (await each.until(t="msg"))[-1]["content"] == "one"
        async with wire(server.ws_url, ann) as a:
            last = await say(a, channel, "two")
        async with wire(server.ws_url, bob) as b:
            await follow(b, channel, seq)
            assert [(await b.recv())["seq"]] == [last]
        await _refusals(server)


async def _rest(http: httpx2.AsyncClient) -> None:
    assert (await http.get("/readyz")).json() == {"status": "ready"}
    email = f"{secrets.token_hex(4)}@example.org"
    account = {"email": email, "password": "correct horse battery"}
    made = await http.post("/auth/register", json=account)
    assert made.status_code == 201, made.text
    assert "; Path=/;" in made.headers["set-cookie"]
    unknown = await http.get("/nowhere")
    assert (unknown.status_code, unknown.headers["content-type"]) == (404, PROBLEM)
    assert (await http.get("/users/me")).json()["code"] == "unauthorized"
    assert (await http.get("/ws")).status_code == 426
    page = await http.get("/docs")  # which loads what it needs, wherever it is mounted
    links = re.findall(r'(?:src|href)="([^#"]+)"', page.text)
    answers = [await http.get(page.url.join(link)) for link in links]
    assert {answer.status_code for answer in answers} == {200}


async def _refusals(server: Outer) -> None:
    """Handshakes are refused with the reason, as problems."""
    bad_token = {"Authorization": "Bearer bad"}
    foreign = {"Origin": "https://elsewhere.example"}
    assert await refused(server.ws_url, bad_token) == (401, PROBLEM)
    assert await refused(server.ws_url, foreign) == (403, PROBLEM)
    assert await refused(f"{server.ws_url}/further", {}) == (404, PROBLEM)
    async with wire(server.ws_url) as socket:
        await socket.send({"t": "auth", "ref": 1, "token": "bad"})
        assert (await socket.closed())[0] == 4001


async def refused(ws_url: str, headers: dict[str, str]) -> tuple[int, str | None]:
    """The status and the kind of body with which a handshake is refused."""
    try:
        async with wire(ws_url, additional_headers=headers):
            raise AssertionError("it was let in")
    except InvalidStatus as error:
        return error.response.status_code, error.response.headers.get("content-type")


async def talk_to_the_end(server: Outer, within_s: float = 10.0) -> None:
    """SIGTERM between a burst of writes and the end of their acks.

    Sockets close with 1012 and the log is clean. Whoever comes back with its nonces finds that each
    acked message is stored once, and no other is stored twice.
    """
    async with (
        People(server.database_url) as people,
        httpx2.AsyncClient(base_url=server.url, timeout=20) as http,
    ):
        ann = await people.new("ann")
        channel = await new_channel(http, ann)
        async with wire(server.ws_url, ann) as socket, wire(server.ws_url) as guest:
            for i in range(40):
                frame = {"t": "send", "ref": i, "ch": channel, "content": "x", "nonce": f"{i}"}
                await socket.send(frame)
            frames = [await socket.recv()]
            await server.stop(within_s)
            code, rest = await socket.closed()
            assert code == (await guest.closed())[0] == 1012
        acked = [(f["ref"], f["seq"]) for f in [*frames, *rest]]
        assert {f["t"] for f in [*frames, *rest]} == {"ack"}
    stored = await log_of(server.database_url, channel)
    assert [seq for _, seq in stored] == list(range(1, len(stored) + 1))
    assert set(acked) <= {(int(nonce), seq) for nonce, seq in stored}


async def log_of(database_url: str, channel: int) -> list[tuple[str, int]]:
    """What is stored of a channel: nonces with their seqs."""
    connection = await asyncpg.connect(database_url)
    try:
        rows = await connection.fetch(
            "SELECT nonce, seq FROM messages WHERE channel_id = $1 ORDER BY seq", channel
        )
    finally:
        await connection.close()
    return [(row["nonce"], row["seq"]) for row in rows]
