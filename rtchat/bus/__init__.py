"""The bus: how pods tell each other what was committed. A hint, never the truth.

What a bus promises, whichever it is:
- **At most once.** A published item reaches every pod that is subscribed to its topic, or is lost;
  nothing is kept and nothing is repeated. Whoever needs more reads the log (the hub's head check).
- **Order.** Items of one publisher on one topic arrive in the order of publishing, if they arrive.
  Only after a link broke may one that was still on its way come late, behind newer ones.
- **Never in the way.** `publish` and `publish_control` do not block, do not raise and do not grow
  without bound: what does not fit is dropped and counted. So is what comes before `start` or after
  `close`.
- **Its own echo.** A pod may get back what it published itself; receivers drop what they know.
- **Loss is told.** After anything that may have lost items (a link that broke, a server that
  unsubscribed us, a subscription that could not be confirmed), `on_restored` is called once the
  subscriptions stand again. What a pod could not *publish* is not told to the others: they find it.

A topic carries one channel's envelopes. One more, the control topic, which every pod hears, carries
what concerns users and sessions.
"""

from collections.abc import Callable, Iterable
from typing import Protocol

from rtchat.measures import Histogram


class Bus(Protocol):
    """One pod's connection to the other pods.

    The three receivers are set before `start`. They are called in the loop, never inside a call to
    the bus, and must be short: nothing else arrives meanwhile. One that raises is logged; the next
    item is delivered all the same.
    """

    on_envelope: Callable[[bytes], None]  # an envelope arrived on a channel's topic
    on_control: Callable[[bytes], None]  # something arrived on the control topic
    on_restored: Callable[[], None]  # items may have been lost until now

    async def start(self) -> None:
        """Connect. Returns even when the other side is down: the bus goes on trying."""

    async def close(self) -> None:
        """Leave, and end what runs in the background. Bounded in time; a bus is not used again."""

    async def subscribe(self, channels: Iterable[int]) -> None:
        """Hear these channels' topics.

        Returns when it is confirmed that everything published from now on will arrive, or when the
        bus is known to be down (then the topics are subscribed as soon as it is back, and
        `on_restored` tells). Bounded in time; never raises. Subscribing twice is one subscription.
        A cancelled call leaves the topics subscribed.
        """

    def unsubscribe(self, channels: Iterable[int]) -> None:
        """Hear them no longer. Items already on their way may still arrive."""

    def publish(self, channel: int, envelope: bytes) -> None:
        """Send one envelope to every pod that hears this channel."""

    def publish_control(self, item: bytes) -> None:
        """Send one item to every pod."""

    @property
    def alone(self) -> bool:
        """Whether it is known that no other pod is there: what is published now reaches nobody."""

    @property
    def connected(self) -> bool:
        """Whether every link of the bus stands, as far as is known."""


class WatchedBus(Bus, Protocol):
    """A bus that tells operators what it counts; so does each that a pod runs with."""

    @property
    def published(self) -> int:
        """Items handed on. Some are lost all the same, if their link breaks."""

    @property
    def received(self) -> int:
        """Items that arrived, one's own among them where the bus echoes."""

    @property
    def dropped(self) -> int:
        """Items not published: the bus was down or its buffer full."""

    @property
    def refused(self) -> int:
        """Items that the other side answered with an error."""

    @property
    def reconnects(self) -> int:
        """How often a link came back."""

    @property
    def receiver_errors(self) -> int:
        """How often a receiver raised."""

    @property
    def lag(self) -> Histogram:
        """Seconds from one's own heartbeats to hearing them; empty where there are none."""

    @property
    def unsent_bytes(self) -> int:
        """What was published and the other side has not taken."""

    @property
    def nodes(self) -> dict[str, bool]:
        """The other side's parts by name, and whether each is connected; none in one process."""
