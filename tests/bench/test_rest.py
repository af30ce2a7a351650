"""The REST bench on a real pod: what it counts as an answer is one, and what it posts is stored."""

import asyncio
import json
from typing import Any

import pytest

from bench import rest
from bench.load.engine import LoadError
from bench.load.jobs.http import answer_size, request_bytes
from bench.load.process import LoadClient, LoadFailedError
from bench.rig import Rig


@pytest.fixture(scope="module")
async def guests(rig: Rig) -> rest.Guests:
    guests = await asyncio.to_thread(rest.Guests, rig, 3, 60)
    await asyncio.to_thread(guests.write)
    return guests


async def ask(
    rig: Rig, load: LoadClient, requests: rest.Requests, seconds: float = 0.6
) -> dict[str, Any]:
    return await asyncio.to_thread(
        rest.measure, load, requests, rig.url, rig.pids, seconds=seconds, warmup_s=0.1
    )


@pytest.mark.parametrize(
    ("what", "least_bytes"), [("page", 50 * 100), ("channel", 100), ("login", 300)]
)
async def test_what_is_asked_is_answered_and_timed(
    rig: Rig, load: LoadClient, guests: rest.Guests, what: str, least_bytes: int
) -> None:
    requests = await asyncio.to_thread(guests.requests, what)
    # three passwords are hashed one after another, a second together on two busy cores
    row = await ask(rig, load, requests, 4.0 if what == "login" else 0.6)
    assert row["connections"] == 3
    assert row["answered"] > 0
    assert row["n"] == row["answered"]
    assert row["answer_bytes"] > least_bytes
    assert 0 < row["p50_ms"] <= row["p99_ms"] <= row["max_ms"]


async def test_each_posted_message_is_stored(
    rig: Rig, load: LoadClient, guests: rest.Guests
) -> None:
    """Those of the warming up and the last of each connection come on top of what is counted."""
    before = await asyncio.to_thread(rig.stored, guests.channels)
    row = await ask(rig, load, guests.requests("post"))
    stored = await asyncio.to_thread(rig.stored, guests.channels) - before
    assert 0 < row["answered"] < stored


async def test_a_refusal_ends_the_bench_with_what_was_said(
    rig: Rig, load: LoadClient, guests: rest.Guests
) -> None:
    stranger = (await asyncio.to_thread(rig.people, 1))[0]
    path = f"/channels/{guests.channels[0]}/messages"
    with pytest.raises(LoadFailedError, match="forbidden"):
        await ask(rig, load, [[["GET", path, stranger.token(), None]]])


def test_rounds_are_compared_pair_by_pair() -> None:
    """A machine that is slow in one round is slow for both."""
    ours = [{"per_s": 300.0, "server_us": 10.0}, {"per_s": 30.0, "server_us": 100.0}]
    theirs = [{"per_s": 100.0, "server_us": 40.0}, {"per_s": 10.0, "server_us": 400.0}]
    assert rest._compared(ours, theirs) == {"rate_ratio": 3.0, "cost_ratio": 4.0}
    assert rest._middle([*ours, {"per_s": 50.0}])["per_s"] == 50.0


def test_an_answer_ends_where_its_length_says() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nx-a: b\r\n\r\n{}"
    assert answer_size(answer) == len(answer)
    assert answer_size(answer[:-3]) is None
    with pytest.raises(LoadError, match="without a length"):
        answer_size(b"HTTP/1.1 200 OK\r\n\r\ncontent-length: 2")


def test_a_request_is_whole() -> None:
    body = json.dumps({"content": "é"})
    sent = request_bytes("host:1", "POST", "/a", "token", body)
    head, _, content = sent.partition(b"\r\n\r\n")
    assert head.split(b"\r\n")[:3] == [
        b"POST /a HTTP/1.1", b"host: host:1", b"authorization: Bearer token"
    ]  # fmt: skip
    assert f"content-length: {len(content)}".encode() in head
    assert request_bytes("h", "GET", "/") == b"GET / HTTP/1.1\r\nhost: h\r\n\r\n"
