"""The conversation of docs/websocket.md, typed into `python -m websockets` as a reader would.

What comes is compared with what the documents show: all but moments, tokens and the epoch.
"""

import asyncio
import contextlib
import json
import re
import sys
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import msgspec
import pytest

from rtchat.api.walk import FIRST, SECOND, Walk, frames_like
from rtchat.commands import COMMANDS
from rtchat.events import EVENTS
from tests.pods import Pod

PATIENCE_S = 20.0
ANN = {"email": "ann@example.org", "password": "correct horse", "name": "Ann"}
_CONTROL = re.compile(r"\x1b(\[[A-Z]|[78])|\r")


class Terminal:
    """`python -m websockets`, and what it shows."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._typed, self._shown = process.stdin, process.stdout

    async def type(self, line: str) -> None:
        """Send a frame."""
        self._typed.write(f"{line}\n".encode())
        await self._typed.drain()

    async def frame(self) -> dict[str, Any]:
        """The next frame that came."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                line = _CONTROL.sub("", (await self._shown.readline()).decode())
                assert line, "it has ended"
                _, arrow, text = line.partition("< ")
                if arrow:
                    frame: dict[str, Any] = json.loads(text)
                    return frame


@contextlib.asynccontextmanager
async def terminal(pod: Pod) -> AsyncIterator[Terminal]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "websockets", pod.ws_url),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Terminal(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def hold(walk: Walk, here: Terminal, token: str) -> None:
    """Type each command, and compare each answer."""
    epoch = ""
    for command, answers in walk:
        typed = msgspec.to_builtins(command, str_keys=True)
        typed |= {"token": token} if "token" in typed else {}
        typed |= {"epoch": epoch} if typed.get("epoch") else {}
        await here.type(json.dumps(typed))
        for answer in answers:
            shown = json.loads(msgspec.json.encode(answer))
            came = await here.frame()
            epoch = came.get("epoch", epoch)
            assert steady(came) == steady(shown)
            assert list(came) == list(shown)


def steady(frame: dict[str, Any]) -> dict[str, Any]:
    """A frame without what is another each time; it must be of the right kind."""
    for name, kind in (("ts", int), ("exp", int), ("epoch", str)):
        assert type(frame.get(name, kind())) is kind, frame
    kept = {key: value for key, value in frame.items() if key not in ("ts", "exp", "epoch")}
    if "user" in kept and isinstance(kept["user"], dict):
        kept["user"] = {k: v for k, v in kept["user"].items() if k != "lastActive"}
    return kept


async def test_the_conversation_goes_as_it_is_shown(server: Pod) -> None:
    async with httpx2.AsyncClient(base_url=server.url, trust_env=False) as http:
        token = (await http.post("/auth/register", json=ANN)).json()["accessToken"]
        headers = {"authorization": f"Bearer {token}"}
        body = {"name": "general", "type": "public"}
        assert (await http.post("/channels", json=body, headers=headers)).json()["id"] == 1
        said = await http.post("/channels/1/messages", json={"content": "hello"}, headers=headers)
        assert said.status_code == 201
    async with terminal(server) as here:
        await hold(FIRST, here, token)
    async with terminal(server) as here:
        await hold(SECOND, here, token)
        await here.type('{"t":"ping","ref":99}')
        assert await here.frame() == {"t": "pong", "ref": 99}  # nothing else came


@pytest.mark.parametrize("kind", [*COMMANDS, *EVENTS], ids=lambda kind: kind.__name__)
def test_every_frame_has_an_example(kind: type) -> None:
    shown = frames_like(kind)
    assert shown
    for frame in shown:
        assert msgspec.json.decode(msgspec.json.encode(frame), type=kind) == frame


def test_every_command_is_in_the_conversation() -> None:
    assert {type(command) for command, _ in FIRST} == set(COMMANDS)
