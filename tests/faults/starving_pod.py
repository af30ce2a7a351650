"""A pod that has no memory now and then: an allocation that cannot be made, at chosen steps.

`python -m tests.faults.starving_pod serve` is `rtchat serve`; `RTCHAT_TEST_STARVES` names the steps
(as in `STEPS`, separated by commas), each of which fails once in `ONE_IN` calls.
"""

import inspect
import os
import random
from asyncio.transports import BaseTransport
from typing import Any, cast

import asyncpg

from rtchat.bus.redis import RedisBus
from rtchat.envelope import Envelope
from rtchat.rooms import Rooms
from rtchat.server.websocket import FrameProtocol
from rtchat.store.channels import ChannelStore
from rtchat.store.log import LogWriter
from rtchat.store.messages import MessageStore

ONE_IN = 20
TOO_MUCH = 1 << 62
BEFORE, BEHIND = "before", "behind"
COMMIT = "commit"
TRANSPORT = "transport"
WRITES_ONE_IN = 300  # each costs a client its socket

STEPS: dict[str, tuple[type, str, str]] = {
    "read": (LogWriter, "_read", BEHIND),
    "copy": (LogWriter, "_copy", BEFORE),
    "committed": (LogWriter, "_commit", BEHIND),
    "deliver": (Rooms, "deliver", BEFORE),
    "publish": (RedisBus, "publish", BEFORE),
    "receive": (Rooms, "receive", BEFORE),
    "cut": (Envelope, "after", BEFORE),
    "entries": (MessageStore, "entries", BEHIND),
    "heads": (MessageStore, "heads", BEHIND),
    "standing": (ChannelStore, "standing", BEHIND),
}


def _starve(one_in: int = ONE_IN) -> None:
    if random.randrange(one_in) == 0:
        bytearray(TOO_MUCH)  # MemoryError


def starving(owner: type, name: str, when: str) -> None:
    """Let a step fail now and then, before it begins or when its result is there."""
    step = getattr(owner, name)

    def now(*args: Any, **kwargs: Any) -> Any:
        if when == BEFORE:
            _starve()
        result = step(*args, **kwargs)
        if when == BEHIND:
            _starve()
        return result

    async def later(*args: Any, **kwargs: Any) -> Any:
        if when == BEFORE:
            _starve()
        result = await step(*args, **kwargs)
        if when == BEHIND:
            _starve()
        return result

    setattr(owner, name, later if inspect.iscoroutinefunction(step) else now)


class StarvingTransport:
    """A transport that takes what it is given, and then says now and then that it could not."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def write(self, data: bytes) -> None:
        """Write, and fail."""
        self._inner.write(data)
        _starve(WRITES_ONE_IN)


def starving_transport() -> None:
    """Let writes to a client fail in the middle of a fan-out."""
    made = FrameProtocol.connection_made

    def connection_made(protocol: FrameProtocol, transport: Any) -> None:
        made(protocol, cast(BaseTransport, StarvingTransport(transport)))

    setattr(FrameProtocol, "connection_made", connection_made)  # noqa: B010


def starving_commit() -> None:
    """Let COMMIT fail now and then before it is sent, inside of the client library."""
    execute = asyncpg.Connection.execute

    async def later(self: asyncpg.Connection, query: str, *args: Any, **kwargs: Any) -> Any:
        if query.endswith("COMMIT"):
            _starve()
        return await execute(self, query, *args, **kwargs)

    setattr(asyncpg.Connection, "execute", later)  # noqa: B010 mypy refuses to see a method replaced


def main() -> None:
    """Serve, starving."""
    from rtchat import cli

    for step in os.environ["RTCHAT_TEST_STARVES"].split(","):
        if step == TRANSPORT:
            starving_transport()
        elif step == COMMIT:
            starving_commit()
        else:
            starving(*STEPS[step])
    cli.main()


if __name__ == "__main__":
    main()
