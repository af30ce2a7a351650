"""Runs faults against a fleet under load, and checks what came of it.

Owns: one run: a crowd of its own, warming up, faults one by one or overlapping, the quiet time at
the end, the check. A run that failed is kept as a file, to be checked again.
"""

import random
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench import irc
from tests.faults.catalogue import FAULTS, Fault, Scene, Steps
from tests.faults.checker import check
from tests.faults.crowd import Crowd, Load
from tests.faults.fleet import Fleet
from tests.faults.history import History, Row, read_log
from tests.faults.membership import check_members
from tests.faults.mutants import Mutant
from tests.faults.stats import Stats, stats
from tests.faults.verdict import Findings, Verdict

CORPUS = Path(__file__).parents[2].parent / "shared" / "data" / "ubuntu-irc"
WARM_S = 1.0  # of load before the first fault
AFTER_S = 4.0  # of load behind the last one
RECOVERY_S = 3.0  # and all is as before (storms have no such time: the next fault comes)
QUIET_S = 20.0  # at most, until everything is known and everybody at the head
SLACK_MS = 200  # for a machine that is busy with something else
OVERLAP = 3  # faults under way at once, in a storm
STEP_S = 0.01

Story = Callable[[Scene], Steps]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run showed."""

    faults: list[str]
    seed: int
    history: History
    rows: list[Row]
    heads: dict[int, int]
    verdict: Verdict
    stats: Stats
    unstruck: list[str]

    @property
    def complaints(self) -> list[str]:
        """What was too slow: during the one fault, or behind it."""
        [window], [name] = self.stats.windows, self.faults
        fault, quiet_ms = FAULTS[name], self.stats.ack["quiet"].p50
        found = [*self.unstruck]
        if not self.recovered:
            found.append(f"T1: recovered in {window.recovery_ms} ms")
        if fault.acks_go_on and window.ack.p50 > 5 * quiet_ms + SLACK_MS:
            found.append(f"T2: acks took {window.ack.p50} ms, {quiet_ms} without the fault")
        if window.delivery.worst > fault.delivery_s * 1000:
            found.append(f"T3: a message took {window.delivery.worst} ms")
        return found

    @property
    def recovered(self) -> bool:
        """Whether all was as before, soon after each fault."""
        took = [window.recovery_ms for window in self.stats.windows]
        return all(ms is not None and ms <= RECOVERY_S * 1000 for ms in took)

    def keep(self, path: Path) -> None:
        """Write it to a file, to be checked again (`python -m tests.faults.checker`)."""
        self.history.save(path, self.rows, self.heads)


@cache
def texts() -> list[str]:
    """What the crowd says: real chat where it lies beside the project, else a few awkward lines."""
    if CORPUS.is_dir():
        return [line.text for day in irc.load(CORPUS) for line in day.lines]
    return [
        "hello",
        "ça va?",
        "日本語のテキスト",
        "👍🏽 " * 20,
        "x" * 400,
        '{"t":"msg"}',
        'a\nb\tc\\ "',
    ]


def run_fault(fleet: Fleet, name: str, seed: int, load: Load | None = None) -> Outcome:
    """One fault, alone."""

    def story(scene: Scene) -> Steps:
        yield from _struck(scene, FAULTS[name])

    return _run(fleet, [name], seed, load or Load(), story)


def run_mutant(fleet: Fleet, mutant: Mutant, seed: int) -> list[str]:
    """The fault under which a mutant is to be caught; what it was caught as, nothing if it was not.

    The pods of `fleet` are the mutant.
    """
    try:
        outcome = run_fault(fleet, mutant.fault, seed)
    except AssertionError as error:  # a fault looks for itself, too
        found = [str(error).partition(":")[0]]
    else:
        found = [*outcome.verdict.totals, *outcome.complaints]
    return [kind.partition(":")[0] for kind in found if kind.startswith(tuple(mutant.shows))]


def run_storm(fleet: Fleet, seed: int, seconds: float, load: Load | None = None) -> Outcome:
    """Faults by lot for so many seconds, up to `OVERLAP` of them under way at once."""
    names: list[str] = []

    def story(scene: Scene) -> Steps:
        end = time.monotonic() + seconds
        under_way: dict[str, Steps] = {}
        while time.monotonic() < end or under_way:
            if time.monotonic() < end and len(under_way) < OVERLAP:
                fault = _next(scene, under_way)
                if fault is not None:
                    names.append(fault.name)
                    under_way[fault.name] = _paced(scene, fault)
            for name, steps in list(under_way.items()):
                if next(steps, None) is None:
                    del under_way[name]
            yield STEP_S

    return _run(fleet, names, seed, load or Load(), story)


def _next(scene: Scene, under_way: Collection[str]) -> Fault | None:
    """A fault that can go on beside those under way: one a store, and a pod left untouched."""
    claimed = {FAULTS[name].claims for name in under_way} - {"pod"}
    pods = sum(FAULTS[name].claims == "pod" for name in under_way)
    free = [
        f
        for f in FAULTS.values()
        if f.name not in under_way
        and f.claims not in claimed
        and (f.claims != "pod" or pods < len(scene.fleet.members) - 1)
    ]
    return scene.rng.choice(free) if free else None


def _paced(scene: Scene, fault: Fault) -> Steps:
    """The steps of a fault, after a while by lot; yields at every look, and waits by the clock."""
    steps = _delayed(scene, fault)
    due = time.monotonic()
    while True:
        if time.monotonic() >= due:
            wait_s = next(steps, None)
            if wait_s is None:
                return
            due = time.monotonic() + wait_s
        yield STEP_S


def _delayed(scene: Scene, fault: Fault) -> Steps:
    yield scene.rng.uniform(0, 2)
    yield from _struck(scene, fault)


def _struck(scene: Scene, fault: Fault) -> Steps:
    scene.crowd.history.mark(f"injected {fault.name}")
    yield from fault.strike(scene)
    scene.crowd.history.mark(f"healed {fault.name}")


def _run(fleet: Fleet, names: list[str], seed: int, load: Load, story: Story) -> Outcome:
    rng = random.Random(seed)
    crowd = Crowd(
        fleet.database_url,
        lambda: rng.choice(fleet.members).ws_url,
        texts(),
        load,
        rng.randrange(1 << 30),
    )
    scene = Scene(fleet, crowd, random.Random(seed + 1), alone=len(names) == 1)
    try:
        fleet.loop.call(crowd.begin())
        time.sleep(WARM_S)
        for wait_s in story(scene):
            time.sleep(wait_s)
        time.sleep(AFTER_S)
    except BaseException:
        fleet.heal()
        raise
    finally:
        fleet.loop.call(crowd.finish(QUIET_S))
    return _checked(fleet, crowd, names, seed)


def _checked(fleet: Fleet, crowd: Crowd, names: list[str], seed: int) -> Outcome:
    rows, heads = of_crowd(crowd, *fleet.loop.call(read_log(fleet.database_url)))
    verdict, figures = judged(crowd, rows, heads)
    return Outcome(names, seed, crowd.history, rows, heads, verdict, figures, crowd.complaints)


def of_crowd(
    crowd: Crowd, every_row: list[Row], every_head: dict[int, int]
) -> tuple[list[Row], dict[int, int]]:
    """What of the log is the crowd's: others may use the same database."""
    rows = [row for row in every_row if row.channel in crowd.members]
    return rows, {c: head for c, head in every_head.items() if c in crowd.members}


def judged(crowd: Crowd, rows: list[Row], heads: dict[int, int]) -> tuple[Verdict, Stats]:
    """What the crowd saw against the log, once it has finished."""
    # Who is to be there at the end, by the log and not by what the clients believe.
    inside = check_members(rows, crowd.members, Findings())
    ends = [
        (chatter.number, channel)
        for chatter in crowd.chatters
        for channel in chatter.channels
        if chatter.person.id in inside[channel]
    ]
    verdict = check(crowd.history, rows, heads, ends=ends, members=crowd.members, answered=True)
    figures = stats(crowd.history, rows, pods=lambda client, at: crowd.chatters[client].place(at))
    return verdict, figures
