"""Whether this process lives, and whether it should get work."""

import asyncio

from rtchat.api import types
from rtchat.api.call import Call
from rtchat.api.router import Answer
from rtchat.errors import ChatError, Code

READY_TIMEOUT_S = 2.0


async def alive(_: Call) -> Answer:
    """Tell that the process lives; no dependency is asked."""
    return 200, types.Health(status="ok")


async def ready(call: Call) -> Answer:
    """Tell that it serves: not draining, and the database answers with its durable settings on."""
    # Redis being away is no reason: acks and same-pod delivery go on without it, and if it were,
    # one Redis outage would take every pod out of service at once.
    if call.services.drain.begun:
        raise ChatError(Code.DRAINING)
    if await call.services.database.probe(READY_TIMEOUT_S):
        raise ChatError(Code.UNAVAILABLE, "The database is not set to keep what it commits.")
    return 200, types.Health(status="ready")


async def drain(call: Call) -> Answer:
    """The pre-stop call: begin the drain, or join it, and answer when everybody is gone.

    Writes over REST are taken until SIGTERM: endpoints elsewhere may still route here.
    """
    try:
        async with asyncio.timeout(call.services.drain.longest_s):
            await call.services.drain.everywhere()
    except TimeoutError:
        return 202, types.Health(status="draining")
    return 200, types.Health(status="drained")
