"""A real Redis Cluster of Valkeys on this machine, to use and to break."""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any, Self

import redis

from rtchat.bus.slots import SLOTS, slot_of
from rtchat.server.launch import free_port
from rtchat.server.valkey import PrivateValkey

NODE_TIMEOUT_MS = 2000  # after which the others take a node for dead
READY_S = 30.0  # ready in 2 s on a quiet machine


class ValkeyCluster:
    """Three primaries, the slots shared out evenly; `with` it."""

    def __init__(self, primaries: int = 3) -> None:
        self.nodes = [_node() for _ in range(primaries)]
        self._primaries = primaries

    def __enter__(self) -> Self:
        try:
            for node in self.nodes:
                node.start()
            bounds = [SLOTS * number // self._primaries for number in range(self._primaries + 1)]
            for at, node in enumerate(self.nodes):
                ask(node, "CLUSTER", "ADDSLOTSRANGE", bounds[at], bounds[at + 1] - 1)
                self._introduce(node)
            self.heal()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        for node in self.nodes:
            node.kill()  # an orderly end of each takes longer, and nothing is kept
            node.stop()

    @property
    def urls(self) -> list[str]:
        return [node.url for node in self.nodes]

    def owner(self, tag: str) -> PrivateValkey:
        """The primary of this hash tag's slot."""
        port = _port_of(tag, self._running()[0])
        [owner] = [node for node in self.nodes if node.port == port]
        return owner

    def agrees(self, tag: str, owner: PrivateValkey) -> bool:
        """Whether all nodes that run know `owner` as the primary of this tag's slot."""
        return all(_port_of(tag, node) == owner.port for node in self._running())

    @property
    def primaries(self) -> list[PrivateValkey]:
        """The nodes that run and serve slots, or could."""
        return [node for node in self._running() if ask(node, "ROLE")[0] == "master"]

    def other(self, than: PrivateValkey) -> PrivateValkey:
        """Some other primary that runs."""
        return next(node for node in self.primaries if node is not than)

    @contextlib.contextmanager
    def quick_to_judge(self) -> Iterator[None]:
        """Let nodes take one another for dead sooner, where that is waited for."""
        for timeout_ms in (NODE_TIMEOUT_MS // 2, NODE_TIMEOUT_MS):
            for node in self._running():
                ask(node, "CONFIG", "SET", "cluster-node-timeout", timeout_ms)
            if timeout_ms < NODE_TIMEOUT_MS:
                yield

    def migrate(self, tag: str, to: PrivateValkey) -> None:
        """Hand this tag's slot over, as resharding tools do; it is empty, as for pub/sub only."""
        slot, owner = slot_of(tag), self.owner(tag)
        new, old = (ask(node, "CLUSTER", "MYID") for node in (to, owner))
        ask(to, "CLUSTER", "SETSLOT", slot, "IMPORTING", old)
        ask(owner, "CLUSTER", "SETSLOT", slot, "MIGRATING", new)
        ask(to, "CLUSTER", "SETSLOT", slot, "NODE", new)
        ask(owner, "CLUSTER", "SETSLOT", slot, "NODE", new)
        until_blocking(lambda: self.agrees(tag, to))

    def replica(self, of: PrivateValkey) -> PrivateValkey:
        """A node that copies `of` and can take its place; started if there is none."""
        for node in self._running():
            told = ask(node, "INFO", "replication")
            if told["role"] == "slave" and told["master_port"] == of.port:
                return node
        return self._add_replica(of)

    def _add_replica(self, of: PrivateValkey) -> PrivateValkey:
        replica = _node()
        self.nodes.append(replica)
        replica.start()
        self._introduce(replica)
        of_id = ask(of, "CLUSTER", "MYID")
        until_blocking(lambda: of_id in ask(replica, "CLUSTER", "NODES"))
        ask(replica, "CLUSTER", "REPLICATE", of_id)
        until_blocking(lambda: ask(replica, "INFO", "replication")["master_link_status"] == "up")
        self.heal()
        return replica

    def heal(self) -> None:
        """Let all nodes run, and return when all agree that all slots are served.

        Not only when all call themselves well: a primary that starts keeps from that for 2 s, for
        the sake of keys; what is published it carries.
        """
        for node in self.nodes:
            if node in self._running():
                node.send_signal(signal.SIGCONT)
            else:
                node.start()
        until_blocking(lambda: all(self._is_well(node) for node in self.nodes))

    def _running(self) -> list[PrivateValkey]:
        return [node for node in self.nodes if node._child is not None]

    def _is_well(self, node: PrivateValkey) -> bool:
        told = str(ask(node, "CLUSTER", "INFO")).split()
        return {f"cluster_slots_ok:{SLOTS}", f"cluster_known_nodes:{len(self.nodes)}"} <= set(told)

    def _introduce(self, node: PrivateValkey) -> None:
        first = self.nodes[0]
        if node is not first:
            ask(node, "CLUSTER", "MEET", "127.0.0.1", first.port, first.settings["cluster-port"])


def _node() -> PrivateValkey:
    return PrivateValkey(
        {
            "cluster-enabled": "yes",
            "cluster-node-timeout": str(NODE_TIMEOUT_MS),
            "cluster-port": str(free_port()),
            "repl-diskless-sync-delay": "0",
        }
    )


def _port_of(tag: str, seen_by: PrivateValkey) -> int | None:
    slot = slot_of(tag)
    for first, last, primary, *_ in ask(seen_by, "CLUSTER", "SLOTS"):
        if first <= slot <= last:
            return int(primary[1])
    return None


def ask(node: PrivateValkey, *command: object) -> Any:
    """One command to one node."""
    with redis.Redis.from_url(node.url, decode_responses=True, protocol=2) as client:
        return client.execute_command(*command)


def until_blocking(condition: Callable[[], bool], within_s: float = READY_S) -> None:
    """Wait for what a cluster agrees on by itself; tests' own pods stand still meanwhile."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.02)
