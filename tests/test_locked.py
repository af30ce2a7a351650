""".ci/requirements.lock: the versions that an image is made of, each file by its hash."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / ".ci" / "requirements.lock").read_text().replace("\\\n", " ")
LINES = [line for line in TEXT.splitlines() if line and not line.startswith("#")]
PINNED = re.compile(
    r"(?P<name>[\w.-]+)==(?P<version>\S+)( ;[^-]+)?(?P<hashes>(\s+--hash=sha256:\w{64})+)\s*"
)


def locked() -> dict[str, str]:
    found = [PINNED.fullmatch(line) for line in LINES]
    assert all(found), [line[:60] for line, match in zip(LINES, found, strict=True) if not match]
    return {canonicalize_name(match["name"]): match["version"] for match in found if match}


def test_every_version_is_pinned_with_hashes_and_nothing_else() -> None:
    """S-70: no address of an index, no range, no file without its hash."""
    assert len(locked()) == len(LINES) > 20


def test_the_locked_versions_satisfy_what_is_asked_for() -> None:
    """Every dependency is there, at or above its floor; nothing of the extras is."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    versions = locked()
    for asked in map(Requirement, project["dependencies"]):
        assert versions[canonicalize_name(asked.name)] in asked.specifier, asked
    for asked in map(Requirement, project["optional-dependencies"]["dev"]):
        assert canonicalize_name(asked.name) not in versions
