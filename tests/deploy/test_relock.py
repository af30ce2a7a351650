"""The locks made anew: by uv, of an index on loopback; and what changed, pushed to a repository.

The tree is a small one: the scripts work in the tree that they lie in.
"""

import hashlib
import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.deploy import needed
from tests.pods import ROOT

LOCKS = (".ci/requirements.lock", ".ci/build.lock")
AGES_D = {"1.0": 400, "1.1": 8, "1.2": 3}
PROJECT = """
[build-system]
requires = ["baker>=1"]
[project]
name = "small"
version = "1"
dependencies = ["flour>=1"]
[project.optional-dependencies]
otel = ["salt>=1"]
"""


class Index(SimpleHTTPRequestHandler):
    """A package index: files, and a list of each package's with its age."""

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: uv says what it misses."""

    def guess_type(self, path: Any) -> str:
        """What uv asks for: the list as JSON, which alone tells when a file came."""
        form = "application/vnd.pypi.simple.v1+json"
        return form if str(path).endswith(".html") else super().guess_type(path)


def wheel(folder: Path, name: str, version: str) -> dict[str, Any]:
    """A package with nothing in it; returns what an index says of it."""
    path, info = folder / f"{name}-{version}-py3-none-any.whl", f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    came = datetime.now(UTC) - timedelta(days=AGES_D[version])
    return {
        "filename": path.name, "url": f"/{path.name}", "upload-time": came.isoformat(),
        "hashes": {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()},
    }  # fmt: skip


@pytest.fixture
def index(tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "index"
    for name in ("baker", "flour", "salt"):
        (folder / "simple" / name).mkdir(parents=True)
        files = [wheel(folder, name, version) for version in AGES_D]
        listed = {
            "meta": {"api-version": "1.1"},
            "name": name,
            "files": files,
            "versions": [*AGES_D],
        }
        (folder / "simple" / name / "index.html").write_text(json.dumps(listed))
    handler = partial(Index, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=partial(server.serve_forever, 0.05), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/simple"
        server.shutdown()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A project with our scripts, whose locks are a year old."""
    tree = tmp_path / "tree"
    (tree / ".ci").mkdir(parents=True)
    for name in ("relock", "propose"):
        shutil.copy2(ROOT / ".ci" / name, tree / ".ci")
    (tree / "pyproject.toml").write_text(PROJECT)
    for lock, names in zip(LOCKS, (("flour", "salt"), ("baker",)), strict=True):
        (tree / lock).write_text("".join(f"{name}==1.0\n" for name in names))
    return tree


def ran(command: list[Path | str], tree: Path, **more: str) -> str:
    """What a command prints, where it succeeds."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("UV_", "GIT_"))}
    environ = {**clean, "PATH": needed.PATH, "HOME": str(tree.parent), **more}
    done = subprocess.run(
        command, cwd=tree, env=environ, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def locked(tree: Path) -> dict[str, str]:
    lines = [line for lock in LOCKS for line in (tree / lock).read_text().splitlines()]
    pins = [line.removesuffix(" \\").split("==") for line in lines if "==" in line]
    assert len(pins) == sum("--hash=sha256:" in line for line in lines), "a hash each"
    return {pin[0]: pin[1] for pin in pins}


@pytest.mark.parametrize(
    ("given", "newest"), [({}, "1.1"), ({"UV_EXCLUDE_NEWER": "0 days"}, "1.2")], ids=["", "today's"]
)
def test_the_locks_are_of_the_newest_that_is_a_week_old(
    index: str, tree: Path, given: dict[str, str], newest: str
) -> None:
    needed.program("uv", "pip install -e '.[lock]'")
    more = {"UV_DEFAULT_INDEX": index, "UV_CACHE_DIR": str(tree.parent / "cache"), **given}
    ran([tree / ".ci" / "relock"], tree, **more)
    assert locked(tree) == dict.fromkeys(("flour", "salt", "baker"), newest)
    for lock in LOCKS:
        text = (tree / lock).read_text()
        assert "127.0.0.1" not in text, "whose index it was is nobody's business"
        head = text.splitlines()[:2]
        assert head == (ROOT / lock).read_text().splitlines()[:2], "ours was made by it"


NAMED = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Ann"), ("EMAIL", "ann@example.org"))
}


def git(tree: Path, *arguments: Path | str) -> str:
    return ran(["git", *arguments], tree, **NAMED).strip()


@pytest.fixture
def origin(tree: Path) -> Path:
    """A repository that the tree is a clone of."""
    git(tree, "init", "--quiet", "--initial-branch", "main")
    git(tree, "add", ".")
    git(tree, "commit", "--quiet", "--message", "Begin")
    origin = tree.parent / "origin.git"
    git(tree, "clone", "--quiet", "--bare", tree, origin)
    git(tree, "remote", "add", "origin", origin)
    return origin


def test_what_changed_is_pushed_as_one_commit(tree: Path, origin: Path) -> None:
    """Once more, too: the branch is what main and the newest locks are, without a history."""
    (tree / "README.md").write_text("not its business\n")
    for version in ("1.1", "1.2"):
        git(tree, "checkout", "--quiet", "main")
        (tree / LOCKS[0]).write_text(f"flour=={version}\n")
        assert ran([tree / ".ci" / "propose"], tree, **NAMED) == "pushed=true\n"
        assert (
            git(origin, "log", "--format=%s", "main..relock") == "Renew what the image is made of"
        )
        assert git(origin, "diff", "--name-only", "main", "relock") == LOCKS[0]
        assert git(origin, "show", f"relock:{LOCKS[0]}") == f"flour=={version}"


def test_nothing_newer_pushes_nothing(tree: Path, origin: Path) -> None:
    assert ran([tree / ".ci" / "propose"], tree, **NAMED) == "pushed=false\n"
    assert git(origin, "branch", "--format=%(refname:short)") == "main"
