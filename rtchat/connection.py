"""A connection: one socket of a signed-in user, as the hub and the WebSocket handler share it.

Owns: where its frames go (the link), its subscriptions, and what was decided about its end. The
handler (api/ws) reads and closes; the hub writes. Must never: block, or write after its end.
"""

from collections.abc import Callable
from typing import Protocol

from rtchat.room import Subscription, Write

# Where a server that offers ready-made frames puts its link: scope["extensions"][LINK_EXTENSION]
# is {"version": 1, "link": Link}. Without it frames go through ASGI's `send`, one by one.
LINK_EXTENSION = "rtchat.link"


class Listener(Protocol):
    """Whoever serves a socket, as far as its link knows it."""

    def take(self, text: str) -> bool:
        """A text has come. False: not now, or it takes waiting."""

    def paused(self) -> None:
        """The socket takes nothing: what was written has passed the high-water mark."""

    def resumed(self) -> None:
        """What waits has fallen below the low-water mark."""

    def lost(self) -> None:
        """The socket has ended while it was paused."""


class Link(Protocol):
    """Where whole, ready-made WebSocket frames go. Provided by the server, or built on ASGI.

    `write` never blocks: it keeps what the socket does not take now, and tells `listener` when that
    passes its marks. After the socket's end `write` does nothing. `abort` drops the socket and what
    was kept, at once.

    A text comes in by the listener's `take`, if that takes it, and else by ASGI's `receive`, in
    order. A link without a way in of its own leaves all to `receive`.
    """

    listener: Listener | None

    def write(self, frames: bytes) -> None:
        """Send one or more whole frames."""

    def taken(self) -> int:
        """How many bytes the client took, counted from anywhere: what counts is the difference."""

    def waiting(self) -> int:
        """How many bytes of what was written have not left."""

    def abort(self) -> None:
        """End the socket now."""

    async def flush(self) -> None:
        """Return when what was written before is with the server, in order with what follows."""

    def settle(self) -> None:
        """Nobody will ask about the handshake any more."""

    def release(self) -> None:
        """The socket has ended: let go of what served it."""


def _nobody(code: int, reason: str) -> None:
    """Nobody is to be told of the end yet."""


class Connection:
    """One authenticated socket."""

    __slots__ = (
        "catching_up", "closed", "ended", "expires", "id", "leaving", "link", "moved",
        "on_answered", "on_close", "paused_at", "session_id", "subs", "taken", "unanswered",
        "user_id", "warned", "write",
    )  # fmt: skip

    def __init__(
        self,
        connection_id: int,
        user_id: int,
        session_id: int,
        expires: int,
        link: Link,
        on_close: Callable[[int, str], None] = _nobody,
    ) -> None:
        self.id = connection_id
        self.user_id = user_id
        self.session_id = session_id
        self.expires = expires  # seconds since 1970, by the clock as it is set now
        self.warned = False  # `expiring` was sent
        self.link = link
        self.write: Write = link.write
        self.on_close = on_close  # called once with a close code and a reason
        self.closed = False
        self.paused_at: float | None = None  # since when the socket takes (next to) nothing
        self.taken: int | None = None  # what it had taken when that was last looked at
        self.unanswered = 0  # writes that were accepted and have no answer yet
        self.leaving = False  # the drain has come to it: no further commands
        self.on_answered: Callable[[], None] | None = None  # called then when nothing is unanswered
        self.subs: dict[int, Subscription] = {}
        self.catching_up: set[Subscription] = set()
        # Something that a catch-up waits for may have happened; there while one is under way.
        self.moved: Callable[[], None] | None = None
        # Where the room has ended a subscription: channel to seq, until the notice of it comes too.
        self.ended: dict[int, int] = {}

    @property
    def paused(self) -> bool:
        """Whether the socket takes nothing at the moment."""
        return self.paused_at is not None

    def close(self, code: int, reason: str) -> None:
        """End it, once; nothing is written after that."""
        if not self.closed:
            self.closed = True
            self.on_close(code, reason)
