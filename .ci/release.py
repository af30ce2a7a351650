"""What a tag releases: the names of its image, and that the tag is the version that the code has.

    python3 .ci/release.py v0.1.0 owner/repository

Prints, a line each, as GitHub reads outputs: `image` (a registry has no capitals), `version`, and
`minor`, the name that moves from one release to the next of the same minor version; it is empty for
a release candidate, which nobody gets without asking for it. Exit status 1: another version than
pyproject.toml, the package or the Dockerfile have. Needs no packages; releases nothing itself.
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
FINAL = re.compile(r"(?P<minor>\d+\.\d+)\.\d+")
CANDIDATE = re.compile(rf"{FINAL.pattern}(a|b|rc)\d+")


def said(path: str, pattern: str) -> str:
    """The version that a file has in a line of its own."""
    found = re.search(pattern, (ROOT / path).read_text(), re.MULTILINE)
    return found[1] if found else "none"


def versions() -> dict[str, str]:
    """What each place says; a wheel, a running server and an image show one each."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {
        "pyproject.toml": project["version"],
        "rtchat/__init__.py": said("rtchat/__init__.py", r'^__version__ = "(.+)"$'),
        "Dockerfile": said("Dockerfile", r"^ARG VERSION=(.+)$"),
    }


def main(tag: str, repository: str) -> None:
    """Compare, and print the names."""
    version = tag.removeprefix("v")
    found = FINAL.fullmatch(version)
    if not (tag.startswith("v") and (found or CANDIDATE.fullmatch(version))):
        sys.exit(f"{tag} names no version: v1.2.3, or v1.2.3rc1")
    wrong = [
        f"{tag} is tagged, and {path} has {own}"
        for path, own in versions().items()
        if own != version
    ]
    if wrong:
        sys.exit("\n".join(wrong))
    minor = found["minor"] if found else ""
    lines = [f"image=ghcr.io/{repository.lower()}", f"version={version}", f"minor={minor}"]
    sys.stdout.write("\n".join([*lines, ""]))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
