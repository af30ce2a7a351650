"""The link of the moment, for all who write to it, and the commands that wait for its answers.

Owns: who waits for a link, and which answer belongs to which command; writes are the outbox's. A
command's effect on the client takes place in the reader, before the next frame: behind an `ok`
entries follow at once. Must never: carry a command over to the next link; whoever asked asks again.
"""

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import orjson

from rtchat.client.connection import Link, LinkLostError
from rtchat.client.errors import ClientError, ClosedError, RefusedError
from rtchat.client.events import Error, Ok

AGAIN_S = 1.0  # after a refusal that names no time

OnOk = Callable[[Ok], None]
OnError = Callable[[ClientError], None]


class TryAgainError(ClientError):
    """A command was refused for the time being."""

    def __init__(self, error: Error) -> None:
        super().__init__(f"{error.code}: {error.message}")
        self.after_s = AGAIN_S if error.after is None else error.after / 1000


class Wire:
    """Where to write."""

    def __init__(self) -> None:
        self.refs = itertools.count(1)  # of every command and write of this client
        self.link: Link | None = None
        self.ended: ClosedError | None = None
        self._changed = asyncio.Event()  # set while there is a link, or never will be one
        self._asked: dict[int, tuple[OnOk, OnError]] = {}

    def up(self, link: Link) -> None:
        """There is a link."""
        self.link = link
        self._changed.set()

    def down(self) -> None:
        """The link is gone, and what was asked over it will not be answered."""
        self.link = None
        if self.ended is None:
            self._changed.clear()
        asked, self._asked = self._asked, {}
        for _, on_error in asked.values():
            on_error(LinkLostError(None, "before the answer", None))

    def end(self, error: ClosedError) -> None:
        """There will be no link any more."""
        self.ended = error
        self._changed.set()

    def require_open(self) -> None:
        """Raise ClosedError when the client has ended."""
        if self.ended is not None:
            raise ClosedError(self.ended.reason, self.ended.code) from self.ended

    async def linked(self) -> Link:
        """Wait for a link. Raises ClosedError when there will be none."""
        self.require_open()
        while self.link is None:
            await self._changed.wait()
            self.require_open()
        return self.link

    def tell(self, frame: dict[str, Any]) -> None:
        """Send what needs no answer; if there is no link, it is forgotten."""
        self.require_open()
        if self.link is not None:
            self.link.write(orjson.dumps(frame))

    def post(self, link: Link, command: dict[str, Any], on_ok: OnOk, on_error: OnError) -> None:
        """Send a command; one of both is called, at the latest when the link is lost."""
        ref = next(self.refs)
        self._asked[ref] = on_ok, on_error
        link.write(orjson.dumps({**command, "ref": ref}))

    async def ask(self, command: dict[str, Any], on_ok: OnOk) -> Ok:
        """Send a command over the next best link and wait for its answer.

        Raises LinkLostError, TryAgainError, RefusedError or ClosedError.
        """
        link = await self.linked()
        answer: asyncio.Future[Ok] = asyncio.get_running_loop().create_future()

        def succeed(ok: Ok) -> None:
            on_ok(ok)
            if not answer.done():
                answer.set_result(ok)

        def fail(error: ClientError) -> None:
            if not answer.done():
                answer.set_exception(error)

        self.post(link, command, succeed, fail)
        return await answer

    def on_ok(self, ok: Ok) -> None:
        """Bring a command's answer to whoever asked."""
        asked = self._asked.pop(ok.ref, None) if type(ok.ref) is int else None
        if asked is not None:
            asked[0](ok)

    def on_error(self, error: Error) -> bool:
        """Bring a refusal to whoever asked. Tells whether it was for a command from here."""
        asked = self._asked.pop(error.ref, None) if type(error.ref) is int else None
        if asked is not None:
            asked[1](_failure(error))
        return asked is not None


def _failure(error: Error) -> ClientError:
    if error.retry:
        return TryAgainError(error)
    return RefusedError(error.code, error.message, field=error.field)
