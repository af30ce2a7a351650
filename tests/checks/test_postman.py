"""The Postman collection, run by newman against a server that is new: each of its tests holds."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.checks.node import needs_node, run
from tests.pods import ROOT, Pods

FILES = sorted((ROOT / "docs" / "postman").glob("*.json"))
COLLECTIONS = [path for path in FILES if "item" in json.loads(path.read_text())]


def requests(folder: dict[str, Any]) -> list[dict[str, Any]]:
    """The requests of a collection, in the order in which they run."""
    found = [folder] if "request" in folder else []
    return found + [inner for item in folder.get("item", []) for inner in requests(item)]


def url_of(item: dict[str, Any]) -> str:
    url = item["request"]["url"]
    raw: str = url if isinstance(url, str) else url["raw"]
    return raw


def test_there_is_a_collection() -> None:
    assert len(COLLECTIONS) > 0


@pytest.mark.parametrize("path", COLLECTIONS, ids=lambda path: path.stem)
def test_it_asks_only_the_server_that_it_is_given(path: Path) -> None:
    urls = [url_of(item) for item in requests(json.loads(path.read_text()))]
    assert len(urls) > 0
    assert [url for url in urls if not url.startswith("{{baseUrl}}/")] == []


@needs_node
@pytest.mark.parametrize("path", COLLECTIONS, ids=lambda path: path.stem)
def test_newman_runs_it(path: Path, pods: Pods, database_url: str, tmp_path: Path) -> None:
    pod = pods.spawn(database_url).wait()
    report = tmp_path / "report.json"
    ended = run(
        "newman/bin/newman.js", "run", path, "--bail", "--env-var", f"baseUrl={pod.url}",
        "--timeout-request", "10000", "--color", "off", "--reporters", "cli,json",
        "--reporter-json-export", report,
    )  # fmt: skip
    pod.kill()
    assert ended.returncode == 0, ended.stdout + ended.stderr
    told = json.loads(report.read_text())["run"]
    asked = [one for one in told["executions"] if "response" in one]
    assert len(asked) == len(requests(json.loads(path.read_text()))) > 0
    assert [one["item"]["name"] for one in asked if not one.get("assertions")] == []
    assert told["stats"]["assertions"]["failed"] == 0
