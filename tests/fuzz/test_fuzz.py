"""The seeded short form of fuzzing: some hundred mutations of valid inputs for each target.

`python -m tests.fuzz TARGET --seconds N` is the long form, led by coverage.
"""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings

from tests.fuzz.pod import FuzzedPod, of_pod
from tests.fuzz.targets import TARGETS

EXAMPLES = 200
POD_EXAMPLES = 60


@pytest.mark.parametrize("name", TARGETS)
def test_whatever_comes_is_taken_or_refused(name: str) -> None:
    """By the errors that the interface states, and no other."""

    @settings(max_examples=EXAMPLES, database=None)
    @given(TARGETS[name].inputs)
    def run(data: bytes) -> None:
        TARGETS[name].run(data)

    run()


@pytest.mark.parametrize("name", TARGETS)
def test_what_it_starts_from_and_what_was_found_is_fine(name: str) -> None:
    """Seeds are valid inputs; what once failed stays mended."""
    for data in TARGETS[name].corpus:
        TARGETS[name].run(data)


@pytest.fixture(scope="module")
def pod(module_database_url: str) -> Iterator[FuzzedPod]:
    opened = FuzzedPod(module_database_url)
    yield opened
    opened.close()


@pytest.mark.parametrize("name", ["conversation", "bus"])
def test_a_pod_takes_or_refuses_whatever_comes(pod: FuzzedPod, name: str) -> None:
    """And logs no error: what a part catches for the others' sake counts as one."""
    target = of_pod(pod)[name]

    @settings(max_examples=POD_EXAMPLES, database=None)
    @given(target.inputs)
    def run(data: bytes) -> None:
        target.run(data)

    for data in target.corpus:
        target.run(data)
    run()
