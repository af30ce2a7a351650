"""The faults: what each one does to a fleet, and how it is undone.

Each is entered into the one table, `FAULTS`. It ends when all that it broke works again or has been
started again. Rows are those of the fault matrix in docs/guarantees.md.
"""

import os
import signal
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from tests.faults.fleet import Member
from tests.faults.pod import Act, Point
from tests.faults.proxy import FaultProxy
from tests.faults.staging import FAULTS, Fault, Scene, Steps, Strike, done, fault, struck, until
from tests.pods import Pod

__all__ = ["FAULTS", "Fault", "Scene", "Steps"]

# Other pods look at the heads every 2 s and read; twice that for a machine that is busy.
WITHOUT_BUS_S = 5.0


# --- pods


def _die_at(point: Point) -> Strike:
    def strike(scene: Scene) -> Steps:
        with scene.member() as member:
            pod = member.running
            scene.fleet.arm(member, point, Act.DIE)
            yield from struck(scene, lambda: pod.process.poll() is not None)
            yield 1.0
            yield from _back(scene, member)

    return strike


def _back(scene: Scene, member: Member, **settings: Any) -> Steps:
    scene.fleet.spawn(member, **settings)
    yield from until(member.serves, 30, "it does not listen in time")


for _point, _row in {
    Point.AFTER_LOCK: "F1",
    Point.AFTER_COPY: "F1",
    Point.BEFORE_COMMIT: "F1",
    Point.AFTER_COMMIT: "F2",
    Point.BEFORE_PUBLISH: "F2",
    Point.AFTER_PUBLISH: "F3",
}.items():
    _words = _point.value.replace("_", " ")
    _name = f"pod-kill-{_point.value.replace('_', '-')}"
    fault(_name, "pod", _row, f"a pod killed {_words} of a batch")(_die_at(_point))


@fault("pod-freeze", "pod", "F4", "a pod stopped for 4 s, anywhere", smoke=False)
def _freeze(scene: Scene) -> Steps:
    with scene.member() as member:
        member.running.signal(signal.SIGSTOP)
        yield 4.0
        member.running.signal(signal.SIGCONT)


def _stop_at(point: Point, for_s: float) -> Strike:
    def strike(scene: Scene) -> Steps:
        with scene.member() as member:
            scene.fleet.arm(member, point, Act.STOP)
            yield from struck(scene, member.stopped)
            yield for_s
            member.running.signal(signal.SIGCONT)

    return strike


fault("pod-freeze-in-batch", "pod", "F4", "a pod stopped for 4 s holding the locks of a batch")(
    _stop_at(Point.AFTER_COPY, 4.0)
)
fault(
    "pod-freeze-unpublished",
    "pod",
    "F5",
    "a pod stopped for 4 s between commit and publishing",
    smoke=False,
)(_stop_at(Point.AFTER_COMMIT, 4.0))


@fault("pod-stall", "pod", "F6", "a pod's event loop blocked for 3 s", smoke=False)
def _stall(scene: Scene) -> Steps:
    with scene.member() as member:
        before = len(member.running.events("stalled"))
        scene.fleet.arm(member, Point.AFTER_COMMIT, Act.STALL)
        yield from struck(scene, lambda: len(member.running.events("stalled")) > before)


@fault("pod-drain", "pod", "F8", "a pod sent SIGTERM, and started again")
def _drain(scene: Scene) -> Steps:
    with scene.member() as member:
        yield from _drained(scene, member)


def _drained(scene: Scene, member: Member, **settings: Any) -> Steps:
    pod = member.running
    pod.signal(signal.SIGTERM)
    yield from until(lambda: pod.process.poll() is not None, 40, "SIGTERM does not end it")
    assert pod.process.returncode == 0, f"it ended with {pod.process.returncode}"
    yield from _back(scene, member, **settings)


@fault("worker-kill", "pod", "F52", "each of a pod's two workers killed in turn")
def _worker_kill(scene: Scene) -> Steps:
    with scene.member() as member:
        yield from _drained(scene, member, workers=2)
        pod = member.running
        for number in (1, 2):
            yield from until(lambda: len(pod.workers()) == 2, 30, "it has no two workers")
            scene.fleet.loop.do(lambda: scene.crowd.reset_some(0.5))  # some of them come here
            yield 1.0
            served = len(pod.events("listening"))
            os.kill(pod.workers()[number], signal.SIGKILL)
            yield from until(partial(_more_served, pod, served), 10, "none takes its place")
        yield 1.0
        yield from _drained(scene, member)


@fault("pods-rolling", "pod", "G11", "every pod drained and started again in turn", smoke=False)
def _rolling(scene: Scene) -> Steps:
    for member in scene.fleet.members:
        while member.number in scene.taken:
            yield 0.1
        scene.taken.add(member.number)
        try:
            yield from _drained(scene, member)
        finally:
            scene.taken.discard(member.number)


# --- Valkey


@fault(
    "valkey-kill",
    "valkey",
    "F10",
    "Valkey killed, away for 4 s, back empty",
    acks_go_on=True,
    delivery_s=WITHOUT_BUS_S,
)
def _valkey_kill(scene: Scene) -> Steps:
    scene.fleet.valkey.kill()
    yield 4.0
    scene.fleet.valkey.start()


@fault(
    "valkey-freeze",
    "valkey",
    "F11",
    "Valkey stopped for 5 s",
    acks_go_on=True,
    delivery_s=WITHOUT_BUS_S,
)
def _valkey_freeze(scene: Scene) -> Steps:
    scene.fleet.valkey.send_signal(signal.SIGSTOP)
    yield 5.0
    scene.fleet.valkey.send_signal(signal.SIGCONT)


@fault(
    "valkey-half-open",
    "pod",
    "F12",
    "a pod's links to Valkey stand and carry nothing for 5 s",
    acks_go_on=True,
    delivery_s=WITHOUT_BUS_S,
)
def _half_open(scene: Scene) -> Steps:
    with scene.member() as member:
        yield from _black_hole(scene, member.redis, 5.0)


def _black_hole(scene: Scene, proxy: FaultProxy, for_s: float) -> Steps:
    proxy.swallows = True
    yield for_s
    proxy.swallows = False
    scene.fleet.loop.do(proxy.cut)  # what was swallowed is gone: these are of no use any more


@fault(
    "valkey-cut",
    "pod",
    "F13",
    "a pod's links to Valkey reset, 5 times a second for 3 s",
    acks_go_on=True,
    delivery_s=WITHOUT_BUS_S,
    smoke=False,
)
def _valkey_cut(scene: Scene) -> Steps:
    with scene.member() as member:
        for _ in range(15):
            scene.fleet.loop.do(member.redis.cut)
            yield 0.2


@fault(
    "publish-lost",
    "valkey",
    "G4",
    "the next 5 envelopes of each pod lost on their way",
    acks_go_on=True,
    delivery_s=WITHOUT_BUS_S,
    smoke=False,
)
def _publish_lost(scene: Scene) -> Steps:
    proxies = [member.redis for member in scene.fleet.members]
    before = sum(proxy.struck for proxy in proxies)
    for proxy in proxies:
        proxy.drop_publishes(5)
    yield from struck(scene, lambda: sum(proxy.struck for proxy in proxies) >= before + 5)
    yield 1.0
    for proxy in proxies:
        proxy.strike = None


@fault("last-publish-lost", "valkey", "G4", "all envelopes lost for 2 s, and then silence")
def _last_publish_lost(scene: Scene) -> Steps:
    for member in scene.fleet.members:
        member.redis.drop_publishes(1_000_000)
    yield 2.0
    scene.fleet.loop.do(scene.crowd.hush)  # no later message shows what is missing
    deadline = time.monotonic() + (WITHOUT_BUS_S if scene.alone else 20)
    while (behind := (yield from done(scene, scene.crowd.behind()))) and (
        time.monotonic() < deadline
    ):
        yield 0.1
    for member in scene.fleet.members:
        member.redis.strike = None
    assert not behind, f"L1-tail: {len(behind)} subscribers never got the last messages"
    scene.fleet.loop.do(scene.crowd.talk)


@fault("valkey-slow", "pod", "F44", "one pod's envelopes 200 ms late for 3 s", smoke=False)
def _valkey_slow(scene: Scene) -> Steps:
    with scene.member() as member:
        member.redis.delay_s = 0.2
        yield 3.0
        member.redis.delay_s = 0.0


# --- PostgreSQL


@fault("postgres-kill", "postgres", "F17", "PostgreSQL killed with all its processes, 3 times")
def _postgres_kill(scene: Scene) -> Steps:
    for _ in range(3):
        scene.fleet.postgres.kill()
        yield 0.5
        scene.fleet.postgres.start()
        yield 1.0


@fault("postgres-restart", "postgres", "F18", "PostgreSQL restarted (fast shutdown)")
def _postgres_restart(scene: Scene) -> Steps:
    scene.fleet.postgres.stop()
    scene.fleet.postgres.start()
    yield 0.0


@fault("postgres-freeze", "postgres", "F19", "PostgreSQL stopped for 5 s")
def _postgres_freeze(scene: Scene) -> Steps:
    scene.fleet.postgres.send_signal(signal.SIGSTOP)
    yield 5.0
    scene.fleet.postgres.send_signal(signal.SIGCONT)


@fault(
    "postgres-hang",
    "pod",
    "F19",
    "a pod's connections to PostgreSQL carry nothing for 4 s",
    smoke=False,
)
def _postgres_hang(scene: Scene) -> Steps:
    with scene.member() as member:
        yield from _black_hole(scene, member.database, 4.0)


@fault("copy-reset", "pod", "F20", "a pod's connection reset in the middle of a COPY, 5 times")
def _copy_reset(scene: Scene) -> Steps:
    yield from _repeat(scene, lambda proxy: proxy.reset_in_copy())


@fault("commit-reply-lost", "pod", "F21", "the answer to COMMIT lost, 5 times")
def _commit_reply_lost(scene: Scene) -> Steps:
    yield from _repeat(scene, lambda proxy: proxy.drop_reply_to(b"COMMIT\0"))


@fault("commit-lost", "pod", "F22", "COMMIT itself lost, 5 times", smoke=False)
def _commit_lost(scene: Scene) -> Steps:
    yield from _repeat(scene, lambda proxy: proxy.drop_request(b"COMMIT\0"))


@fault(
    "members-removed",
    "clients",
    "F38",
    "15 people removed from channels in which they talk",
    smoke=False,
)
def _members_removed(scene: Scene) -> Steps:
    def anywhere() -> str:
        return scene.rng.choice(scene.fleet.members).url

    yield from done(scene, scene.crowd.remove(15, anywhere))


def _repeat(scene: Scene, arm: Callable[[FaultProxy], None]) -> Steps:
    """Let a fault strike 5 times in the database proxy of one pod or another."""
    for _ in range(5):
        with scene.member() as member:
            proxy = member.database
            times = proxy.struck + 1
            arm(proxy)
            yield from struck(scene, partial(_reached, proxy, times))
        yield scene.rng.uniform(0.1, 0.5)


@fault(
    "backends-terminated",
    "postgres",
    "F18",
    "every backend terminated, 3 times in 3 s",
    smoke=False,
)
def _backends(scene: Scene) -> Steps:
    for _ in range(3):
        yield from done(scene, scene.crowd.terminate_backends())
        yield 1.0


# --- clients


@fault("slow-reader", "clients", "F29", "three clients stop reading for 3 s, three others for 9 s")
def _slow_reader(scene: Scene) -> Steps:
    slow = scene.rng.sample(scene.crowd.chatters, 6)
    scene.crowd.loud = True
    for chatter in slow:
        scene.fleet.loop.do(chatter.reads.clear)
    yield 3.0  # within the deadline: they catch up on the socket that they have
    for chatter in slow[:3]:
        scene.fleet.loop.do(chatter.reads.set)
    yield 6.0  # beyond it: they were cut, and come back
    cut = sum(len(member.running.events("client too slow")) for member in scene.fleet.members)
    if not cut and scene.alone:
        scene.crowd.complaints.append("T4: nobody was slow enough to be cut")
    for chatter in slow[3:]:
        scene.fleet.loop.do(chatter.reads.set)
    scene.crowd.loud = False


@fault("client-reset", "clients", "F31", "half of the clients reset, twice", smoke=False)
def _client_reset(scene: Scene) -> Steps:
    for _ in range(2):
        scene.fleet.loop.do(lambda: scene.crowd.reset_some(0.5))
        yield 1.5


def _more_served(pod: Pod, before: int) -> bool:
    return len(pod.events("listening")) > before


def _reached(proxy: FaultProxy, times: int) -> bool:
    return proxy.struck >= times
