"""A pod that has no memory now and then: an allocation that cannot be made, at chosen steps.

`python -m tests.faults.starving_pod serve` is `rtchat serve`; `RTCHAT_TEST_STARVES` names the steps
(as in `STEPS`, separated by commas), each of which fails once in `ONE_IN` calls.
"""

import inspect
import os
import random
from typing import Any

import asyncpg

from rtchat.bus.redis import RedisBus
from rtchat.envelope import Envelope
from rtchat.rooms import Rooms
from rtchat.server.websocket import ServerLink
from rtchat.store.channels import ChannelStore
from rtchat.store.log import LogWriter
from rtchat.store.messages import MessageStore

ONE_IN = 20
TOO_MUCH = 1 << 62
BEFORE, BEHIND = "before", "behind"
COMMIT = "commit"

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
    "write": (ServerLink, "write", BEFORE),
}


def _starve() -> None:
    if random.randrange(ONE_IN) == 0:
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


def starving_commit() -> None:
    """Let COMMIT fail now and then before it is sent, inside of the client library."""
    execute = asyncpg.Connection.execute

    async def later(self: asyncpg.Connection, query: str, *args: Any, **kwargs: Any) -> Any:
        if query == "COMMIT":
            _starve()
        return await execute(self, query, *args, **kwargs)

    setattr(asyncpg.Connection, "execute", later)  # noqa: B010 mypy refuses to see a method replaced


def main() -> None:
    """Serve, starving."""
    from rtchat import cli

    for step in os.environ["RTCHAT_TEST_STARVES"].split(","):
        if step == COMMIT:
            starving_commit()
        else:
            starving(*STEPS[step])
    cli.main()


if __name__ == "__main__":
    main()
