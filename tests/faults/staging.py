"""What a fault is made of: the scene that it plays in, its waiting, and the table of all.

Owns: `FAULTS`, filled by `catalogue`. A fault is a generator that runs in the main thread while the
crowd talks and yields the seconds that it waits, so that several can be under way at once. What
only one fault at a time may touch, it claims.
"""

import math
import random
import time
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tests.faults.crowd import Crowd
from tests.faults.fleet import Fleet, Member

PATIENCE_S = 4.0  # until clients are sent about: a pod that was just started may have none


@dataclass(frozen=True, slots=True)
class Scene:
    """What a fault has to work with. `taken`: the pods that a fault under way has claimed."""

    fleet: Fleet
    crowd: Crowd
    rng: random.Random
    alone: bool  # no other fault is under way
    taken: set[int] = field(default_factory=set)

    @contextmanager
    def member(self) -> Iterator[Member]:
        """Claim one pod by lot."""
        free = [m for m in self.fleet.members if m.number not in self.taken]
        member = self.rng.choice(free)
        self.taken.add(member.number)
        try:
            yield member
        finally:
            self.taken.discard(member.number)


T = TypeVar("T")
Steps = Iterator[float]
Strike = Callable[[Scene], Steps]


def until(condition: Callable[[], bool], within_s: float, otherwise: str) -> Steps:
    """Wait for something."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, otherwise
        yield 0.02


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of trouble."""

    name: str
    row: str
    says: str
    strike: Strike
    claims: str  # "pod", "postgres", "valkey", "clients": one fault at a time has a store
    smoke: bool = True  # among those that `pytest` runs
    acks_go_on: bool = False  # acks are to be as fast as without it
    delivery_s: float = math.inf  # the longest way of a message during it, to any client


FAULTS: dict[str, Fault] = {}


def fault(
    name: str,
    claims: str,
    row: str,
    says: str,
    *,
    smoke: bool = True,
    acks_go_on: bool = False,
    delivery_s: float = math.inf,
) -> Callable[[Strike], Strike]:
    """Put a function into the table."""

    def enter(strike: Strike) -> Strike:
        FAULTS[name] = Fault(name, row, says, strike, claims, smoke, acks_go_on, delivery_s)
        return strike

    return enter


def struck(scene: Scene, condition: Callable[[], bool]) -> Steps:
    """Wait until a batch has come by that a fault lies in wait for."""
    for _ in range(8):
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if condition():
                return
            yield 0.02
        scene.fleet.loop.do(lambda: scene.crowd.reset_some(0.3))
    raise AssertionError("no batch came by")


def done(scene: Scene, work: Coroutine[Any, Any, T]) -> Generator[float, None, T]:
    """Run something in the crowd's loop; other faults go on meanwhile."""
    future = scene.fleet.loop.begin(work)
    while not future.done():
        yield 0.02
    return future.result()
