"""Every row of the fault matrix has a test that exists, or a stated reason."""

import re
from pathlib import Path

import pytest

from tests.faults.catalogue import FAULTS
from tests.faults.matrix import MATRIX, PAGE, table, under_load
from tests.faults.text import replaced

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("row", MATRIX)
def test_a_row_has_tests_that_exist_or_a_reason(row: str):
    line = MATRIX[row]
    assert line.tests or under_load(row) or line.why
    for name in line.tests:
        path, _, function = name.partition("::")
        assert re.search(rf"def {re.escape(function)}\(", (TESTS / path).read_text()), name


def test_every_fault_under_load_is_in_the_matrix():
    assert {fault.row for fault in FAULTS.values()} <= MATRIX.keys()
    assert under_load("F17") == ["postgres-kill"]


def test_the_page_is_up_to_date():
    """`python -m tests.faults.matrix` writes it."""
    page = PAGE.read_text()
    assert replaced(page, "matrix", table()) == page
