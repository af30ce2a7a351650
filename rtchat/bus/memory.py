"""The bus of pods that share one process: the usual pod alone, `rtchat dev`, and tests.

Owns: who of this process hears which channel. Lost in a crash: the whole process, so nothing.
Must never: call a receiver inside `publish`. Delivery is a later turn of the loop, as with Redis:
what works on this bus cannot rely on more than what Redis gives, a receiver that raises cannot
break the publisher, and one that publishes or subscribes cannot come in between. `call_soon` keeps
the order. A pod alone pays one dictionary lookup for a publish (0.15 µs): nobody else hears it.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable

from rtchat.bus.seldom import Seldom
from rtchat.measures import WAIT_S, Histogram

log = logging.getLogger(__name__)


class Exchange:
    """What the buses of one process share: who is there, and who hears what."""

    def __init__(self) -> None:
        self.buses: list[MemoryBus] = []
        self.hearers: dict[int, list[MemoryBus]] = {}


class MemoryBus:
    """One pod's place at the exchange. Does not hear what it published itself."""

    def __init__(self, exchange: Exchange) -> None:
        self.on_envelope: Callable[[bytes], None] = _ignore
        self.on_control: Callable[[bytes], None] = _ignore
        self.on_restored: Callable[[], None] = _nothing
        self.published = 0
        self.received = 0
        self.dropped = 0
        self.refused = 0
        self.reconnects = 0
        self.receiver_errors = 0
        self.lag = Histogram(WAIT_S)
        self.unsent_bytes = 0
        self.nodes: dict[str, bool] = {}
        self._exchange = exchange
        self._loop: asyncio.AbstractEventLoop | None = None  # set from start to close
        self._heard: set[int] = set()
        self._seldom = Seldom(log)

    def __repr__(self) -> str:
        return f"<MemoryBus {'up' if self.connected else 'down'} channels={len(self._heard)}>"

    @property
    def alone(self) -> bool:
        """Whether no other bus is at the exchange."""
        return len(self._exchange.buses) < 2

    @property
    def connected(self) -> bool:
        """Whether the bus was started and not closed."""
        return self._loop is not None

    async def start(self) -> None:
        """Join the exchange."""
        assert self._loop is None, "started twice"
        self._loop = asyncio.get_running_loop()
        self._exchange.buses.append(self)
        if self._heard:  # subscribed before: the only time at which something is missed here
            self._loop.call_soon(self.on_restored)

    async def close(self) -> None:
        """Leave the exchange. What is still on its way is not delivered."""
        if self._loop is None:
            return
        self._loop = None
        self._exchange.buses.remove(self)
        self.unsubscribe(list(self._heard))

    async def subscribe(self, channels: Iterable[int]) -> None:
        """Hear these channels from now on."""
        for channel in channels:
            if channel not in self._heard:
                self._heard.add(channel)
                self._exchange.hearers.setdefault(channel, []).append(self)

    def unsubscribe(self, channels: Iterable[int]) -> None:
        """Hear them no longer."""
        hearers = self._exchange.hearers
        for channel in channels:
            if channel in self._heard:
                self._heard.remove(channel)
                hearers[channel].remove(self)
                if not hearers[channel]:
                    del hearers[channel]

    def publish(self, channel: int, envelope: bytes) -> None:
        """Send one envelope to every other bus that hears this channel."""
        if self._loop is None:
            self.dropped += 1
            return
        self.published += 1
        for bus in self._exchange.hearers.get(channel, ()):
            if bus is not self:
                self._loop.call_soon(bus.hear_envelope, envelope)

    def publish_control(self, item: bytes) -> None:
        """Send one item to every other bus."""
        if self._loop is None:
            self.dropped += 1
            return
        self.published += 1
        for bus in self._exchange.buses:
            if bus is not self:
                self._loop.call_soon(bus.hear_control, item)

    def hear_envelope(self, envelope: bytes) -> None:
        """Take what another bus published on a channel."""
        self._deliver(self.on_envelope, envelope)

    def hear_control(self, item: bytes) -> None:
        """Take what another bus published for all."""
        self._deliver(self.on_control, item)

    def _deliver(self, receiver: Callable[[bytes], None], item: bytes) -> None:
        if self._loop is None:  # closed while it was on its way
            return
        self.received += 1
        try:
            receiver(item)
        except Exception as error:  # noqa: BLE001 one bad item must not cost the next one
            self.receiver_errors += 1
            self._seldom.warning("a receiver of the bus failed", error=error)


def _ignore(_: bytes) -> None: ...


def _nothing() -> None: ...
