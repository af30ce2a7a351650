"""Whether this process lives, and whether it should get work."""

from rtchat.api import types
from rtchat.api.call import Call
from rtchat.api.router import Answer
from rtchat.errors import ChatError, Code

READY_TIMEOUT_S = 2.0


async def alive(_: Call) -> Answer:
    """The event loop turns; no dependency is asked."""
    return 200, types.Health(status="ok")


async def ready(call: Call) -> Answer:
    """Not draining, and the database answers with its durable settings on.

    Redis being away is no reason: acks and same-pod delivery go on without it, and if it were, one
    Redis outage would take every pod out of service at once.
    """
    if call.services.draining:
        raise ChatError(Code.DRAINING)
    if await call.services.database.probe(READY_TIMEOUT_S):
        raise ChatError(Code.UNAVAILABLE, "The database is not set to keep what it commits.")
    return 200, types.Health(status="ready")
