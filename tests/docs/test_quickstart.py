"""docs/quickstart.md, from its first command to its last, as a reader runs them.

The commands are the page's own; only the port is another. What is typed into a terminal and what
comes is compared with what the page shows; `…` and moments stand for anything.
"""

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from rtchat.server.launch import free_port
from tests.docs.fenced import ROOT, blocks
from tests.docs.shells import Bash, Shell, missing
from tests.docs.test_walk import Terminal
from tests.pods import Pod, Pods
from tests.services import temporary_directory

PAGE = "docs/quickstart.md"
URL = "localhost:8000"
PATIENCE_S = 20.0
INSTALL, DEV, ACCOUNTS, ANN_WRITES, BOB_READS, AGAIN, TOKEN, CONNECT = blocks(PAGE, "sh")
TOGETHER, LISTENING = blocks(PAGE, "python")
[TYPED] = blocks(PAGE, "")
# `rtchat` and `python` are those of this environment.
ENVIRONMENT = {
    **{k: v for k, v in os.environ.items() if not k.startswith("RTCHAT_")},
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "PYTHONPATH": str(ROOT),  # of this checkout, whichever is installed
    "PYTHONUNBUFFERED": "1",
}


@contextlib.asynccontextmanager
async def running(
    *command: str, stdin: int | None = None, **more: Any
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that does not outlive the test."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=stdin, stdout=asyncio.subprocess.PIPE, start_new_session=True, **more
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def line_of(process: asyncio.subprocess.Process, with_text: str = "") -> str:
    """The next line that it prints, or the next that has this text."""
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        while True:
            line = (await process.stdout.readline()).decode()
            assert line, f"it has ended before {with_text!r}"
            if with_text in line:
                return line.strip()


def values(output: str) -> list[Any]:
    """Every piece of JSON that was printed, one after the other."""
    decoder, found = json.JSONDecoder(), []
    while output:
        value, end = decoder.raw_decode(output)
        found.append(value)
        output = output[end:].strip()
    return found


def test_it_is_installed_as_the_readme_says() -> None:
    assert f"{INSTALL.strip()} && rtchat dev\n" in blocks("README.md", "sh")
    assert TOKEN == "echo $BOB\n"


async def test_the_server_starts_and_stops(database_url: str) -> None:
    """On a database that runs already; what it brings along has tests of its own."""
    port = free_port()
    more = {"RTCHAT_DATABASE_URL": database_url, "RTCHAT_PORT": str(port)}
    with temporary_directory() as folder:
        environment = {**ENVIRONMENT, **more}
        async with running("bash", "-c", f"exec {DEV}", cwd=folder, env=environment) as process:
            assert await line_of(process, "is running on")
            assert (folder / "try").is_dir()
            async with httpx2.AsyncClient(trust_env=False) as http:
                for page in ("/docs", "/docs/ws"):
                    assert (await http.get(f"http://localhost:{port}{page}")).status_code == 200
            process.send_signal(signal.SIGINT)
            async with asyncio.timeout(PATIENCE_S):
                assert await process.wait() == 0


async def test_two_people_talk(server: Pod, pods: Pods) -> None:
    if why := missing(Bash):
        pytest.skip(why)
    here = f"localhost:{server.port}"
    async with Bash() as bash:
        assert await bash.run(ACCOUNTS.replace(URL, here)) == ""
        channel, said = values(await bash.run(ANN_WRITES))
        assert (channel["id"], said["id"]) == (1, "1:1")
        found, joined, read, answered = values(await bash.run(BOB_READS))
        assert [c["name"] for c in found["items"]] == ["general"]
        assert joined["role"] == "member"
        assert read["items"] == [{k: v for k, v in said.items() if k != "nonce"}]
        assert answered["id"] == "1:3"
        assert values(await bash.run(AGAIN)) == [answered]
        await type_it(here, await bash.run(TOKEN))
        await talk_in_one_program(here)
        await listen_through_a_restart(server, pods, bash)


async def type_it(here: str, token: str) -> None:
    """What is typed into the terminal, and what comes."""
    command = CONNECT.replace(URL, here)
    pipe = asyncio.subprocess.PIPE
    async with running("bash", "-c", f"exec {command}", stdin=pipe, env=ENVIRONMENT) as process:
        terminal = Terminal(process)
        for line in TYPED.splitlines():
            arrow, _, text = line.partition(" ")
            if arrow == ">":
                await terminal.type(text.replace("…Bob's token…", token))
            else:
                came = json.dumps(await terminal.frame(), separators=(",", ":"))
                assert re.fullmatch(_pattern(text), came), came


def _pattern(shown: str) -> str:
    """A line of the page as a regular expression."""
    anything = re.escape(shown).replace("…", ".*")
    return re.sub(r"\d{13}", r"\\d{13}", anything)


async def talk_in_one_program(here: str) -> None:
    assert TOGETHER.count(URL) == 3
    code = TOGETHER.replace(URL, here)
    async with running(sys.executable, "-c", code, cwd=ROOT, env=ENVIRONMENT) as process:
        lines = [await line_of(process) for _ in range(4)]
        async with asyncio.timeout(PATIENCE_S):
            assert await process.wait() == 0
    assert lines == ["1 1 hello", "3 2 hello Ann", "4 2 I am listening", "5 1 how is it going?"]


async def listen_through_a_restart(server: Pod, pods: Pods, bash: Shell) -> None:
    """The server ends and comes back on its port, and the listener goes on."""
    assert LISTENING.count(URL) == 2
    code = LISTENING.replace(URL, f"localhost:{server.port}")
    async with running(sys.executable, "-c", code, cwd=ROOT, env=ENVIRONMENT) as process:
        assert await line_of(process) == "connected"
        await asyncio.to_thread(server.stop)
        again = await pods.start(server.database_url, port=server.port)
        try:
            said = values(await bash.run(ANN_WRITES.replace('"a1"', '"a2"')))[-1]
            assert said["id"] == "1:6"
            assert await line_of(process) == "connected"
            assert await line_of(process) == "6 hello"
        finally:
            again.kill()
