"""One Redis node: a link that hears, a link that speaks, and a heartbeat from one to the other.

Owns: the two links, the node's subscriptions and the probe. Lost in a crash: what is in the links.
Must never: block or raise in `publish`, keep silent about a loss, or trust a connection because it
is open.

Two links, because a connection that subscribes can do little else, and so that a server that hangs
up on a slow subscriber (client-output-buffer-limit pubsub) does not take publishing with it.

The probe. A half-open connection shows no error: 12 s of a black hole passed unnoticed by redis-py
and its health checks, and TCP keepalive needs minutes. So each beat is published on one link and
has to come back on the other one; after the time of silence both are dropped. Silence is counted in
beats and not by the clock, so a pod that was itself stalled gets to read before it judges.

In a cluster topics come from other nodes (`adopt`) and leave to others (`forget`). Whatever shows
that the map of the cluster may have changed, a lost link too, is told by `on_stale`.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import hiredis

from rtchat.bus import Bus
from rtchat.bus.address import Address
from rtchat.bus.link import Limits, Link, LinkError, pack
from rtchat.bus.seldom import Seldom
from rtchat.bus.subscriptions import Subscriptions, Waiter, Words
from rtchat.tasks import Tasks

log = logging.getLogger(__name__)

_PING = pack((b"PING",))
_QUIT = pack((b"QUIT",))
_ELSEWHERE = (
    "MOVED ",
    "ASK ",
    "CLUSTERDOWN ",
    "TRYAGAIN ",
)  # errors that mean: not here, or not now


@dataclass(slots=True)
class Counts:
    """What happened on all nodes of a bus, those included that have left."""

    published: int = 0  # handed to the socket
    dropped: int = 0  # not published: the link was down or its buffer full
    refused: int = 0  # published, and answered with an error
    received: int = 0
    receiver_errors: int = 0


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
        self._receiver = receiver
        self._limits = limits
        self._words = words
        self._counts = counts
        self._control = control
        self._on_stale = on_stale
        self._tasks = Tasks("bus node")
        self._probe = b""
        self._beat = b""
        self._silent_beats = 0
        self._silent_beats_max = round(limits.probe_silence_s / limits.probe_interval_s)
        self._subscriptions = Subscriptions(
            words, limits.subscribe_batch_topics, limits.subscribe_window_topics
        )
        self._flush_due = False
        self._stands_at: int | None = 0  # the reply with which all will stand; None: all does
        self._disturbed = False  # whether anything can ever have been missed
        self._gained = False  # whether a topic was confirmed since something was missing
        self.tried = asyncio.Event()  # whether connecting succeeded or failed for the first time
        self._seldom = Seldom(log)
        self._hearing = Link(
            address,
            f"{client_name}-sub",
            limits,
            on_up=self._hearing_up,
            on_down=self._hearing_down,
            on_reply=self._heard,
        )
        self._speaking = Link(
            address,
            f"{client_name}-pub",
            limits,
            on_up=self._speaking_up,
            on_down=self._speaking_down,
            on_reply=self._spoken,
        )

    def __repr__(self) -> str:
        state = "up" if self.connected else "down"
        return f"<Node {self._address.name} {state} topics={len(self._subscriptions)}>"

    @property
    def connected(self) -> bool:
        """Whether both links stand and everything wanted at the last restart is subscribed."""
        return (
            self._speaking.wire is not None
            and self._stands_at is None
            and not self._subscriptions.stranded
        )

    @property
    def reconnects(self) -> int:
        """How often a link came back."""
        return self._hearing.reconnects + self._speaking.reconnects

    @property
    def answered(self) -> int:
        """How many subscriptions the server confirmed so far; tells progress."""
        return self._subscriptions.answered

    def start(self) -> None:
        """Begin to connect."""
        self._tasks.start(self._hearing.run())
        self._tasks.start(self._speaking.run())

    async def close(self) -> None:
        """Close both links once what was published is read, or at the close timeout.

        Closing the socket is not enough: the replies still to come would meet a closed one, and the
        reset that this causes makes the server forget what it has not read.
        """
        self._on_stale = _nothing
        try:
            await self._tasks.close()
            wires = [link.wire for link in (self._hearing, self._speaking) if link.wire is not None]
            self._hearing.drop("closed")
            self._speaking.write(_QUIT)
            if wires:
                gone = [wire.gone for wire in wires]
                await asyncio.wait(gone, timeout=self._limits.close_timeout_s)
        finally:
            self.drop("closed")

    def drop(self, why: str) -> None:
        """Give up both connections."""
        self._hearing.drop(why)
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
        if _leads_elsewhere(reply):
            self._on_stale()

    def _speaking_up(self) -> None:
        self._speaking.proven()
        if self._stands_at is None:
            self.tried.set()

    def _speaking_down(self) -> None:
        self.tried.set()
        self._on_stale()

    # which topics are here

    def watch(self, probe: bytes) -> None:
        """Send the heartbeat on this topic, which nobody else hears and this node carries."""
        self._subscriptions.forget([self._probe])
        self._probe = probe
        self._beat = pack((self._words.publish, probe, b""))
        self._silent_beats = 0
        self._subscriptions.add([probe])
        self._flush_soon()

    def adopt(self, topics: Iterable[bytes], *, missed: bool) -> None:
        """Hear topics that were to be heard until now; `missed`: items of theirs may be lost."""
        self._subscriptions.add(topics)
        if missed:
            self._restore()

    def forget(self, topics: Iterable[bytes]) -> None:
        """These topics are another node's from now on."""
        self._subscriptions.forget(topics)

    def ask_again(self) -> None:
        """What was refused or taken away is this node's all the same, says the newest map."""
        if self._subscriptions.stranded:
            self._subscriptions.ask_again()
            self._restore()

    def _restore(self) -> None:
        """Tell the receiver as soon as what is wanted now stands."""
        self._disturbed = True
        if self._hearing.wire is not None and not self._subscriptions.settled:
            self._gained = self._gained and self._stands_at is not None
            self._stands_at = self._subscriptions.backlog_ends
            self._flush_soon()

    # subscribing

    def subscribe(self, topics: Iterable[bytes]) -> "asyncio.Future[None] | None":
        """Hear these topics. Done when confirmed or when the link breaks; None: no need to wait."""
        if self._hearing.wire is None:
            self._subscriptions.add(topics)
            self._disturbed = True
            return None
        confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiter = Waiter(lambda: confirmed.set_result(None))
        self._subscriptions.add(topics, waiter)
        if waiter.missing == 0:
            return None
        self._flush_soon()
        return confirmed

    def unsubscribe(self, topics: Iterable[bytes]) -> None:
        """Hear them no longer."""
        self._subscriptions.remove(topics)
        self._flush_soon()

    def overdue(self, answered: int) -> None:
        """A subscriber went on without a confirmation, when `answered` was the count at its start.

        A server that confirmed nothing at all in this time is taken for dead; one that works off a
        long list is not, or a pod with many topics could never come back.
        """
        self._disturbed = True
        if self._subscriptions.answered == answered:
            self._hearing.drop("a subscription was not confirmed in time")
        else:
            self._stands_at = self._subscriptions.backlog_ends

    def _flush_soon(self) -> None:
        """Send at the end of this turn: everyone who subscribes in it shares one command."""
        if not self._flush_due and self._hearing.wire is not None:
            self._flush_due = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        if self._hearing.wire is not None and (commands := self._subscriptions.take()):
            self._hearing.write(b"".join(pack(command) for command in commands))

    # hearing

    def _heard(self, reply: Any) -> None:
        # 100-byte messages, local server, uvloop: 0.6 to 0.7 µs of CPU each up to the
        # receiver, of which 0.4 are the loop and the RESP reader (redis-py: 6.5).
        if type(reply) is not list:
            self._not_heard(reply)
            return
        kind = reply[0]
        words = self._words
        if kind == words.message:
            _, topic, item = reply
            if topic == self._probe:
                self._silent_beats = 0
                return
            self._counts.received += 1
            try:
                if topic == self._control:
                    self._receiver.on_control(item)
                else:
                    self._receiver.on_envelope(item)
            except Exception as error:  # noqa: BLE001 one bad item must not cost the next one
                self._receiver_failed(error)
        elif kind in (words.subscribed, words.unsubscribed):
            self._answered(kind, reply[1])
        elif kind == b"pong":
            self._silent_beats = 0
        else:
            raise LinkError(f"not from a subscription: {reply!r:.200}")

    def _not_heard(self, reply: Any) -> None:
        if not (self._words.sharded and _leads_elsewhere(reply)):
            raise LinkError(f"not from a subscription: {reply!r:.200}")
        self._seldom.warning("bus topics refused", node=self._address.name, why=str(reply)[:200])
        self._subscriptions.refused()
        self._disturbed = True
        self._on_stale()
        self._went_on()

    def _answered(self, kind: bytes, topic: bytes) -> None:
        if self._subscriptions.answer(kind, topic):
            self._gained = self._gained or kind == self._words.subscribed
            self._went_on()
        elif self._words.sharded and kind == self._words.unsubscribed:
            self._subscriptions.taken_away(topic)
            self._disturbed = True
            self._on_stale()
        else:
            raise LinkError(f"an answer out of turn: {kind!r} {topic!r:.100}")

    def _went_on(self) -> None:
        if self._subscriptions.has_room:
            self._flush()
        if self._stands_at is not None and (
            self._subscriptions.answered >= self._stands_at or self._subscriptions.settled
        ):
            self._restored()

    def _restored(self) -> None:
        self._stands_at = None
        self._hearing.proven()
        if self._speaking.wire is not None:
            self.tried.set()
        if self._disturbed and self._gained:  # else what was asked for again was refused again
            try:
                self._receiver.on_restored()
            except Exception as error:  # noqa: BLE001 as for an item
                self._receiver_failed(error)

    def _receiver_failed(self, error: Exception) -> None:
        self._counts.receiver_errors += 1
        self._seldom.warning("a receiver of the bus failed", error=error)

    def _hearing_up(self) -> None:
        self._silent_beats = 0
        self._stands_at = self._subscriptions.backlog_ends
        self._flush()

    def _hearing_down(self) -> None:
        self._disturbed = True
        self._stands_at = 0
        self._subscriptions.lost()
        self.tried.set()
        self._on_stale()

    # the probe

    def beat(self) -> None:
        """Count the silence, end what is silent for too long, and send the next heartbeat.

        While there is no link to publish on, a PING shows at least that the other one lives. A link
        that stands but is full gets its beat all the same: being full is no excuse for being dead.
        """
        if self._hearing.wire is None:
            return
        self._silent_beats += 1
        if self._silent_beats >= self._silent_beats_max:
            self.drop("did not hear its own heartbeat")
        elif not self._speaking.write(self._beat):
            self._hearing.write(_PING)


def _leads_elsewhere(reply: Any) -> bool:
    return isinstance(reply, hiredis.ReplyError) and str(reply).startswith(_ELSEWHERE)


def _nothing() -> None: ...
