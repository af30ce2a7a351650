"""F49: a pod starts whatever its database and its Redis are up to, and serves once they are there.

What only an operator can mend ends the start instead (`tests/cli/test_serving.py`), if it shows in
time.
"""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import httpx2
import pytest
from websockets.exceptions import InvalidStatus

from rtchat.server.launch import free_port
from rtchat.server.valkey import PrivateValkey
from tests.contract.rest import problem
from tests.faults.gate import Gate, State
from tests.people import People, Person
from tests.pods import Pod, Pods
from tests.services import Given
from tests.sockets import wire

SOON_S = 8.0  # "a second or so", on two cores that others use as well


@pytest.fixture
async def person(database_url: str) -> Person:
    async with People(database_url) as people:
        return await people.new("ann")


@asynccontextmanager
async def asking(pod: Pod, person: Person) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=pod.url, timeout=20, headers=person.headers) as http:
        yield http


async def waits(pod: Pod, person: Person) -> None:
    """Alive, not ready, and everything else is `unavailable` for the moment."""
    async with asking(pod, person) as http:
        assert (await http.get("/healthz")).status_code == 200
        problem(await http.get("/readyz"), "unavailable")
        problem(await http.get("/users/me"), "unavailable")
        login = {"email": "ann@example.org", "password": "correct horse"}
        problem(await http.post("/auth/login", json=login, headers={}), "unavailable")
    with pytest.raises(InvalidStatus) as refused:
        async with wire(pod.ws_url, person):
            pass
    assert refused.value.response.status_code == 503
    async with wire(pod.ws_url) as socket:
        answer = await socket.ask({"t": "auth", "ref": None, "token": person.token})
        assert (answer["code"], answer["retry"]) == ("unavailable", True)
        assert (await socket.closed())[0] == 4101


async def serves(pod: Pod, person: Person) -> None:
    """Ready, and a message goes its way."""
    async with asking(pod, person) as http:
        while (await http.get("/readyz")).status_code != 200:
            await asyncio.sleep(0.02)
        made = await http.post("/channels", json={"name": "c", "type": "public"})
        channel = made.json()["id"]
    async with wire(pod.ws_url, person) as socket:
        await socket.ask({"t": "sub", "ref": 1, "ch": {str(channel): 0}})
        answer = await socket.ask({"t": "send", "ref": 2, "ch": channel, "content": "hi"})
        assert (answer["t"], answer["seq"]) == ("ack", 1)
        assert (await socket.recv())["content"] == "hi"


@pytest.mark.parametrize("state", [State.SHUT, State.SILENT, State.STARTING])
async def test_a_pod_starts_without_its_database(
    state: State, database_url: str, person: Person, pods: Pods
) -> None:
    """It listens and says so; once the database answers, all is there within a second or so."""
    async with Gate(database_url, state) as gate:
        pod = await pods.start(gate.url)
        await waits(pod, person)
        await gate.turn(State.OPEN)
        async with asyncio.timeout(SOON_S):
            await serves(pod, person)
        assert [line["reason"] for line in pod.events("the start waits for the database")]
        assert "Traceback" not in pod.log()
        assert pod.stop() == 0


async def test_a_host_that_has_no_address_yet(person: Person, pods: Pods) -> None:
    """A name that is not in the DNS is waited for as well; SIGTERM ends the waiting."""
    pod = await pods.start("postgresql://rtchat:x@nowhere.invalid/rtchat", tls_required=0)
    await waits(pod, person)
    assert pod.stop() == 0


async def test_neither_database_nor_redis(
    database_url: str, valkey: PrivateValkey | Given, person: Person, pods: Pods
) -> None:
    """First one comes, then the other; the database is what is needed to serve."""
    async with Gate(database_url) as gate, Gate(valkey.url) as redis:
        pod = await pods.start(gate.url, redis_urls=redis.url)
        await waits(pod, person)
        await gate.turn(State.OPEN)
        async with asyncio.timeout(SOON_S):
            await serves(pod, person)
        assert not pod.events("bus link up")
        await redis.turn(State.OPEN)
        async with asyncio.timeout(SOON_S):
            while not pod.events("bus link up"):
                await asyncio.sleep(0.05)
        assert pod.stop() == 0


async def test_redis_alone_is_no_reason_to_wait(
    database_url: str, person: Person, pods: Pods
) -> None:
    """Acks and same-pod delivery go on without it."""
    pod = await pods.start(database_url, redis_urls=f"redis://127.0.0.1:{free_port()}")
    async with asyncio.timeout(SOON_S):
        await serves(pod, person)
    assert pod.stop() == 0


async def test_a_missing_schema_that_shows_late_is_waited_for(
    database_url: str, person: Person, pods: Pods
) -> None:
    """Nobody is told by an exit status any more: not ready, an error, and no restart needed."""
    connection = await asyncpg.connect(database_url)
    await connection.execute("ALTER SCHEMA public RENAME TO aside; CREATE SCHEMA public")
    async with Gate(database_url) as gate:
        pod = await pods.start(gate.url)
        await gate.turn(State.OPEN)
        async with asyncio.timeout(SOON_S):
            while not any("rtchat migrate" in line.get("reason", "") for line in pod.events()):
                await asyncio.sleep(0.05)
        await waits(pod, person)
        await connection.execute("DROP SCHEMA public; ALTER SCHEMA aside RENAME TO public")
        await connection.close()
        async with asyncio.timeout(SOON_S):
            await serves(pod, person)
        assert pod.stop() == 0


async def test_sigterm_ends_a_start_that_waits(database_url: str, pods: Pods) -> None:
    """Before it listens, too: while the first answer is waited for."""
    async with Gate(database_url, State.SILENT) as gate:
        pod = pods.spawn(gate.url)
        while not gate.met:
            await asyncio.sleep(0.02)
        pod.signal(signal.SIGTERM)
        started = time.monotonic()
        assert await pod.ended() == 0
        assert time.monotonic() - started < SOON_S
