"""The comparison, as a command: what can be run is measured, and the rest is named."""

import asyncio
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest

from bench.charts import CHARTS
from bench.compare import Plan, one_round
from bench.peers.listing import PEERS
from bench.peers.node import WsNode
from bench.peers.peer import Running, serving
from rtchat.server.launch import free_port

ROOT = Path(__file__).parents[2]


async def compare(*arguments: str | Path) -> tuple[int | None, str]:
    child = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "bench", "compare", "--rounds", "1", "--seconds", "0.2"],
        *["--members", "3", *map(str, arguments)],
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await child.communicate()
    return child.returncode, output.decode()


async def test_servers_are_measured_on_the_same_work(tmp_path: Path) -> None:
    if reason := PEERS["fastapi_store"].available():
        pytest.skip(f"nothing to compare with: {reason}")
    file = tmp_path / "figures.json"
    status, output = await compare(
        *("--only", "rtchat", "--only", "fastapi_store", "--in-flight", "4", "--json", file),
        *("--assert", "wrong==0"),
    )
    assert status == 0, output
    figures = orjson.loads(file.read_bytes())
    assert [(row["work"], row["server"]) for row in figures["rows"]] == [
        ("fanout-4", "rtchat"),
        ("fanout-4", "fastapi_store"),
        ("ingest", "rtchat"),
        ("ingest", "bare COPY"),
        ("ingest", "fastapi_store"),
        ("rest", "rtchat"),
        ("rest", "fastapi_store"),
    ]
    assert set(figures["servers"]) == {"rtchat", "bare COPY", "fastapi_store"}
    assert figures["goals"] == [], "they speak of a room of another size"
    assert "✓ wrong==0" in output
    plots = CHARTS["compare"](figures)
    assert [title.partition(":")[0] for title, _ in plots] == ["fanout-4", "ingest", "rest"]
    assert all("rtchat" in svg and "fastapi_store" in svg for _, svg in plots)


async def test_what_cannot_be_run_is_left_out_with_the_reason(tmp_path: Path) -> None:
    if PEERS["centrifugo"].available() is None:
        pytest.skip("this machine has Centrifugo, so nothing is left out")
    status, output = await compare(
        "--only", "rtchat", "--only", "centrifugo", "--only", "ingest", "--json", tmp_path / "f"
    )
    assert status == 0, output
    assert "centrifugo is left out: centrifugo is not on PATH" in output
    figures = orjson.loads((tmp_path / "f").read_bytes())
    assert [row["server"] for row in figures["rows"]] == ["rtchat", "bare COPY"]


class Broken(WsNode):
    """A peer whose program ends at once."""

    @contextmanager
    def start(self, cores: Collection[int] = ()) -> Iterator[Running]:
        with serving(["sh", "-c", "echo out of order; exit 1"], free_port(), cores=cores):
            yield Running("", (), "plain")


def test_a_peer_that_fails_is_told_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PEERS, "broken", Broken())
    plan = Plan(frozenset({"fanout"}), 1, [1], 0.1)
    notes: list[str] = []
    assert list(one_round(1, ["broken", "broken"], plan, notes.append)) == []
    assert len(notes) == 2
    assert notes[0].startswith("broken failed in round 2: ")
    assert "out of order" in notes[0]
