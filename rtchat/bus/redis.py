"""The bus over a list of Redis (or Valkey) nodes with plain pub/sub.

Owns: the nodes, which shard is on which of them, and the tasks behind them.
Must never: hold anything that matters. Redis may be down, empty or new at any moment; what was on
its way is lost then, and receivers are told to read the log (`on_restored`).

Layers: `RedisBus` knows channels and nodes; `Node` topics, two links and a probe; `Subscriptions`
(pure) what to ask for; `Link` one connection that comes back; `Address` how to get in. A Redis
Cluster differs in how shards come to nodes (slots, which move) and in three words on the wire
(SSUBSCRIBE, SUNSUBSCRIBE, SPUBLISH), not in the rest.
"""

import asyncio
import secrets
from collections.abc import Callable, Iterable, Sequence

from rtchat.bus.address import Address
from rtchat.bus.link import Limits
from rtchat.bus.node import Node
from rtchat.bus.shards import Topics, place, rendezvous
from rtchat.tasks import Tasks


class RedisBus:
    """One pod's connections to all nodes. Hears its own envelopes too."""

    def __init__(
        self,
        urls: Sequence[str],
        *,
        prefix: str = "rtchat",
        shards: int = 64,
        connect_timeout_s: float = 2.0,
        subscribe_timeout_s: float = 1.0,
        close_timeout_s: float = 1.0,
        backoff_base_ms: float = 50,
        backoff_cap_ms: float = 2_000,
        probe_interval_s: float = 1.0,
        probe_silence_s: float = 3.0,
        publish_buffer_bytes: int = 8 << 20,
        reply_bytes_max: int = 64 << 20,
        subscribe_batch_topics: int = 500,
        subscribe_window_topics: int = 10_000,
    ) -> None:
        self.on_envelope: Callable[[bytes], None] = _ignore
        self.on_control: Callable[[bytes], None] = _ignore
        self.on_restored: Callable[[], None] = _nothing
        self._limits = Limits(
            connect_timeout_s=connect_timeout_s,
            subscribe_timeout_s=subscribe_timeout_s,
            close_timeout_s=close_timeout_s,
            backoff_base_ms=backoff_base_ms,
            backoff_cap_ms=backoff_cap_ms,
            probe_interval_s=probe_interval_s,
            probe_silence_s=probe_silence_s,
            publish_buffer_bytes=publish_buffer_bytes,
            reply_bytes_max=reply_bytes_max,
            subscribe_batch_topics=subscribe_batch_topics,
            subscribe_window_topics=subscribe_window_topics,
        )
        addresses = [Address.parse(url) for url in urls]
        names = [address.name for address in addresses]
        if not names or len(set(names)) < len(names):
            raise ValueError("a list of different Redis nodes is needed")
        self._topics = Topics(prefix, shards)
        self._tasks = Tasks("bus")
        self._started = False
        placed = place(shards, names)
        control_at = rendezvous(Topics.CONTROL, names)
        pod = secrets.token_hex(6)
        self._nodes = [
            Node(
                address,
                self,
                self._limits,
                client_name=f"{prefix}-{pod}",
                # a topic of a shard that is there anyway, or any if the node carries none
                probe=self._topics.probe(placed.index(at) if at in placed else 0, pod),
                control=self._topics.control,
                carries_control=at == control_at,
            )
            for at, address in enumerate(addresses)
        ]
        self._by_shard = [self._nodes[at] for at in placed]
        self._control = self._nodes[control_at]

    def __repr__(self) -> str:
        return f"<RedisBus {self._nodes!r}>"

    @property
    def connected(self) -> bool:
        """Whether all nodes are there and all subscriptions stand."""
        return all(node.connected for node in self._nodes)

    @property
    def published(self) -> int:
        """Items handed to a socket. Some are lost all the same, if their link breaks."""
        return sum(node.published for node in self._nodes)

    @property
    def received(self) -> int:
        """Items that arrived, one's own among them."""
        return sum(node.received for node in self._nodes)

    @property
    def dropped(self) -> int:
        """Items not published: the link was down or its buffer full."""
        return sum(node.dropped for node in self._nodes)

    @property
    def refused(self) -> int:
        """Items that a server answered with an error (OOM, NOPERM, LOADING)."""
        return sum(node.refused for node in self._nodes)

    @property
    def reconnects(self) -> int:
        """How often a link came back."""
        return sum(node.reconnects for node in self._nodes)

    @property
    def receiver_errors(self) -> int:
        """How often a receiver raised."""
        return sum(node.receiver_errors for node in self._nodes)

    async def start(self) -> None:
        """Connect. Returns when every node was reached or failed once, after 2 s at the latest."""
        assert not self._started, "started twice"
        self._started = True
        tried = [node.start(self._tasks) for node in self._nodes]
        self._tasks.start(self._beat())
        await asyncio.wait(tried, timeout=self._limits.connect_timeout_s)

    async def close(self) -> None:
        """Leave when all that was published is read, or at the close timeout."""
        await self._tasks.close()
        gone = [future for node in self._nodes for future in node.leave()]
        if gone:
            await asyncio.wait(gone, timeout=self._limits.close_timeout_s)
        for node in self._nodes:
            node.drop("closed")
        await asyncio.sleep(0)  # sockets that were dropped close in the next turn

    async def subscribe(self, channels: Iterable[int]) -> None:
        """Hear these channels. If cancelled they stay subscribed until `unsubscribe`."""
        waiting: dict[asyncio.Future[None], tuple[Node, int]] = {}
        for node, topics in self._grouped(channels).items():
            answered = node.answered
            if (confirmed := node.subscribe(topics)) is not None:
                waiting[confirmed] = node, answered
        if not waiting:
            return
        _, late = await asyncio.wait(waiting, timeout=self._limits.subscribe_timeout_s)
        if late:
            await asyncio.sleep(0)  # a pod that was itself stalled reads before it judges
        for confirmed in late:
            if not confirmed.done():
                node, answered = waiting[confirmed]
                node.overdue(answered)

    def unsubscribe(self, channels: Iterable[int]) -> None:
        """Hear them no longer."""
        for node, topics in self._grouped(channels).items():
            node.unsubscribe(topics)

    def publish(self, channel: int, envelope: bytes) -> None:
        """Send one envelope to every pod that hears this channel, or drop it."""
        shard = self._topics.shard(channel)
        self._by_shard[shard].publish(self._topics.channel(shard, channel), envelope)

    def publish_control(self, item: bytes) -> None:
        """Send one item to every pod, or drop it."""
        self._control.publish(self._topics.control, item)

    def _grouped(self, channels: Iterable[int]) -> dict[Node, list[bytes]]:
        grouped: dict[Node, list[bytes]] = {}
        for channel in channels:
            shard = self._topics.shard(channel)
            topic = self._topics.channel(shard, channel)
            grouped.setdefault(self._by_shard[shard], []).append(topic)
        return grouped

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._limits.probe_interval_s)
            for node in self._nodes:
                node.beat()


def _ignore(_: bytes) -> None: ...


def _nothing() -> None: ...
