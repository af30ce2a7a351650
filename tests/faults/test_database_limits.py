"""F25, F26, F27 and a frozen start: a database that answers, and cannot do what it is asked.

What cannot be stored is refused as `unavailable`, to be tried again; reading and live delivery go
on; and when the cause is gone, all works again without a restart of anything.
"""

import asyncio
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import pytest
from asyncpg import exceptions as pg

from rtchat.server.postgres import EmbeddedPostgres
from tests.contract.rest import problem
from tests.people import People, Person
from tests.pods import Pod, Pods
from tests.services import Databases, temporary_directory
from tests.sockets import Wire, wire

BACK_S = 15.0  # mostly below one second
SETTINGS: dict[str, Any] = {
    "lanes": 2,
    "pool_max": 4,
    "head_check_ms": 300,
    "acquire_timeout_ms": 500,
    "sends_per_second": 0,
}
SEGMENT_BYTES = 17 << 20  # more than one file of the write-ahead log, which must go on
FILLER_ROWS = 10_000
LONG = "x" * 1500  # no page of the filled table has room for it


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    with temporary_directory() as directory:
        yield directory


@pytest.fixture(scope="module")
def server(directory: Path) -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL with few connections that may be frozen, filled and set to read only."""
    with EmbeddedPostgres(directory / "data", {"max_connections": "25"}) as server:
        yield server


@pytest.fixture(scope="module")
def databases(server: EmbeddedPostgres) -> Iterator[Databases]:
    source = Databases(server.url)
    yield source
    source.close()


@pytest.fixture
async def pod(database_url: str, pods: Pods) -> AsyncIterator[Pod]:
    pod = await pods.start(database_url, **SETTINGS)
    yield pod
    pod.kill()


@pytest.fixture
async def person(database_url: str) -> Person:
    async with People(database_url) as people:
        return await people.new("ann")


@pytest.fixture
async def admin(server: EmbeddedPostgres) -> AsyncIterator[asyncpg.Connection]:
    """An operator's connection, which can write whatever the default is."""
    settings = {"default_transaction_read_only": "off"}
    connection = await asyncpg.connect(server.url, server_settings=settings)
    yield connection
    await connection.close()


class Talk:
    """Somebody in a channel: REST, and a live socket."""

    def __init__(self, http: httpx2.AsyncClient, socket: Wire, channel: int) -> None:
        self.http = http
        self.socket = socket
        self.channel = channel

    async def send(self, content: str) -> dict[str, Any]:
        """Send over the socket; returns the answer, an ack or an error."""
        ref = secrets.token_hex(4)
        await self.socket.send({"t": "send", "ref": ref, "ch": self.channel, "content": content})
        return (await self.socket.until(ref=ref))[-1]

    async def refused(self, content: str) -> None:
        """Check that nothing can be stored now, over socket and REST, and that this passes."""
        answer = await self.send(content)
        assert (answer.get("code"), answer.get("retry")) == ("unavailable", True), answer
        path = f"/channels/{self.channel}/messages"
        problem(await self.http.post(path, json={"content": content}), "unavailable")

    async def reads(self, least: int) -> None:
        """Check that history is there, over REST and by catching up."""
        page = await self.http.get(f"/channels/{self.channel}/messages?limit=1&after=0")
        assert page.status_code == 200, page.text
        assert page.json()["items"][0]["seq"] == 1
        ch = {str(self.channel): 0}
        await self.socket.send({"t": "sub", "ref": "again", "ch": ch})
        await self.socket.until(ref="again")
        await self.socket.until(seq=least)

    async def works_again(self, content: str) -> None:
        """Wait until a send is stored; it is delivered on the socket that was there all along."""
        async with asyncio.timeout(BACK_S):
            while (answer := await self.send(content))["t"] != "ack":
                await asyncio.sleep(0.05)
        assert (await self.socket.until(seq=answer["seq"]))[-1]["content"] == content


@asynccontextmanager
async def talking(pod: Pod, person: Person) -> AsyncIterator[Talk]:
    async with (
        httpx2.AsyncClient(base_url=pod.url, timeout=20, headers=person.headers) as http,
        wire(pod.ws_url, person) as socket,
    ):
        made = await http.post("/channels", json={"name": "c", "type": "public"})
        talk = Talk(http, socket, made.json()["id"])
        await socket.send({"t": "sub", "ref": "sub", "ch": {str(talk.channel): 0}})
        await socket.until(ref="sub")
        assert (await talk.send("first"))["t"] == "ack"
        await socket.until(seq=1)
        yield talk
        assert "Traceback" not in pod.log()


# --- F26: it cannot be written


async def test_a_database_that_turns_read_only(
    pod: Pod, person: Person, admin: asyncpg.Connection
) -> None:
    """While its sessions live: sends are refused, reads go on, and it works again by itself."""
    async with talking(pod, person) as talk:
        await admin.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        await admin.execute("SELECT pg_reload_conf()")
        try:
            async with asyncio.timeout(BACK_S):
                while (await talk.send("not yet read only?"))["t"] == "ack":
                    await asyncio.sleep(0.02)
            await talk.refused("refused")
            await talk.reads(1)
            await asyncio.sleep(2 * SETTINGS["head_check_ms"] / 1000)  # heads are looked at
            await talk.reads(1)
        finally:
            await admin.execute("ALTER SYSTEM RESET default_transaction_read_only")
            await admin.execute("SELECT pg_reload_conf()")
        await talk.works_again("back")


async def test_connections_to_the_primary_of_yesterday(
    pod: Pod, person: Person, admin: asyncpg.Connection, database_url: str
) -> None:
    """After a failover: sessions that will never write again are given up for new ones."""
    name = database_url.rpartition("/")[2]
    async with talking(pod, person) as talk:
        await admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        await cut(admin, name)  # what comes now stays read-only for as long as it lives
        await unavailable_soon(talk)
        await talk.refused("refused")
        async with asyncio.timeout(BACK_S):
            while (await talk.http.get("/channels")).status_code != 200:
                await asyncio.sleep(0.05)
        await talk.reads(1)
        await admin.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
        await talk.works_again("back")
        made = await talk.http.post("/channels", json={"name": "x", "type": "public"})
        if made.status_code != 201:  # the pool meets its stale connection once
            problem(made, "unavailable")
            made = await talk.http.post("/channels", json={"name": "x", "type": "public"})
        assert made.status_code == 201


async def cut(admin: asyncpg.Connection, name: str, application: str = "rtchat%") -> None:
    await admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = $1 AND application_name LIKE $2",
        name,
        application,
    )


async def unavailable_soon(talk: Talk) -> None:
    async with asyncio.timeout(BACK_S):
        while (await talk.send("?"))["t"] == "ack":
            await asyncio.sleep(0.02)


# --- F27: it has no connection left


async def test_no_free_connection_left(
    pod: Pod, person: Person, admin: asyncpg.Connection, server: EmbeddedPostgres, database_url: str
) -> None:
    """Reads are refused in time; the lanes have connections of their own, so acks and live
    delivery go on."""
    name = database_url.rpartition("/")[2]
    async with talking(pod, person) as talk, AsyncExitStack() as crowd:
        await cut(admin, name, "rtchat")  # the pool's; it comes back for the head check, or tries
        async with asyncio.timeout(BACK_S):
            # A slot is free a moment after its connection is gone from the list: see that it holds.
            while (
                await take_all(server, crowd)
                or await connected(admin, name)
                or (await talk.http.get("/channels")).status_code == 200
            ):
                await cut(admin, name, "rtchat")
        for path in ("/channels", f"/channels/{talk.channel}/messages"):
            started = time.monotonic()
            answer = await talk.http.get(path)
            problem(answer, "unavailable")
            assert answer.headers["retry-after"]
            assert time.monotonic() - started < 5
        for number in (2, 3, 4):
            assert (await talk.send(f"m{number}"))["seq"] == number
        assert [frame["content"] for frame in await talk.socket.until(seq=4)][-1] == "m4"
        await crowd.aclose()
        async with asyncio.timeout(BACK_S):
            while (await talk.http.get("/channels")).status_code != 200:
                await asyncio.sleep(0.05)
        await talk.reads(4)


async def take_all(server: EmbeddedPostgres, crowd: AsyncExitStack) -> int:
    """Take every connection that there is; returns how many that were."""
    taken = 0
    while True:
        try:
            connection = await asyncpg.connect(server.url)
        except pg.TooManyConnectionsError:
            return taken
        crowd.push_async_callback(connection.close)
        taken += 1


async def connected(admin: asyncpg.Connection, name: str) -> int:
    """How many connections the pod's pool has."""
    found: int = await admin.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND application_name = 'rtchat'",
        name,
    )
    return found


# --- F25: it has no room left


async def test_a_disk_that_is_full(
    pod: Pod, person: Person, database_url: str, directory: Path, server: EmbeddedPostgres
) -> None:
    """No space left on the device (53100); room is made, and sends go on."""
    space = directory / "space"
    with small_disk(space, server.pid):
        (space / "ballast").write_bytes(bytes(15 << 19))  # half a megabyte is left
        connection = await asyncpg.connect(database_url)
        await connection.execute(f"CREATE TABLESPACE small LOCATION '{space}'")
        await connection.execute("ALTER TABLE messages SET TABLESPACE small")
        async with talking(pod, person) as talk:
            await fill(talk)
            (space / "ballast").unlink()
            await talk.works_again(LONG)
        pod.kill()
        await connection.execute("ALTER TABLE messages SET TABLESPACE pg_default")
        await connection.execute("DROP TABLESPACE small")
        await connection.close()


@pytest.mark.skipif(shutil.which("prlimit") is None, reason="prlimit (util-linux) is not here")
async def test_a_file_that_may_not_grow(
    pod: Pod, person: Person, database_url: str, server: EmbeddedPostgres
) -> None:
    """A limit on the size of files (EFBIG, which PostgreSQL calls an internal error)."""
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        "INSERT INTO messages (channel_id, seq, kind, user_id, content, timestamp, nonce)"
        " SELECT 999999, n, 1, 1, repeat('x', 1900), now(), n::text"
        f" FROM generate_series(1, {FILLER_ROWS}) n"
    )
    await connection.execute("CHECKPOINT")  # later writes to what is there stay below the limit
    size = await connection.fetchval("SELECT pg_relation_size('messages')")
    assert size > SEGMENT_BYTES
    async with talking(pod, person) as talk:
        limit_files(server, str(size))
        try:
            await fill(talk)
        finally:
            limit_files(server, "unlimited")
        await talk.works_again(LONG)
    await connection.close()


async def fill(talk: Talk) -> None:
    """Send until there is no room; then check what goes on."""
    stored = 1
    async with asyncio.timeout(BACK_S):
        while (await talk.send(LONG))["t"] == "ack":
            stored += 1
    await talk.refused(LONG)
    await talk.reads(stored)


def limit_files(server: EmbeddedPostgres, size: str) -> None:
    """Let no process of the server's write files beyond this; its sessions to come inherit it."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    owner = Path(f"/proc/{server.pid}").stat()  # root may not do it without CAP_SYS_RESOURCE
    who: dict[str, Any] = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
    for pid in (str(server.pid), *children):
        command = ["prlimit", "--pid", pid, f"--fsize={size}:"]
        subprocess.run(command, check=True, cwd="/", **(who if os.getuid() == 0 else {}))


@contextmanager
def small_disk(space: Path, pid: int) -> Iterator[None]:
    """A file system of 8 MB, of the one whose process that is."""
    space.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(space)]
    if os.getuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount a small file system")
    owner = Path(f"/proc/{pid}").stat()
    os.chown(space, owner.st_uid, owner.st_gid)
    space.chmod(0o700)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(space)], check=True)


# --- frozen


async def test_a_pod_starts_while_its_database_is_frozen(
    database_url: str, person: Person, server: EmbeddedPostgres, pods: Pods
) -> None:
    """SIGSTOP: connected, and no answer. It listens all the same, and serves after SIGCONT."""
    server.send_signal(signal.SIGSTOP)
    try:
        pod = await pods.start(database_url, **SETTINGS)
        async with httpx2.AsyncClient(base_url=pod.url, timeout=20) as http:
            assert (await http.get("/healthz")).status_code == 200
            problem(await http.get("/readyz"), "unavailable")
    finally:
        server.send_signal(signal.SIGCONT)
    async with asyncio.timeout(BACK_S), httpx2.AsyncClient(base_url=pod.url, timeout=20) as http:
        while (await http.get("/readyz")).status_code != 200:
            await asyncio.sleep(0.02)
    async with talking(pod, person) as talk:
        await talk.reads(1)
    pod.kill()
