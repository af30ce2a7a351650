"""The half of a node that hears: its subscriptions over all its connections, and what arrives.

Owns: the hearing link, which topics are wanted here, and when to tell that they stand again.
Must never: tell so before every topic wanted at that time was answered, keep silent about a loss,
or let a receiver's mistake cost the next item. Lost in a crash: what is in the link.

In a cluster topics come from other nodes (`adopt`) and leave to others (`forget`). A server that
refuses a topic or takes it away is not argued with: `on_stale` has the map of the cluster read, and
then either `forget` or `ask_again` is called.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

from rtchat.bus import Bus
from rtchat.bus.address import Address
from rtchat.bus.link import Counts, Limits, Link, LinkError, leads_elsewhere, pack
from rtchat.bus.seldom import Seldom
from rtchat.bus.slots import slot_told
from rtchat.bus.subscriptions import Subscriptions, Waiter, Words

log = logging.getLogger(__name__)


LAG_MAX_S = 60.0  # of one's own heartbeat; long before that the link is dropped


def moment() -> bytes:
    """What a heartbeat says: when it was sent, by the clock of this machine's start."""
    return b"%.6f" % time.monotonic()


class Hearing:
    """What one node hears for one pod; items go to `receiver`."""

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
        on_stands: Callable[[], None],
        on_lost: Callable[[], None],
        on_stale: Callable[[], None],
    ) -> None:
        self.stands_at: int | None = 0  # the reply with which all will stand; None: all does
        self._late_at = 0  # the reply with which all will stand that was overdue since
        self._silent_beats = 0  # since the last sign of life
        self._unanswered_beats = 0  # since the last answer, or since something was asked
        self._name = address.name
        self._receiver = receiver
        self._words = words
        self._counts = counts
        self._control = control
        self._on_stands = on_stands
        self._on_lost = on_lost
        self._on_stale = on_stale
        self._probe = b"}:probe:"  # how the topics of this pod's heartbeats end
        self._heartbeat = b""
        self._subscriptions = Subscriptions(
            words, limits.subscribe_batch_topics, limits.subscribe_window_topics
        )
        self._flush_due = False
        self._disturbed = False  # whether anything can ever have been missed
        self._gained = False  # whether a topic was confirmed since something was missing
        self._seldom = Seldom(log)
        self.link = Link(
            address,
            client_name,
            limits,
            counts=counts,
            on_up=self._up,
            on_down=self._down,
            on_reply=self._heard,
        )

    @property
    def topics(self) -> int:
        """How many are wanted."""
        return len(self._subscriptions)

    @property
    def stands(self) -> bool:
        """Whether everything wanted at the last restart is subscribed, and nothing was refused."""
        return self.stands_at is None and not self._subscriptions.stranded

    # which topics are here

    def watch(self, heartbeat: bytes) -> None:
        """Hear the heartbeat on this topic from now on, as a sign of life and nothing else."""
        self._subscriptions.forget([self._heartbeat])
        self._heartbeat = heartbeat
        self._probe = heartbeat[heartbeat.index(b"}") :]
        self._silent_beats = 0
        self._subscriptions.add_first(heartbeat)
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
        if self.link.wire is not None and not self._subscriptions.settled:
            self._gained = self._gained and self.stands_at is not None
            self.stands_at = self._subscriptions.backlog_ends
            self._flush_soon()

    def subscribe(self, topics: Iterable[bytes]) -> "asyncio.Future[None] | None":
        """Hear these topics. Done when confirmed or when the link breaks; None: no need to wait."""
        if self.link.wire is None:
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

    def overdue(self) -> None:
        """A subscriber went on without a confirmation: tell of a loss once all asked for stands.

        Whether the server is dead is for the beats to say. To a pod with much to do, somebody is
        always subscribing: with a limit of its own here, that one would be the limit of silence.
        """
        self._disturbed = True
        if self.stands_at is None:
            self.stands_at = self._subscriptions.backlog_ends
        else:  # not put off: who is late all the time would never be told
            self._late_at = self._subscriptions.backlog_ends

    def beat(self) -> int:
        """Count a beat; returns for how many nothing was heard, or no answer to what was asked."""
        self._silent_beats += 1
        self._unanswered_beats += self._subscriptions.asking
        return max(self._silent_beats, self._unanswered_beats)

    def _flush_soon(self) -> None:
        """Send at the end of this turn: everyone who subscribes in it shares one command."""
        if not self._flush_due and self.link.wire is not None:
            self._flush_due = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        if self.link.wire is not None and (commands := self._subscriptions.take()):
            self.link.write(b"".join(pack(command) for command in commands))

    # what arrives

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
            if topic.endswith(self._probe):
                self._silent_beats = 0
                self._note_lag(item)
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

    def _note_lag(self, item: bytes) -> None:
        try:
            lag_s = time.monotonic() - float(item)
        except ValueError:
            return  # somebody else's, who may publish here: a sign of life all the same
        if 0 <= lag_s <= LAG_MAX_S:
            self._counts.lag.observe(lag_s)

    def _not_heard(self, reply: Any) -> None:
        if reply == b"PONG":  # in this form to who has no subscription at all
            self._silent_beats = 0
            return
        if not (self._words.sharded and leads_elsewhere(reply)):
            raise LinkError(f"not from a subscription: {reply!r:.200}")
        self._seldom.warning("bus topics refused", node=self._name, why=str(reply)[:200])
        self._subscriptions.refused(slot_told(str(reply)))
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
        self._unanswered_beats = 0
        if self._subscriptions.has_room:
            self._flush()
        if self.stands_at is not None and (
            self._subscriptions.answered >= self.stands_at or self._subscriptions.settled
        ):
            self._restored()

    def _restored(self) -> None:
        stands = self._subscriptions.settled or self._subscriptions.answered >= self._late_at
        self.stands_at = None if stands else self._late_at
        self.link.proven()
        self._on_stands()
        if self._disturbed and self._gained:  # else what was asked for again was refused again
            try:
                self._receiver.on_restored()
            except Exception as error:  # noqa: BLE001 as for an item
                self._receiver_failed(error)

    def _receiver_failed(self, error: Exception) -> None:
        self._counts.receiver_errors += 1
        self._seldom.warning("a receiver of the bus failed", error=error)

    def _up(self) -> None:
        self._silent_beats = self._unanswered_beats = 0
        self.stands_at = self._subscriptions.backlog_ends
        self._late_at = 0
        self._flush()

    def _down(self) -> None:
        self._disturbed = True
        self.stands_at = 0
        self._subscriptions.lost()
        self._on_lost()
