"""Which topic a channel has and which Redis node carries it: the same answer in every process.

Owns: the names of topics, and the two steps channel → shard → node. Pure.
Must never: use `hash()` (salted in each process), a node's credentials (a rotated password would
move its shards) or the order of the node list. Two pods that place a shard differently do not hear
each other. Nothing is kept, so nothing is lost in a crash.

Why shards. A topic's hash tag is its shard's number, not its channel's id, so that the topics of
one shard are in one slot of a Redis Cluster and can be subscribed in one command, and so that nodes
are looked up in a table of 64 entries instead of hashed once a message. With 64 shards the
fullest of 2, 4, 8 nodes has 1.1, 1.25, 1.5 times its fair share (medians of 200 lists of nodes) and
no node of up to 7 was left without one; 16 shards a node are a good measure. Pods with different
numbers of shards do not hear each other: while the number is being changed, what they tell each
other comes late (head check) but is not lost.
"""

from collections.abc import Sequence
from hashlib import blake2b

_GOLDEN = 0x9E3779B97F4A7C15  # 2^64 / golden ratio, odd
_MASK = 2**64 - 1


def shard_of(channel: int, shards: int) -> int:
    """The shard of a channel: the upper bits of id × 2^64/φ (Fibonacci hashing), 0.2 µs.

    Not `channel % shards`: ids that step (a sequence with an increment, a constant low part) would
    then meet in few shards. So mixed, 10,000 ids make 150 to 160 a shard, whatever their step.
    """
    return ((channel * _GOLDEN & _MASK) * shards) >> 64


def rendezvous(key: str, nodes: Sequence[str]) -> int:
    """The index of the node that carries `key`: the one that weighs most together with it.

    A node that leaves gives away its own keys only, and one that joins takes only what becomes its.
    The weight is a real hash: CRC is linear, so all keys would order two nodes in much the same
    way.
    """
    return max(range(len(nodes)), key=lambda at: (_weight(key, nodes[at]), nodes[at]))


def place(shards: int, nodes: Sequence[str]) -> list[int]:
    """For every shard the index of its node."""
    return [rendezvous(str(shard), nodes) for shard in range(shards)]


def _weight(key: str, node: str) -> bytes:
    return blake2b(f"{key} {node}".encode(), digest_size=8).digest()


class Topics:
    """The names of all topics under one prefix, which keeps tenants (and tests) apart."""

    CONTROL = "control"  # the control topic's hash tag, and its key when it is placed on a node

    def __init__(self, prefix: str, shards: int) -> None:
        if not prefix.isascii() or not prefix.isprintable() or set(prefix) & set("{} "):
            raise ValueError("a prefix is printable ASCII without braces and blanks")
        if shards < 1:
            raise ValueError("there is at least one shard")
        self._shards = shards
        self.tags = [*map(str, range(shards)), self.CONTROL]  # by shard, and the control's last
        self._heads = [f"{prefix}:{{{tag}}}:".encode() for tag in self.tags]
        self.control = f"{prefix}:{{{self.CONTROL}}}".encode()

    def shard(self, channel: int) -> int:
        """The shard that a channel's topic belongs to."""
        return shard_of(channel, self._shards)

    def channel(self, shard: int, channel: int) -> bytes:
        """A channel's topic, `rtchat:{17}:4711`. Never parsed: an envelope says what it is of."""
        return self._heads[shard] + b"%d" % channel

    def probe(self, shard: int, pod: str) -> bytes:
        """A topic that one pod alone hears, on the node that carries `shard`."""
        return self._heads[shard] + b"probe:" + pod.encode()
