"""S-39, S-40, S-63: after a whole day's doings, no secret and no word of anybody is in the log.

At the level `debug`, where libraries speak too: registering, signing in and failing to, sockets by
header, by frame and with a token in the URL, messages, edits, searches, and everything that is
refused with what was sent in it.
"""

import base64
import json
import re
import secrets
from collections.abc import AsyncIterator

import asyncpg
import httpx2
import pytest

from tests.contract.rest import JSON, Caller, exchange, request
from tests.people import Person
from tests.pods import Pod, Pods
from tests.raw import BINARY, TEXT, frame, handshake, raw
from tests.sockets import wire

EMAIL = f"someone-{secrets.token_hex(4)}@example.org"
PASSWORD = f"Correct-Horse-{secrets.token_hex(6)}"
WRONG = f"Wrong-Horse-{secrets.token_hex(6)}"
CONTENT = f"the words of a message {secrets.token_hex(6)}"
SEARCH = f"looked-for-{secrets.token_hex(6)}"
FORGED = f'x\r\n{{"level":"error","event":"forged-{secrets.token_hex(6)}"}}'
JWT = re.compile(r"eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{10,}")


@pytest.fixture(scope="module")
async def talkative(module_database_url: str, pods: Pods) -> AsyncIterator[Pod]:
    """A pod that tells all that it can."""
    pod = await pods.start(module_database_url, log_level="debug")
    yield pod
    pod.kill()


async def sessions(http: httpx2.AsyncClient) -> list[JSON]:
    """Register, sign in, fail to, refresh, and use a refresh token twice."""
    good = {"email": EMAIL, "password": PASSWORD}
    opened = [(await http.post("/auth/register", json=good | {"name": "Ann"})).json()]
    opened.append((await http.post("/auth/login", json=good)).json())
    assert (await http.post("/auth/login", json=good | {"password": WRONG})).status_code == 401
    assert (await http.post("/auth/register", json=good)).status_code == 409
    assert (await http.post("/auth/login", content=json.dumps(good))).status_code == 415
    for _ in range(2):
        answer = await http.post("/auth/refresh", json={"refreshToken": opened[0]["refreshToken"]})
        opened += [answer.json()] if answer.status_code == 200 else []
    assert len(opened) == 3
    return opened


async def talk(pod: Pod, ann: Caller) -> None:
    """Say things, over REST and a socket."""
    channel = await ann.makes()
    said = await ann.says(channel, CONTENT, nonce="n1")
    path = f"/channels/{channel['id']}/messages"
    await ann.patch(f"{path}/{said['seq']}", {"content": f"{CONTENT}!"})
    await ann.post(path, {"content": CONTENT * 300})
    await ann.get("/users", q=SEARCH)
    await ann.get(f"/users/{SEARCH}")
    await ann.patch("/users/me", {"name": FORGED, "status": FORGED})
    async with wire(pod.ws_url, ann.person) as socket:
        await socket.ask({"t": "sub", "ref": 1, "ch": {str(channel["id"]): 0}})
        await socket.send({"t": "send", "ref": 2, "ch": channel["id"], "content": CONTENT})
        await socket.send({"t": "send", "ref": 3, "ch": 1, "content": [CONTENT]})
        await socket.send(CONTENT)
        await socket.until(code="bad_json")


async def mislay(pod: Pod, token: str) -> None:
    """Leave a token wherever people leave them, and send what is no text."""
    for line in (f"GET /users/me?access_token={token} HTTP/1.1", f"GET /ws?token={token} HTTP/1.1"):
        await exchange(pod, request(line))
    async with wire(f"{pod.ws_url}?token={token}") as socket:
        await socket.send({"t": "auth", "token": f"{token}x"})
        await socket.closed()
    async with wire(pod.ws_url) as socket:
        await socket.send({"t": "auth", "token": token})
        assert (await socket.recv())["t"] == "hello"
        await socket.send({"t": "auth", "ref": token, "token": f"{token}x"})
        await socket.recv()
    bad = [f"Authorization: Bearer {token}x", f"Cookie: token={token}", f"X: {token}\0"]
    for header in bad:
        await exchange(pod, request("GET /users/me HTTP/1.1", header))
        await exchange(pod, handshake(None, header, path=f"/nowhere?{token}"))
    for payload in (frame(TEXT, CONTENT.encode() + b"\xff"), frame(BINARY, CONTENT.encode())):
        async with raw(pod.port) as client:
            await client.send(handshake() + payload)
            await client.rest()


async def test_no_secret_and_no_word_of_anybody_is_in_the_log(talkative: Pod):
    """Nor a password's hash; nor a traceback; and every line is a line of ours."""
    async with httpx2.AsyncClient(base_url=talkative.url, timeout=20) as http:
        opened = await sessions(http)
        last = (await http.post("/auth/login", json={"email": EMAIL, "password": PASSWORD})).json()
        opened.append(last)
        token = last["accessToken"]
        ann = Caller(http, Person(1, "Ann", EMAIL, 1, token, ""))
        await talk(talkative, ann)
        await mislay(talkative, token)
        await http.post("/auth/logout", json={"refreshToken": last["refreshToken"]})
    said = talkative.log()
    assert "Traceback" not in said
    told = [PASSWORD, WRONG, EMAIL, CONTENT, FORGED, "forged"]
    told += [session[kind] for session in opened for kind in ("accessToken", "refreshToken")]
    told += [base64.b64encode(text.encode()).decode() for text in (PASSWORD, CONTENT)]
    told += await stored_secrets(talkative)
    assert [secret for secret in told if secret in said] == []
    assert not JWT.search(said)
    assert f"q={SEARCH}" not in said
    lines = said.splitlines()
    assert len(lines) > 20
    assert all(json.loads(line).keys() >= {"time", "level", "event", "logger"} for line in lines)


async def stored_secrets(pod: Pod) -> list[str]:
    """What the database keeps in place of secrets."""
    connection = await asyncpg.connect(pod.database_url)
    try:
        hashes = await connection.fetch("SELECT password_hash FROM users")
        tokens = await connection.fetch("SELECT token_hash FROM refresh_tokens")
    finally:
        await connection.close()
    assert hashes
    assert tokens
    return [row[0] for row in hashes] + [row[0].hex() for row in tokens]
