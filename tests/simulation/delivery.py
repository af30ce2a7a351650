"""The machine of delivery: pods, channels, devices and a network that does what it likes.

Each rule is one thing that the world may do. Questions to the database are read at one moment and
answered at a later one, envelopes arrive late, twice, out of order or never, and the pods' own code
runs turn by turn in between.
"""

import itertools
import random
import sys
from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import initialize

from rtchat.envelope import Control, ControlKind, Envelope
from rtchat.model import Kind
from rtchat.room import State
from tests.simulation.channels import EPOCH, ChannelLog
from tests.simulation.machines import Machine, one_of, step
from tests.simulation.pods import CONFIG, Network, Pod
from tests.simulation.sockets import Numbered, Socket
from tests.simulation.turns import ErrorLog, PromiseError, Questions, TurnLoop

CHANNELS = (1, 2)
USERS = (1, 2, 3)
WHO = (*USERS, *(-u for u in USERS))  # negative: who leaves by itself
DEVICES = (1, 2, 3, 1)  # the user of each: one has two
WITHOUT_HEAD_CHECKS = msgspec.structs.replace(CONFIG, head_check_ms=600_000)
HEALED_S = 6.0  # two head checks, and a catch-up that sleeps a second before it asks again
QUESTIONS_MAX = 400  # after the healing, for logs of some hundred entries in pages of three

PODS, EITHER, PICKS = (0, 1), (False, True), range(60)  # PICKS: of what there is then
SIZES = (0, 100, 1000)  # of envelopes, in bytes
_rng = random.Random(0)
WISHES = [
    [
        (_rng.choice([Kind.MESSAGE, Kind.MESSAGE, Kind.LEAVE, Kind.JOIN]), _rng.choice(WHO))
        for _ in range(_rng.randint(1, 5))
    ]
    for _ in range(60)
]

# What no pod has sent: garbage, and envelopes of entries that are far from being stored.
FORGED = [
    b"garbage",
    *(
        bytes(Envelope(c, 10**6 + c, (2,), (Control(0, ControlKind.DELETED, 0),), b"\x81\x00"))
        for c in CHANNELS
    ),
]


class Delivery(Machine):
    """Two pods, two channels, four devices."""

    def __init__(self) -> None:
        super().__init__()
        Numbered.numbers = itertools.count()
        self.loop = TurnLoop()
        self.errors = ErrorLog(self.loop)
        self.questions = Questions()
        self.network = Network()
        self.logs = {c: ChannelLog(c, USERS) for c in CHANNELS}
        self.pods: list[Pod] = []
        self.sockets: list[Socket | None] = [None] * len(DEVICES)
        self.held: list[dict[int, int]] = [{} for _ in DEVICES]  # each device's cursors
        self.by_turns = False
        self.lossy = True

    def new_pod(self, number: int) -> Pod:
        config = CONFIG if self.lossy else WITHOUT_HEAD_CHECKS
        return Pod(number, config, self.loop, self.logs, self.network, self.questions)

    def act(self, what: Callable[..., Any], *args: Any) -> None:
        """Do it in the loop, and all that follows at once, unless the run goes turn by turn."""
        self.loop.act(what, *args)
        if not self.by_turns:
            self.loop.settle()

    def connected(self) -> list[Socket]:
        return [s for s in self.sockets if s is not None]

    @initialize(
        old=st.integers(0, 7),
        by_turns=st.booleans(),
        lossy=st.sampled_from([True, True, False]),
        there=st.sets(st.integers(0, len(DEVICES) - 1)),
    )
    def begin(self, old: int, by_turns: bool, lossy: bool, there: set[int]) -> None:
        """Begin with a log, and with some devices live already.

        Where nothing is lost, nobody needs a head check to get everything.
        """
        self.lossy = lossy
        self.pods = [self.new_pod(n) for n in (0, 1)]
        for log in self.logs.values():
            log.commit([(Kind.MESSAGE, 1)] * old)
        self.questions.at_once = True
        for n in sorted(there):
            self.connect(n, self.pods[n % 2])
            self.subscribe_to(n, dict.fromkeys(CHANNELS), None)
        self.questions.at_once = False
        self.by_turns = by_turns

    # --- the loop, and time

    @step(lambda self: not self.loop.resting, turns=[1, 1, 2, 10])
    def turn(self, turns: int) -> None:
        for _ in range(turns):
            self.loop.turn()

    @step(seconds=[0.1, 1.0, 2.0, 6.0])
    def wait(self, seconds: float) -> None:
        self.loop.wait(seconds)

    # --- the log grows

    @step(pod=PODS, channel=CHANNELS, wishes=WISHES, size=SIZES, now=EITHER)
    def commit(self, pod: int, channel: int, wishes: list[Any], size: int, now: bool) -> None:
        """A pod commits a batch; it answers and delivers `now`, or a while later."""
        self.commit_to(pod, channel, wishes, size, now)

    def commit_to(self, pod: int, channel: int, wishes: list[Any], size: int, now: bool) -> None:
        if channel in self.pods[pod].unanswered:  # a lane's batches come one by one
            return
        if entries := self.logs[channel].commit(wishes):
            self.pods[pod].unanswered[channel] = entries
            if now:
                self.act(lambda: self.pods[pod].answer(channel, size, lost=False))

    @step(
        lambda self: any(p.unanswered for p in self.pods),
        pick=PICKS,
        size=SIZES,
        lost=[False, False, True],
    )
    def answer(self, pick: int, size: int, lost: bool) -> None:
        pod, channel = one_of([(p, c) for p in self.pods for c in sorted(p.unanswered)], pick)
        self.act(lambda: pod.answer(channel, size, lost=lost and self.lossy))

    @step(
        lambda self: any(q.key[0] in ("standing", "entries") for q in self.questions),
        before=EITHER,
        here=EITHER,
        back=EITHER,
    )
    def meanwhile(self, before: bool, here: bool, back: bool) -> None:
        """What is being read changes just then: it is read before, or as it is then."""
        for question in list(self.questions):
            if before:
                question.read()
            if question.key[0] == "standing":
                _, pod, user, *channels = question.key
                wishes = [(Kind.LEAVE, user), (Kind.JOIN if back else Kind.MESSAGE, user)]
                self.commit_to(pod if here else 1 - pod, channels[-1], wishes, 0, here)
            elif question.key[0] == "entries":
                _, pod, channel, *_ = question.key
                self.commit_to(pod if here else 1 - pod, channel, [(Kind.MESSAGE, 1)], 0, back)

    @step(channel=CHANNELS, rows=[0, 0, 0, 0, 0, 0, 2, 100])
    def delete_or_purge(self, channel: int, rows: int) -> None:
        log = self.logs[channel]
        if log.head < 9 or not rows:
            return
        if log.dropped:
            log.purge(rows if self.lossy else 0)
        elif channel not in self.pods[0].unanswered:
            self.pods[0].unanswered[channel] = log.commit([(Kind.DROP, 1)])

    # --- questions

    def asked(self) -> bool:
        return len(self.questions) > 0

    @step(asked, pick=PICKS)
    def read(self, pick: int) -> None:
        one_of(list(self.questions), pick).read()

    @step(asked, pick=PICKS)
    def reply(self, pick: int) -> None:
        self.act(one_of(list(self.questions), pick).answer)

    @step(asked)
    def reply_to_all(self) -> None:
        for question in list(self.questions):
            self.act(question.answer)

    # --- the network

    def inboxes(self) -> list[Pod]:
        return [p for p in self.pods if p.bus.inbox]

    @step(lambda self: self.inboxes(), pick=PICKS, at=PICKS, stays=EITHER)
    def deliver_any(self, pick: int, at: int, stays: bool) -> None:
        """In any order, and perhaps once more later."""
        bus = one_of(self.inboxes(), pick).bus
        i = at % len(bus.inbox)
        self.act(bus.on_envelope, bus.inbox[i] if stays else bus.inbox.pop(i))

    @step(lambda self: self.inboxes())
    def deliver_next(self) -> None:
        for pod in self.inboxes():
            self.act(pod.bus.on_envelope, pod.bus.inbox.pop(0))

    @step(lambda self: self.inboxes(), pick=PICKS)
    def deliver_all(self, pick: int) -> None:
        """What one read of a socket brings, in one turn."""
        bus = one_of(self.inboxes(), pick).bus
        arrived, bus.inbox = bus.inbox, []
        self.act(lambda: list(map(bus.on_envelope, arrived)))

    @step(lambda self: self.lossy and self.inboxes(), pick=PICKS, last=EITHER)
    def lose(self, pick: int, last: bool) -> None:
        one_of(self.inboxes(), pick).bus.inbox.pop(-1 if last else 0)

    @step(lambda self: self.lossy, what=["forge", "link", "query", "crash"], pick=PICKS)
    def mishap(self, what: str, pick: int) -> None:
        pod = one_of(self.pods, pick)
        if what == "forge":
            self.act(pod.bus.on_envelope, one_of(FORGED, pick // 2))
        elif what == "link":
            self.act(pod.bus.down if pod.bus.connected else pod.bus.up)
        elif what == "query":
            refusable = [q for q in self.questions if q.key[0] != "subscribe"]  # never raises
            if refusable:
                self.act(one_of(refusable, pick).refuse)
        else:
            self.crash(pod)

    def crash(self, pod: Pod) -> None:
        """A pod dies: what it committed and did not answer is in the log and nowhere else."""
        for n, socket in enumerate(self.sockets):
            if socket is not None and socket.pod is pod:
                socket.connection.closed = True
                self.sockets[n] = None
        self.loop.act(pod.end)
        self.loop.settle()
        self.network.buses.remove(pod.bus)
        self.pods[pod.number] = self.new_pod(pod.number)

    # --- devices

    def connect(self, n: int, pod: Pod) -> None:
        self.sockets[n] = Socket(pod, DEVICES[n])

    @step(n=range(len(DEVICES)), pod=PODS, null=EITHER)
    def come_or_go(self, n: int, pod: int, null: bool) -> None:
        """A device comes (back) to any pod with the cursors that it has, or goes.

        What was on its way then is lost, unless the client has read it.
        """
        socket = self.sockets[n]
        if socket is None:
            self.connect(n, self.pods[pod])
            wanted = {c: self.held[n].get(c, None if null else 0) for c in CHANNELS}
            self.subscribe_to(n, wanted, EPOCH)
            return
        if not socket.stuck:
            self.held[n].update(socket.unread)
        self.sockets[n] = None
        self.act(socket.leave)

    @step(
        lambda self: self.connected(),
        pick=PICKS,
        channels=[(1,), (2,), (1, 2)],
        behind=[None, -1, 0, 1, 2, 4, 8, 1000],
        epoch=[None, EPOCH, EPOCH, "other"],
    )
    def subscribe(
        self, pick: int, channels: tuple[int], behind: int | None, epoch: str | None
    ) -> None:
        """Join at any cursor, or move it."""
        n = one_of([n for n, s in enumerate(self.sockets) if s is not None], pick)
        wanted = {
            c: None if behind is None else max(0, self.logs[c].head - behind) for c in channels
        }
        self.subscribe_to(n, wanted, epoch)

    def subscribe_to(self, n: int, wanted: dict[int, int | None], epoch: str | None) -> None:
        socket = self.sockets[n]
        assert socket is not None
        if not socket.busy:
            self.act(socket.subscribe, wanted, epoch)

    @step(lambda self: self.connected(), pick=PICKS, channel=CHANNELS)
    def unsubscribe(self, pick: int, channel: int) -> None:
        socket = one_of(self.connected(), pick)
        if not socket.busy:
            self.act(socket.unsubscribe, [channel])

    @step(lambda self: self.connected(), pick=PICKS)
    def stick_or_drain(self, pick: int) -> None:
        socket = one_of(self.connected(), pick)
        if socket.stuck:
            self.read_on(socket)
        else:
            socket.stick()

    def read_on(self, socket: Socket) -> None:
        n = self.sockets.index(socket)
        self.act(lambda: self.held[n].update(socket.drain()))

    # --- what always holds

    def check(self) -> None:
        for pod in self.pods:
            pod.check()
        if self.loop.resting:  # everybody means the same
            for socket in self.connected():
                socket.check()
            for pod in self.pods:
                self.check_subscriptions(pod)

    def check_subscriptions(self, pod: Pod) -> None:
        """Nobody is in a room who is not on a connection, or about to be."""
        sockets = [s for s in self.connected() if s.pod is pod]
        known = {sub for s in sockets for sub in s.connection.subs.values()}
        there = {sub for room in pod.rooms for sub in [*room.live, *room.others]}
        joining = {sub for sub in there - known if sub.state is State.JOINING}
        if there - known != joining or known - there:
            raise PromiseError(f"left behind on {pod.number}: {there ^ known}")
        if joining and all(c.done() for c in pod.commands):
            raise PromiseError(f"joining for ever on {pod.number}")

    # --- and when all is well again, everybody gets everything

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:  # else it has failed already
                self.heal()
                self.check_that_all_are_at_the_head()
        finally:
            self.errors.detach()
            self.loop.finish(pod.end for pod in self.pods)

    def heal(self) -> None:
        """Everything works from now on; but what was on its way is lost, in a run that loses."""
        self.by_turns = False
        self.questions.at_once = True
        for pod in self.pods:
            for channel in list(pod.unanswered):
                self.act(lambda p=pod, c=channel: p.answer(c, 100, lost=self.lossy))
            if not pod.bus.connected:
                self.act(pod.bus.up)
        for log in self.logs.values():
            if log.purged:
                log.purge(log.head)
        for question in list(self.questions):
            self.act(question.answer)
        self.empty_the_inboxes()
        for socket in self.connected():
            self.read_on(socket)
        asked = self.questions.asked
        self.loop.wait(HEALED_S)
        if self.questions.asked - asked > QUESTIONS_MAX:
            raise PromiseError(f"{self.questions.asked - asked} questions to heal")

    def empty_the_inboxes(self) -> None:
        for pod in self.inboxes():
            inbox, pod.bus.inbox = pod.bus.inbox, []
            for envelope in () if self.lossy else inbox:
                self.act(pod.bus.on_envelope, envelope)

    def check_that_all_are_at_the_head(self) -> None:
        self.check()
        reading = any(p.rooms._filling or p.hub._catch_up._joining for p in self.pods)
        if len(self.questions) or reading:
            raise PromiseError("something is still asked")
        for socket in self.connected():
            for channel, view in socket.views.items():
                log = self.logs[channel]
                if log.end_of(socket.connection.user_id, view.since) is not None:
                    raise PromiseError(f"{socket!r} was removed from {channel}, and not told")
                if view.last != log.head:
                    raise PromiseError(f"{socket!r} never got to {log.head} in {channel}")
            if socket.connection.catching_up:
                raise PromiseError(f"{socket!r} still catches up")
