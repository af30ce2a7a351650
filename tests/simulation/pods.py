"""Pods without I/O: the real hub, rooms and catching up, on a model log and a model network."""

import asyncio
import itertools
from collections.abc import Callable, Iterable

from rtchat import hub as hubs
from rtchat.config import Config
from rtchat.envelope import Envelope
from rtchat.model import LogEntry
from rtchat.protocol import pack, payloads
from rtchat.room import Room
from tests.simulation.channels import EPOCH, Logs, ModelChannels, ModelMessages
from tests.simulation.turns import PromiseError, Questions, TurnLoop

# Tiny, so that tails are shed, envelopes do not fit, and a page is less than what is missing.
CONFIG = Config(
    reorder_max_bytes=1000,
    tail_max_bytes=800,
    catch_up_rows=3,
    write_low_bytes=60,
    write_high_bytes=150,
    reorder_ms=0,
    room_linger_ms=5000,
)


class Network:
    """Who hears what. What is published waits in each hearer's inbox until it is taken, or lost."""

    def __init__(self) -> None:
        self.buses: list[ModelBus] = []

    def publish(self, channel: int, envelope: bytes) -> None:
        """Send to every bus that hears the channel, the publisher's own too, as Redis does."""
        for bus in self.buses:
            if channel in bus.heard:
                bus.inbox.append(envelope)


class ModelBus:
    """One pod's place on the network."""

    def __init__(self, pod: int, network: Network, questions: Questions) -> None:
        self.on_envelope: Callable[[bytes], None]
        self.on_control: Callable[[bytes], None]
        self.on_restored: Callable[[], None]
        self.heard: set[int] = set()
        self.inbox: list[bytes] = []
        self._wanted: set[int] = set()
        self._pod, self._network, self._questions = pod, network, questions
        self._up = True
        network.buses.append(self)

    @property
    def alone(self) -> bool:
        """Whether no other pod is there."""
        return False

    @property
    def connected(self) -> bool:
        """Whether the link stands."""
        return self._up

    async def start(self) -> None:
        """It stands from the beginning."""

    async def close(self) -> None:
        """Leave the network."""
        self._network.buses.remove(self)

    async def subscribe(self, channels: Iterable[int]) -> None:
        """Hear these channels from the moment on at which the question is read."""
        self._wanted |= set(channels)
        if self._up:
            key = ("subscribe", self._pod, *sorted(channels))
            await self._questions.ask(key, self._hear)

    def _hear(self) -> None:
        self.heard = set(self._wanted) if self._up else set()

    def unsubscribe(self, channels: Iterable[int]) -> None:
        """Hear them no longer."""
        self._wanted -= set(channels)
        self.heard -= set(channels)

    def publish(self, channel: int, envelope: bytes) -> None:
        """Send to whoever hears it."""
        if self._up:
            self._network.publish(channel, envelope)

    def publish_control(self, item: bytes) -> None:
        """Nothing of the control topic is modelled."""
        raise NotImplementedError

    def down(self) -> None:
        """The link breaks; what was on its way may still come."""
        self._up = False
        self.heard.clear()

    def up(self) -> None:
        """The link stands again."""
        self._up = True
        self._hear()
        self.on_restored()


class Pod:
    """One pod: its hub, its bus, and what it has committed and not yet answered."""

    def __init__(
        self,
        number: int,
        config: Config,
        loop: TurnLoop,
        logs: Logs,
        network: Network,
        questions: Questions,
    ) -> None:
        self.number = number
        self.loop = loop
        self.logs = logs
        self.bus = ModelBus(number, network, questions)
        self.hub = hubs.Hub(
            config,
            self.bus,
            ModelChannels(number, logs, questions),
            ModelMessages(number, logs, questions),
        )
        self.rooms = self.hub.rooms
        self.rooms.epoch = EPOCH
        self.rooms.settled = self._settled
        self.unanswered: dict[int, list[LogEntry]] = {}
        self.commands: list[asyncio.Task[None]] = []  # of its sockets, those that have ended too
        self._waiting: list[asyncio.Future[None]] = []
        loop.act(self.hub.start)

    def end(self) -> None:
        """Stop whatever runs here."""
        for command in self.commands:
            command.cancel()
        self.loop.create_task(self.hub.close())

    async def _settled(self, channel_id: int, _: float) -> None:
        """As the writer's; but where it would give up, it waits."""
        while channel_id in self.unanswered:
            waiting = self.loop.create_future()
            self._waiting.append(waiting)
            await waiting

    def answer(self, channel_id: int, max_bytes: int, *, lost: bool) -> None:
        """Answer what was committed, and only then deliver it (writer: `_answer`, `_settle`).

        `lost`: the answer to COMMIT was; the entries were found by their nonces, without envelopes.
        """
        entries = self.unanswered.pop(channel_id)
        if lost:
            for e in entries:
                self.rooms.note_head(channel_id, e.seq)
        else:
            for envelope in pack(entries, max_bytes):
                self.rooms.deliver(envelope)
                self.bus.publish(channel_id, self.rooms.stamped(envelope))
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def may_show(self, channel_id: int, seq: int) -> bool:
        """Whether the entry need not wait for its own pod's answer (an ack before its `msg`)."""
        return all(e.seq > seq for e in self.unanswered.get(channel_id, ()))

    def check(self) -> None:
        """What holds of a pod's rooms at any time."""
        weights = 0
        for channel_id, room in self.rooms._rooms.items():
            log = self.logs[channel_id]
            if room.cursor > log.head or not self.may_show(channel_id, room.cursor):
                raise PromiseError(f"{room!r} has what is not committed, or not answered")
            held = sum(map(weight, room._held.values()))
            if sorted(room._firsts) != sorted(room._held):
                raise PromiseError(f"{room!r} has {room._firsts} in order, holds {room._held}")
            if room._held_bytes != held or held > CONFIG.reorder_max_bytes:
                raise PromiseError(f"{room!r} counts {room._held_bytes} bytes, holds {held}")
            if room.is_open and room._held and not room.behind:
                raise PromiseError(f"{room!r} forgot its hole")
            weights += sum(map(weight, room._tail[room._shed :]))
            self._check_tail(room)
        tails = self.rooms._tails
        if tails.bytes != weights or weights > CONFIG.tail_max_bytes:
            raise PromiseError(f"tails count {tails.bytes} bytes, hold {weights}")

    def _check_tail(self, room: Room) -> None:
        """It is the end of what the room has, without a hole, as the log has it."""
        kept, texts = room._tail[room._shed :], self.logs[room.channel_id].texts
        for envelope, follower in itertools.pairwise(kept):
            if follower.first != envelope.last + 1:
                raise PromiseError(f"{room!r} has {follower} behind {envelope} in its tail")
        if kept and kept[-1].last != room.cursor:
            raise PromiseError(f"{room!r} has a tail up to {kept[-1].last}")
        for e in kept:
            if payloads(e.payload) != [t for t in texts[e.first - 1 : e.last] if t]:
                raise PromiseError(f"{room!r} has in its tail what the log has not: {e}")
        if self.rooms._tails._order.count(room) != len(kept):
            raise PromiseError(f"{room!r} has {len(kept)} envelopes, and other turns to shed them")


def weight(envelope: Envelope) -> int:
    """What an envelope that is kept takes, in bytes (as in `rtchat.room`, and said again here)."""
    return len(envelope.payload) + 200
