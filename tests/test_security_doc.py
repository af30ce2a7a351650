"""docs/security.md is true: every row stands once and names tests and settings that exist."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from rtchat.settings import NAMES, OTHER_VARIABLES, PREFIX
from tests.references import REFERENCE, missing_test

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "security.md").read_text()

# | S-01 | what | how | tests |
ROW = re.compile(r"^\| (S-\d+|W\d+|B-H\d+) \| (.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)
ROWS = {found[0]: found[1:] for found in ROW.findall(TEXT)}
NO_TEST = ("does not apply: ", "no test: ")  # and why

# As the checklist and the lists of bad inputs number them.
IDS = [
    *[f"S-{n:02}" for n in range(1, 75)],
    *[f"W{n}" for n in (*range(1, 28), *range(30, 48), *range(50, 81))],
    *[f"B-H{n}" for n in range(1, 33)],
]


def test_every_requirement_and_every_bad_input_has_one_row() -> None:
    assert sorted(found[0] for found in ROW.findall(TEXT)) == sorted(IDS)


@pytest.mark.parametrize("row", IDS)
def test_a_row_names_tests_that_exist(row: str) -> None:
    """Or says why there is none."""
    what, how, tests = ROWS[row]
    assert len(what) >= 3 <= len(how)
    if not tests.startswith(NO_TEST):
        named = [found.group() for found in REFERENCE.finditer(tests)]
        assert named, tests
        assert re.sub(r"[\s,`]", "", REFERENCE.sub("", tests)) == "", "nothing but tests"
        assert [missing_test(name) for name in named if missing_test(name)] == []


def test_tests_that_are_named_between_the_tables_exist() -> None:
    named = [found.group() for found in REFERENCE.finditer(TEXT)]
    assert [missing_test(name) for name in named if missing_test(name)] == []


def test_named_settings_exist() -> None:
    known = {PREFIX + name.upper() for name in NAMES} | set(OTHER_VARIABLES)
    named = {name.removesuffix("_FILE") for name in re.findall(r"RTCHAT_[A-Z_]*[A-Z]", TEXT)}
    assert named - known == set()


def test_named_files_exist() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", TEXT)
    local = [link for link in links if not link.startswith("https://")]
    assert [link for link in local if not (ROOT / "docs" / link).exists()] == []


FLOOR = re.compile(r"^\| `([\w-]+)` \| ([\d.]+) \| (.*CVE-\d+-\d+.*) \|$", re.MULTILINE)


def test_floors_of_dependencies_are_above_known_flaws() -> None:
    """S-70: what pyproject asks for at least has none of the flaws that the table names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = {r.name.lower(): r for r in map(Requirement, project["dependencies"])}
    floors = FLOOR.findall(TEXT)
    assert len(floors) >= 5
    for name, fixed, _ in floors:
        (least,) = [s.version for s in asked[name].specifier if s.operator in (">=", "==")]
        assert Version(least) >= Version(fixed), name
