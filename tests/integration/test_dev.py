"""`rtchat dev`: one command, data that stays, nothing that runs on."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest

from tests.services import temporary_directory
from tests.sockets import wire

ACCOUNT = {"email": "ann@example.org", "password": "correct horse"}


class Dev:
    """A running `rtchat dev` and what it printed."""

    def __init__(self, data: Path, *options: str) -> None:
        self._log = data.parent / "dev.log"
        clean = {k: v for k, v in os.environ.items() if not k.startswith("RTCHAT_")}
        with self._log.open("w") as output:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "rtchat",
                    "dev",
                    "--port",
                    "0",
                    "--data",
                    str(data),
                    *options,
                ],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=clean,
                start_new_session=True,
            )

    def log(self) -> str:
        return self._log.read_text()

    async def url(self) -> str:
        """Where it says that it is."""
        while "ready after" not in self.log():
            assert self.process.poll() is None, self.log()
            await asyncio.sleep(0.05)
        return self.log().partition("is running on ")[2].split()[0]

    async def ended(self) -> int:
        while (status := self.process.poll()) is None:
            await asyncio.sleep(0.05)
        return status


@pytest.fixture
def data() -> Iterator[Path]:
    with temporary_directory() as directory:
        yield directory / "data"


@contextlib.asynccontextmanager
async def dev(data: Path, *options: str) -> AsyncIterator[tuple[Dev, httpx2.AsyncClient]]:
    running = Dev(data, *options)
    try:
        async with httpx2.AsyncClient(base_url=await running.url(), timeout=20) as http:
            yield running, http
    finally:
        if running.process.poll() is None:
            running.process.kill()
        running.process.wait()


def postgres_of(data: Path) -> list[int]:
    """The processes that work on this directory's database."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it may end while we look
                command = (entry / "cmdline").read_bytes()
                if b"postgres" in command.split(b"\0")[0] and str(data).encode() in command:
                    found.append(int(entry.name))
    return found


async def test_data_stays_over_a_stop_and_a_kill(data: Path) -> None:
    """SIGINT ends it within 10 s with status 0, clients or not; kill -9 leaves nothing running;
    both times the next start finds the account, the secret (an old token works) and every acked
    message."""
    async with dev(data) as (running, http):
        answer = await http.post("/auth/register", json=ACCOUNT)
        assert answer.status_code == 201, answer.text
        headers = {"Authorization": f"Bearer {answer.json()['accessToken']}"}
        body = {"name": "general", "type": "public"}
        channel = (await http.post("/channels", json=body, headers=headers)).json()["id"]
        path = f"/channels/{channel}/messages"
        await http.post(path, json={"content": "before the stop"}, headers=headers)
        ws_url = f"ws://localhost:{http.base_url.port}/ws"
        async with contextlib.AsyncExitStack() as stack:
            sockets = [wire(ws_url, additional_headers=headers) for _ in range(20)]
            opened = [await stack.enter_async_context(socket) for socket in sockets]
            began = time.monotonic()
            running.process.send_signal(signal.SIGINT)
            assert {(await socket.closed())[0] for socket in opened} == {4201}
            assert await running.ended() == 0, running.log()
            assert time.monotonic() - began < 10
    assert postgres_of(data) == []

    async with dev(data) as (running, http):
        contents = [m["content"] for m in (await http.get(path, headers=headers)).json()["items"]]
        assert contents == ["before the stop"]
        for i in range(50):
            sent = await http.post(path, json={"content": f"m{i}"}, headers=headers)
            assert sent.status_code == 201
        running.process.kill()
        running.process.wait()
        while postgres_of(data):
            await asyncio.sleep(0.05)

    async with dev(data) as (running, http):
        page = (await http.get(f"{path}?limit=200", headers=headers)).json()["items"]
        assert [m["content"] for m in page] == ["before the stop", *[f"m{i}" for i in range(50)]]
        assert (await http.post("/auth/login", json=ACCOUNT)).status_code == 200
        running.process.send_signal(signal.SIGTERM)
        assert await running.ended() == 0


async def test_a_second_one_on_the_same_data_says_so(data: Path) -> None:
    """Two servers cannot share a directory; the second ends with status 3 and a reason."""
    async with dev(data):
        second = Dev(data)
        assert await second.ended() == 3
        assert "in use" in second.log() or "already" in second.log(), second.log()
        assert "Traceback" not in second.log()


async def test_a_second_ctrl_c_ends_it_at_once(data: Path) -> None:
    """Two signals in a row: it ends with status 0, stops its database, and shows no traceback."""
    async with dev(data) as (running, _):
        running.process.send_signal(signal.SIGINT)
        running.process.send_signal(signal.SIGINT)
        assert await running.ended() == 0
        assert "Traceback" not in running.log()
    assert postgres_of(data) == []


async def test_several_workers_have_a_redis_of_their_own(data: Path) -> None:
    """As in production, with one word; it is announced once, and ends as one process does."""
    async with dev(data, "--workers", "2") as (running, http):
        answer = await http.post("/auth/register", json=ACCOUNT)
        headers = {"Authorization": f"Bearer {answer.json()['accessToken']}"}
        ws_url = f"ws://localhost:{http.base_url.port}/ws"
        async with wire(ws_url, additional_headers=headers) as socket:
            running.process.send_signal(signal.SIGINT)
            assert (await socket.closed())[0] == 4201
        assert await running.ended() == 0, running.log()
    assert running.log().count("is running on") == 1
    assert running.log().count('"bus":"RedisBus"') == 2
    assert "valkey" in running.log() or "redis-server" in running.log()
    assert "Traceback" not in running.log()
    assert postgres_of(data) == []
