"""The bus over Redis (or Valkey): a list of nodes with plain pub/sub, or a Redis Cluster.

Owns: the nodes, which shard is on which of them, what this pod hears of each shard, and the tasks
behind them.
Must never: hold anything that matters. Redis may be down, empty or new at any moment; what was on
its way is lost then, and receivers are told to read the log (`on_restored`).

Layers: `RedisBus` knows channels, shards and nodes; `Node` two links and a probe, `Hearing` topics;
`Subscriptions` (pure) what to ask for; `Link` one connection that comes back; `Address` how to get
in. A list of nodes places its shards once, by rendezvous hashing. A cluster places them by slot, as
often as `Cluster` reads its map, and speaks three other words (SSUBSCRIBE, SUNSUBSCRIBE, SPUBLISH).
The rest is the same. The control topic is one more shard, the last.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterable, Sequence

from rtchat.bus.address import Address
from rtchat.bus.cluster import Cluster
from rtchat.bus.link import Counts, Limits
from rtchat.bus.node import Node
from rtchat.bus.shards import Topics, rendezvous
from rtchat.bus.subscriptions import PLAIN, SHARDED
from rtchat.measures import Histogram
from rtchat.tasks import Tasks

log = logging.getLogger(__name__)


class RedisBus:
    """One pod's connections to all nodes. Hears its own envelopes too."""

    def __init__(
        self,
        urls: Sequence[str],
        *,
        cluster: bool = False,  # the URLs are some nodes of one Redis Cluster
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
        map_interval_s: float = 10.0,
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
            map_interval_s=map_interval_s,
        )
        addresses = [Address.parse(url) for url in urls]
        names = [address.name for address in addresses]
        if not names or len(set(names)) < len(names):
            raise ValueError("a list of different Redis nodes is needed")
        self._topics = Topics(prefix, shards)
        self._pod = secrets.token_hex(6)
        self._client_name = f"{prefix}-{self._pod}"
        self._counts = Counts()
        self._tasks = Tasks("bus")
        self._started = False
        self._late = False  # from here on, who comes to a shard comes after something was missed
        self._nodes: dict[str, Node] = {}  # those that carry a shard
        self._leaving: set[Node] = set()
        self._carriers: list[Node | None] = [None for _ in self._topics.tags]
        self._probed: dict[Node, int] = {}  # the shard whose topic is the node's heartbeat
        self._heard: list[dict[bytes, None]] = [{} for _ in range(shards)]
        self._heard.append({self._topics.control: None})
        self._words = SHARDED if cluster else PLAIN
        self._cluster: Cluster | None = None
        if cluster:
            self._cluster = Cluster(
                addresses,
                self._topics.tags,
                self._limits,
                client_name=self._client_name,
                on_map=self._place,
            )
        else:
            self._place([addresses[rendezvous(tag, names)] for tag in self._topics.tags])

    def __repr__(self) -> str:
        return f"<RedisBus {list(self._nodes.values())!r}>"

    @property
    def alone(self) -> bool:
        """Never known: whoever is there, Redis does not tell."""
        return False

    @property
    def connected(self) -> bool:
        """Whether all nodes are there and all subscriptions stand."""
        return None not in self._carriers and all(n.connected for n in self._nodes.values())

    @property
    def published(self) -> int:
        """Items handed to a socket. Some are lost all the same, if their link breaks."""
        return self._counts.published

    @property
    def received(self) -> int:
        """Items that arrived, one's own among them."""
        return self._counts.received

    @property
    def dropped(self) -> int:
        """Items not published: the link was down or its buffer full."""
        return self._counts.dropped

    @property
    def refused(self) -> int:
        """Items that a server answered with an error (OOM, NOPERM, LOADING)."""
        return self._counts.refused

    @property
    def reconnects(self) -> int:
        """How often a link came back."""
        return self._counts.reconnects

    @property
    def receiver_errors(self) -> int:
        """How often a receiver raised."""
        return self._counts.receiver_errors

    @property
    def lag(self) -> Histogram:
        """Seconds from one's own heartbeats to hearing them, over all nodes."""
        return self._counts.lag

    @property
    def unsent_bytes(self) -> int:
        """What was published and no Redis has taken, over all nodes."""
        return sum(node.unsent_bytes for node in self._nodes.values())

    @property
    def nodes(self) -> dict[str, bool]:
        """Each node that carries a shard, by name, and whether its links and topics stand."""
        return {name: node.connected for name, node in self._nodes.items()}

    async def start(self) -> None:
        """Connect. Returns when every node was reached or failed once, after 2 s at the latest."""
        assert not self._started, "started twice"
        self._started = True
        self._tasks.start(self._beat())
        try:
            async with asyncio.timeout(self._limits.connect_timeout_s):
                for node in self._nodes.values():
                    node.start()
                if self._cluster is not None:
                    self._tasks.start(self._cluster.run())
                    await self._cluster.tried.wait()
                for node in list(self._nodes.values()):
                    await node.tried.wait()
        except TimeoutError:
            log.warning("bus not connected yet")
        self._late = True

    async def close(self) -> None:
        """Leave when all that was published is read, or at the close timeout."""
        await self._tasks.close()
        async with asyncio.TaskGroup() as group:
            for node in (*self._nodes.values(), *self._leaving):
                group.create_task(node.close())
        await asyncio.sleep(0)  # sockets that were dropped close in the next turn

    async def subscribe(self, channels: Iterable[int]) -> None:
        """Hear these channels. If cancelled they stay subscribed until `unsubscribe`."""
        waiting: dict[asyncio.Future[None], Node] = {}
        for shard, topics in self._grouped(channels).items():
            self._heard[shard].update(dict.fromkeys(topics))
            if (node := self._carriers[shard]) is None:
                continue  # heard once the shard has a node
            if (confirmed := node.hearing.subscribe(topics)) is not None:
                waiting[confirmed] = node
        if not waiting:
            return
        _, late = await asyncio.wait(waiting, timeout=self._limits.subscribe_timeout_s)
        if late:
            await asyncio.sleep(0)  # a pod that was itself stalled reads before it judges
        for confirmed in late:
            if not confirmed.done():
                waiting[confirmed].hearing.overdue()

    def unsubscribe(self, channels: Iterable[int]) -> None:
        """Hear them no longer."""
        for shard, topics in self._grouped(channels).items():
            for topic in topics:
                self._heard[shard].pop(topic, None)
            if (node := self._carriers[shard]) is not None:
                node.hearing.unsubscribe(topics)

    def publish(self, channel: int, envelope: bytes) -> None:
        """Send one envelope to every pod that hears this channel, or drop it."""
        shard = self._topics.shard(channel)
        self._publish(shard, self._topics.channel(shard, channel), envelope)

    def publish_control(self, item: bytes) -> None:
        """Send one item to every pod, or drop it."""
        self._publish(-1, self._topics.control, item)

    def _publish(self, shard: int, topic: bytes, item: bytes) -> None:
        if (node := self._carriers[shard]) is not None:
            node.publish(topic, item)
        else:
            self._counts.dropped += 1

    def _grouped(self, channels: Iterable[int]) -> dict[int, list[bytes]]:
        grouped: dict[int, list[bytes]] = {}
        for channel in channels:
            shard = self._topics.shard(channel)
            grouped.setdefault(shard, []).append(self._topics.channel(shard, channel))
        return grouped

    # which node carries what

    def _place(self, owners: Sequence[Address | None]) -> None:
        """Let each shard's owner carry it. None: nobody serves it, so it stays where it is."""
        for shard, owner in enumerate(owners):
            if owner is not None:
                self._move(shard, self._nodes.get(owner.name) or self._join(owner))
        for name, node in list(self._nodes.items()):
            shards = [shard for shard, carrier in enumerate(self._carriers) if carrier is node]
            served = [shard for shard in shards if owners[shard] is not None]
            if not shards:
                del self._nodes[name]
                self._probed.pop(node, None)
                self._leaving.add(node)
                self._tasks.start(self._leave(node))
                continue
            if self._probed.get(node) not in (served or shards):  # a heartbeat has to come back
                shard = self._probed[node] = (served or shards)[0]
                node.watch(self._topics.probe(shard, self._pod))
            node.hearing.ask_again()

    def _move(self, shard: int, node: Node) -> None:
        before = self._carriers[shard]
        if before is node:
            return
        heard = self._heard[shard]
        if before is not None:
            before.hearing.forget(heard)
            log.info("bus shard moved", extra={"shard": self._topics.tags[shard], "to": repr(node)})
        self._carriers[shard] = node
        # a pod that just starts has missed what it asked for, but nobody told it anything yet
        missed = before is not None or self._late or heard is not self._heard[-1]
        node.hearing.adopt(heard, missed=missed and bool(heard))

    async def _leave(self, node: Node) -> None:
        await node.close()
        self._leaving.discard(node)

    def _join(self, address: Address) -> Node:
        node = self._nodes[address.name] = Node(
            address,
            self,
            self._limits,
            self._words,
            self._counts,
            client_name=self._client_name,
            control=self._topics.control,
            on_stale=_nothing if self._cluster is None else self._cluster.stale,
        )
        if self._started:
            node.start()
        return node

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._limits.probe_interval_s)
            for node in self._nodes.values():
                node.beat()


def _ignore(_: bytes) -> None: ...


def _nothing() -> None: ...
