"""Machines: what may happen is a list of steps; they happen one by one, or many in a storm.

Hypothesis draws the steps, and makes a failing run small. A storm is one draw of many steps, which
costs a tenth of drawing each of them; of a storm that fails, the shortest beginning is found.

RTCHAT_TEST_EXAMPLES: so many examples instead of the few that every commit can wait for.
"""

import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, note, settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

EXAMPLES = int(os.environ.get("RTCHAT_TEST_EXAMPLES", "0"))
STEPS = 30
STORM_MAX = 60
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., None])


@dataclass(frozen=True)
class Step:
    """Something that may happen, when it may, and the choices there are."""

    function: Callable[..., None]
    when: Callable[[Any], Any] | None
    choices: dict[str, Sequence[Any]]


def step(when: Callable[[Any], Any] | None = None, **choices: Sequence[Any]) -> Callable[[F], F]:
    """Make a method of a machine one of its steps."""

    def decorate(function: F) -> F:
        drawn: dict[str, Any] = {name: st.sampled_from(v) for name, v in choices.items()}
        made: Any = rule(**drawn)(function)  # type: ignore[no-untyped-call]
        made = precondition(when)(made) if when is not None else made
        made.step = Step(function, when, choices)
        found: F = made
        return found

    return decorate


class Machine(RuleBasedStateMachine):
    """A machine of steps. `check` holds after each of them."""

    steps: ClassVar[list[Step]]

    def __init_subclass__(cls) -> None:
        cls.steps = [value.step for value in vars(cls).values() if hasattr(value, "step")]

    @invariant()
    def always(self) -> None:
        """What holds after each step."""
        self.check()

    def check(self) -> None:
        """What always holds."""
        raise NotImplementedError

    @rule(seed=st.integers(0, 2**32 - 1), length=st.integers(1, STORM_MAX))
    def storm(self, seed: int, length: int) -> None:
        """Many steps, of some kinds only: what all kinds together prevent can happen, too."""
        rng = random.Random(seed)
        kinds = rng.sample(self.steps, rng.randint(3, len(self.steps)))
        for _ in range(length):
            kind = rng.choice(kinds)
            chosen = {name: rng.choice(values) for name, values in kind.choices.items()}
            if kind.when is None or kind.when(self):
                note(f"{kind.function.__name__} {chosen}")
                kind.function(self, **chosen)
                self.check()


def one_of(things: Sequence[T], pick: int) -> T:
    """One of the things that there are now."""
    return things[pick % len(things)]


def plan(examples: int, *phases: Phase) -> settings:
    """The same examples in each run; another number of them gives others."""
    return settings(
        max_examples=examples,
        stateful_step_count=STEPS,
        deadline=None,
        derandomize=True,
        database=None,
        phases=phases,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),  # they judge speed, which the machine's load sets
    )


def run(machine: type[Machine], examples: int) -> None:
    """Run a machine on the package as it is."""
    run_state_machine_as_test(
        machine, settings=plan(EXAMPLES or examples, Phase.generate, Phase.shrink)
    )


def find(machine: type[Machine], mutant: type[Any], place: ModuleType, examples: int) -> str:
    """Put `mutant` in the place of what it derives from; returns what the machine found."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place, mutant.__bases__[0].__name__, mutant)
        with pytest.raises((AssertionError, RuntimeError)) as found:
            run_state_machine_as_test(machine, settings=plan(examples, Phase.generate))
    return str(found.value)
