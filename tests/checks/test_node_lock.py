""".ci/node: which programs of node check the documents, each version with its hash."""

import json
import re

from tests.checks.node import SETTINGS

PACKAGES = json.loads((SETTINGS / "package-lock.json").read_text())["packages"]
ASKED = json.loads((SETTINGS / "package.json").read_text())["dependencies"]


def test_every_version_is_pinned_with_its_hash() -> None:
    installed = {name: package for name, package in PACKAGES.items() if name}
    assert len(installed) > len(ASKED)
    for name, package in installed.items():
        assert re.fullmatch(r"\d+\.\d+\.\d+\S*", package["version"]), name
        assert package["integrity"].startswith("sha512-"), name


def test_what_is_asked_for_is_what_is_locked() -> None:
    assert {name: PACKAGES[f"node_modules/{name}"]["version"] for name in ASKED} == ASKED


def test_it_says_nothing_of_where_files_came_from() -> None:
    """Whoever installs has an index of their own."""
    assert [name for name, package in PACKAGES.items() if "resolved" in package] == []
