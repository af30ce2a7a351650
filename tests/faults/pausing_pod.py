"""A pod that pauses by lot at each step of joining and catching up.

`python -m tests.faults.pausing_pod serve` is `rtchat serve`, with up to `PAUSE_S` on both sides of
reading memberships, heads and rows, and before a bus subscription counts as confirmed: so whatever
may happen between two of these steps does happen there.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

from rtchat.bus.redis import RedisBus
from rtchat.store.channels import ChannelStore
from rtchat.store.messages import MessageStore

PAUSE_S = 0.05
STEPS: tuple[tuple[type, str], ...] = (
    (ChannelStore, "standing"),  # before it: registered; behind it: membership and head are known
    (MessageStore, "heads"),  # a room opens
    (MessageStore, "entries"),  # before it: the cursor is decided; behind it: the rows are there
    (RedisBus, "subscribe"),
)


def pausing(owner: type, name: str) -> None:
    """Put a pause before and behind a step."""
    step: Callable[..., Awaitable[Any]] = getattr(owner, name)

    async def slow(*args: Any, **kwargs: Any) -> Any:
        await asyncio.sleep(random.uniform(0, PAUSE_S))
        result = await step(*args, **kwargs)
        await asyncio.sleep(random.uniform(0, PAUSE_S))
        return result

    setattr(owner, name, slow)


def main() -> None:
    """Serve, with pauses."""
    from rtchat import cli

    for owner, name in STEPS:
        pausing(owner, name)
    cli.main()


if __name__ == "__main__":
    main()
