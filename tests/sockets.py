"""A WebSocket client that hides nothing: frames as they come, in order, and how it ended.

Each is held to the documents on its way (`documented`).
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests import documented
from tests.people import Person

PATIENCE_S = 10.0  # on two busy cores; what is expected comes in milliseconds


class Wire:
    """One socket."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self._said = documented.Socket()

    async def send(self, frame: dict[str, Any] | str | bytes) -> None:
        """Send an object as JSON, or exactly this text or these bytes."""
        data = orjson.dumps(frame).decode() if isinstance(frame, dict) else frame
        self._said.sent(data)
        await self.socket.send(data)

    async def recv(self) -> dict[str, Any]:
        """The next frame."""
        async with asyncio.timeout(PATIENCE_S):
            frame: dict[str, Any] = orjson.loads(await self.socket.recv())
        self._said.received(frame)
        return frame

    async def ask(self, frame: dict[str, Any]) -> dict[str, Any]:
        """Send, and return the next frame, which must be the answer: it has the same `ref`."""
        await self.send(frame)
        answer = await self.recv()
        assert answer.get("ref") == frame.get("ref"), answer
        return answer

    async def until(self, **expected: Any) -> list[dict[str, Any]]:
        """Read frames up to the first that has these fields, that one included."""
        frames = [await self.recv()]
        while any(frames[-1].get(key) != value for key, value in expected.items()):
            frames.append(await self.recv())
        return frames

    async def silence(self, for_s: float = 0.2) -> None:
        """Assert that nothing comes for a while."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(for_s):
                raise AssertionError(f"not silent: {await self.socket.recv()!r}")

    async def closed(self) -> tuple[int, list[dict[str, Any]]]:
        """Wait for the end: the close code, and the frames that came before it."""
        frames = []
        try:
            while True:
                frames.append(await self.recv())
        except ConnectionClosed:
            assert self.socket.close_code is not None
            self._said.ended(self.socket.close_code)
            return self.socket.close_code, frames

    async def alive(self) -> None:
        """Assert that the socket is open and answers."""
        assert await self.ask({"t": "ping", "ref": "alive?"}) == {"t": "pong", "ref": "alive?"}


@contextlib.asynccontextmanager
async def wire(ws_url: str, person: Person | None = None, **options: Any) -> AsyncIterator[Wire]:
    """Open a socket; as `person`, by the header, and past `hello`."""
    options.setdefault("compression", None)
    options.setdefault("close_timeout", 0.5)  # a test that stops reading will not see the answer
    if person is not None:
        options["additional_headers"] = person.headers
    async with _connected(ws_url, options) as socket:
        opened = Wire(socket)
        if person is not None:
            assert (await opened.recv())["t"] == "hello"
        yield opened


@contextlib.asynccontextmanager
async def _connected(ws_url: str, options: dict[str, Any]) -> AsyncIterator[ClientConnection]:
    try:
        socket = await connect(ws_url, proxy=None, **options)
    except InvalidStatus as refused:
        answer, target = refused.response, "/ws" + ws_url.partition("/ws")[2]
        headers = {name.lower(): value for name, value in answer.headers.raw_items()}
        documented.check_answer("GET", target, answer.status_code, headers, bytes(answer.body))
        raise
    async with socket:
        yield socket
