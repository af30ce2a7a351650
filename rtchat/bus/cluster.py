"""Following a Redis Cluster's map: which node serves which slot, read whenever that may change.

Owns: when the map is read, from whom, and the waiting between two readings. Lost in a crash:
nothing that the next process does not read at its start.
Must never: read more often than the backoff allows, end for any reason but being closed, or rely on
being told: Redis has been silent to subscribers of a replica that changed its primary, and a former
primary takes SPUBLISH and tells nobody (seen). So the map is also read at an interval.

Every reading is a connection of its own to a node picked at random: the one asked last may be the
one that is cut off from the others and tells an old map for ever.

For operators. RTCHAT_REDIS_CLUSTER=1, and RTCHAT_REDIS_URLS names some nodes to begin with; the
others are found. User, password and TLS options of the URL that answered hold for every node. With
TLS, let the nodes announce host names that their certificates are for (`cluster-announce-hostname`,
`cluster-preferred-endpoint-type hostname`). Replicas carry nothing until they are promoted. The
user's rights: +ssubscribe +sunsubscribe +spublish +ping +quit +cluster|slots +client|setname, and
the channels `<bus_prefix>:*`.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from typing import Any

import hiredis

from rtchat.bus.address import Address
from rtchat.bus.link import Limits, LinkError, Wire, connect
from rtchat.bus.seldom import Seldom
from rtchat.bus.slots import owners, slot_of

log = logging.getLogger(__name__)

_ASKED_MAX = 4  # nodes a reading tries; each may take the whole connect timeout
# While slots move one after the other, every reading is out of date when it comes, and what moved
# is deaf until the next: then 0.4 s at most, with a base of 50 ms. Not zero: of two nodes that tell
# different maps, each reading picks one, for as long as they do.
_FAILURES_WHILE_IT_CHANGES = 3


class Cluster:
    """Tells `on_map` the owner of every hash tag, for as long as `run` runs."""

    def __init__(
        self,
        seeds: Sequence[Address],
        tags: Sequence[str],
        limits: Limits,
        *,
        client_name: str,
        on_map: Callable[[list[Address | None]], None],
    ) -> None:
        self.readings = 0  # attempts, answered or not
        self.tried = asyncio.Event()  # whether the first one is over
        self._seeds = seeds
        self._known: dict[str, Address] = {}  # of the newest map
        self._told: list[str | None] = []  # the owners' names, as `on_map` was told last
        self._slots = [slot_of(tag) for tag in tags]
        self._limits = limits
        self._client_name = f"{client_name}-map"
        self._on_map = on_map
        self._stale = asyncio.Event()
        self._seldom = Seldom(log)

    def stale(self) -> None:
        """The map may have changed. Any number of calls makes one reading."""
        self._stale.set()

    async def run(self) -> None:
        """Read the map now and whenever it may have changed."""
        failures = 0
        while True:
            self._stale.clear()
            changed = False
            try:
                changed = await self._look()
            except Exception as error:  # noqa: BLE001 who stops looking is deaf after the next move
                self._stale.set()
                self._seldom.warning("bus cluster map not taken", error=error)
            self.tried.set()
            if changed:
                failures = min(failures, _FAILURES_WHILE_IT_CHANGES)
            # what goes wrong at once was not mended by this reading: wait longer before the next
            await asyncio.sleep(self._limits.backoff_s(failures))
            failures = failures + 1 if self._stale.is_set() else 0
            await self._until_stale()

    async def _look(self) -> bool:
        """Read the map and tell it; returns whether it is another one than was told before."""
        found = await self._read()
        if found is None:
            self._stale.set()
            return False
        self._on_map(found)
        before, self._told = self._told, [None if owner is None else owner.name for owner in found]
        return self._told != before

    async def _until_stale(self) -> None:
        try:
            async with asyncio.timeout(self._limits.map_interval_s * random.uniform(0.5, 1)):
                await self._stale.wait()
        except TimeoutError:
            return  # nobody said so; look all the same

    async def _read(self) -> list[Address | None] | None:
        """Ask nodes until one knows; None: none of those asked does."""
        self.readings += 1
        asked = list({node.name: node for node in (*self._seeds, *self._known.values())}.values())
        for node in random.sample(asked, min(len(asked), _ASKED_MAX)):
            try:
                async with asyncio.timeout(self._limits.connect_timeout_s):
                    found = owners(await self._ask(node), self._slots, node)
                if not any(found):
                    raise LinkError("it knows no owner of any slot")
            except (OSError, ValueError) as error:  # ValueError: a bad map, or a bad host in it
                why = str(error) or type(error).__name__
                self._seldom.warning("bus cluster map not read", node=node.name, why=why)
            else:
                self._known = {owner.name: owner for owner in found if owner is not None}
                return found
        return None

    async def _ask(self, node: Address) -> Any:
        wire = await connect(node, self._client_name, self._limits, _ended)
        try:
            [reply] = await wire.ask([(b"CLUSTER", b"SLOTS")])
        finally:
            wire.end("read")
        if isinstance(reply, hiredis.ReplyError):
            raise LinkError(f"CLUSTER SLOTS: {reply}")
        return reply


def _ended(_: Wire) -> None: ...
