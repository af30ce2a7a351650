"""What the tests of coming back share: pods to come back to, and steps of a story.

Owns: the settings that make pages, marks and tails small. Must never: read past a frame unchecked
where a test counts them.
"""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import asyncpg

from tests.faults.scene import Scene, answers, message
from tests.people import Person
from tests.sockets import Wire, wire

PAGE = 50
SAME, OTHER = 0, 1  # the client was on the first pod
# Small pages and marks, and short tails; empty rooms close at once.
FAST: dict[str, Any] = {"room_linger_ms": 10, "head_check_ms": 50}
SETTINGS: dict[str, Any] = {
    "catch_up_rows": PAGE, "tail_max_bytes": 20_000,
    "write_high_bytes": 32_768, "write_low_bytes": 8192, **FAST,
}  # fmt: skip


async def say(one: Wire, channel: int, count: int, text: str = "x") -> None:
    """Store so many messages, each acked."""
    for begin in range(0, count, 200):  # fewer than may be unanswered
        refs = range(begin, min(begin + 200, count))
        for ref in refs:
            await one.send(message(ref, channel, text))
        await answers(one, set(refs))


async def run_of(one: Wire, channel: int, after: int, upto: int) -> None:
    """The next frames of a channel are exactly its entries with after < seq <= upto."""
    for seq in range(after + 1, upto + 1):
        got = await one.recv()
        assert (got["t"], got["ch"], got["seq"]) == ("msg", channel, seq)


async def goes_on(made: Scene, one: Wire, ann: Person, channel: int, head: int) -> None:
    """The socket is live: it gets what is said next, from either pod, and nothing else."""
    for number, pod in enumerate(made.pods, 1):
        path = f"/channels/{channel}/messages"
        assert (await made.call(ann, "POST", path, {"content": "next"}, pod)).status_code == 201
        await run_of(one, channel, head + number - 1, head + number)
    await one.alive()


@contextlib.asynccontextmanager
async def no_reads(made: Scene) -> AsyncIterator[None]:
    """Let whoever reads the log wait."""
    held = await asyncpg.connect(made.pod.database_url)
    try:
        async with held.transaction():
            await held.execute("LOCK TABLE messages IN ACCESS EXCLUSIVE MODE")
            yield
    finally:
        await held.close()


async def opened(
    sockets: contextlib.AsyncExitStack, made: Scene, person: Person, pod: int = 0
) -> Wire:
    """A socket on a pod, past the hints of the channels that were just made."""
    one = await sockets.enter_async_context(wire(made.pods[pod].ws_url, person))
    await one.send({"t": "ping", "ref": "there"})
    await one.until(ref="there")
    return one
