"""One Redis node: a link that hears, a link that speaks, and a heartbeat from one to the other.

Owns: the two links and the probe. Lost in a crash: what is in the links.
Must never: block or raise in `publish`, keep silent about a loss, or trust a connection because it
is open.

Two links, because a connection that subscribes can do little else, and so that a server that hangs
up on a slow subscriber (client-output-buffer-limit pubsub) does not take publishing with it.

The probe. A half-open connection shows no error: 12 s of a black hole passed unnoticed by redis-py
and its health checks, and TCP keepalive needs minutes. So each beat is published on one link and
has to come back on the other one; after the time of silence both are dropped, and also if for as
long no subscription was answered though some were asked for: then one direction is dead. An answer
is no excuse for a missing heartbeat: it says nothing of the link that speaks. Silence is counted in
beats and not by the clock, so a pod that was itself stalled gets to read before it judges.

Whatever shows that the map of a cluster may have changed, a lost link too, is told by `on_stale`.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import hiredis

from rtchat.bus import Bus
from rtchat.bus.address import Address
from rtchat.bus.hearing import Hearing, moment
from rtchat.bus.link import Counts, Limits, Link, LinkError, leads_elsewhere, pack
from rtchat.bus.seldom import Seldom
from rtchat.bus.subscriptions import Words
from rtchat.tasks import Tasks

log = logging.getLogger(__name__)

_PING = pack((b"PING",))
_QUIT = pack((b"QUIT",))


class Node:
    """One node as one pod uses it; what arrives goes to `receiver`."""

    def __init__(
        self,
        address: Address,
        receiver: Bus,
        limits: Limits,
        words: Words,
        counts: Counts,
        *,
        client_name: str,
        control: bytes,
        on_stale: Callable[[], None],
    ) -> None:
        self._address = address
        self._limits = limits
        self._words = words
        self._counts = counts
        self._on_stale = on_stale
        self._closing = False
        self._tasks = Tasks("bus node")
        self._heartbeat = b""
        self._silent_beats_max = round(limits.probe_silence_s / limits.probe_interval_s)
        self.tried = asyncio.Event()  # whether connecting succeeded or failed for the first time
        self._seldom = Seldom(log)
        self.hearing = Hearing(
            address,
            receiver,
            limits,
            words,
            counts,
            client_name=f"{client_name}-sub",
            control=control,
            on_stands=self._hearing_stands,
            on_lost=self._link_lost,
            on_stale=self._stale,
        )
        self._speaking = Link(
            address,
            f"{client_name}-pub",
            limits,
            counts=counts,
            on_up=self._speaking_up,
            on_down=self._link_lost,
            on_reply=self._spoken,
        )

    def __repr__(self) -> str:
        state = "up" if self.connected else "down"
        return f"<Node {self.name} {state} topics={self.hearing.topics}>"

    @property
    def name(self) -> str:
        """Where it is, without what gets one in."""
        return self._address.name

    @property
    def connected(self) -> bool:
        """Whether both links stand and everything wanted at the last restart is subscribed."""
        return self._speaking.wire is not None and self.hearing.stands

    @property
    def unsent_bytes(self) -> int:
        """What was published and its link has not taken."""
        wire = self._speaking.wire
        return 0 if wire is None else wire.buffered_bytes()

    def start(self) -> None:
        """Begin to connect."""
        self._tasks.start(self.hearing.link.run())
        self._tasks.start(self._speaking.run())

    async def close(self) -> None:
        """Close both links once what was published is read, or at the close timeout.

        Closing the socket is not enough: the replies still to come would meet a closed one, and the
        reset that this causes makes the server forget what it has not read.
        """
        self._closing = True
        try:
            await self._tasks.close()
            wires = [
                link.wire for link in (self.hearing.link, self._speaking) if link.wire is not None
            ]
            self.hearing.link.drop("closed")
            self._speaking.write(_QUIT)
            if wires:
                gone = [wire.gone for wire in wires]
                await asyncio.wait(gone, timeout=self._limits.close_timeout_s)
        finally:
            self.drop("closed")

    def drop(self, why: str) -> None:
        """Give up both connections."""
        self.hearing.link.drop(why)
        self._speaking.drop(why)

    # publishing

    def publish(self, topic: bytes, payload: bytes) -> None:
        """Send, or drop and count. An error that comes back is counted too, later."""
        wire = self._speaking.wire
        if (
            wire is not None
            and wire.buffered_bytes() + len(payload) <= self._limits.publish_buffer_bytes
            and wire.write(pack((self._words.publish, topic, payload)))
        ):
            self._counts.published += 1
        else:
            self._counts.dropped += 1
            self._seldom.warning("bus item dropped", node=self._address.name)

    def _spoken(self, reply: Any) -> None:
        if type(reply) is int or reply == b"OK":  # to PUBLISH, to QUIT
            return
        if not isinstance(reply, hiredis.ReplyError):
            raise LinkError(f"not a reply to a publish: {reply!r:.100}")
        self._counts.refused += 1
        self._seldom.warning("bus item refused", node=self._address.name, why=str(reply)[:200])
        if leads_elsewhere(reply):
            self._stale()

    # the two links together

    def _speaking_up(self) -> None:
        self._speaking.proven()
        if self.hearing.stands_at is None:
            self.tried.set()

    def _hearing_stands(self) -> None:
        if self._speaking.wire is not None:
            self.tried.set()

    def _link_lost(self) -> None:
        self.tried.set()
        self._stale()

    def _stale(self) -> None:
        if not self._closing:
            self._on_stale()

    # the probe

    def watch(self, heartbeat: bytes) -> None:
        """Send the heartbeat on this topic, which no other pod hears and this node carries."""
        self._heartbeat = heartbeat
        self.hearing.watch(heartbeat)

    def beat(self) -> None:
        """Count the silence, end what is silent for too long, and send the next heartbeat.

        While there is no link to publish on, a PING shows at least that the other one lives. A link
        that stands but is full gets its beat all the same: being full is no excuse for being dead.
        """
        if self.hearing.link.wire is None:
            return
        if self.hearing.beat() >= self._silent_beats_max:
            self.drop("did not hear its own heartbeat, or the answers to what was asked")
        elif not self._speaking.write(pack((self._words.publish, self._heartbeat, moment()))):
            self.hearing.link.write(_PING)
