"""`rtchat stat` beside real pods: its numbers are theirs, and it says which pod has none, and why.

`rtchat tail`: tests/operate/test_tail.py.
"""

import asyncio
import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import pytest

from rtchat.server.launch import free_port
from tests.cli.answering import answering
from tests.cli.running import (
    Run,
    clean,
    fails,
    heed_ctrl_c,
    read,
    read_to_end,
    running,
    variables,
)
from tests.people import People, Person
from tests.pods import Pod, Pods
from tests.sockets import wire

TOKEN = "watched by operators"
AGAIN_S = 0.02


@pytest.fixture(scope="module")
def watched(databases, pods: Pods) -> Iterator[Pod]:
    """A pod that answers operators, on a port of their own."""
    with databases.fresh() as url:
        pod = pods.spawn(url, internal_token=TOKEN, internal_port=free_port()).wait()
        yield pod
        pod.kill()


@pytest.fixture
def beside(watched: Pod) -> dict[str, str]:
    """The settings of a command beside that pod."""
    port = watched.settings["RTCHAT_INTERNAL_PORT"]
    return {"internal_token": TOKEN, "internal_port": port}


def stat(*arguments: str, **settings: str) -> Run:
    return read("stat", "--once", "--interval", "0.2", *arguments, **settings)


@contextlib.asynccontextmanager
async def talking(pod: Pod) -> AsyncIterator[tuple[httpx2.AsyncClient, Person, int]]:
    """Somebody with a channel and a socket that follows it."""
    async with People(pod.database_url) as people, httpx2.AsyncClient(base_url=pod.url) as http:
        ann = await people.new()
        body = {"name": "x", "type": "public"}
        made = (await http.post("/channels", json=body, headers=ann.headers)).json()["id"]
        async with wire(pod.ws_url, ann) as following:
            await following.ask({"t": "sub", "ref": 1, "ch": {str(made): 0}})
            yield http, ann, made


async def test_the_numbers_are_those_of_the_time_between_two_looks(
    watched: Pod, beside: dict[str, str]
):
    """Connections and subscriptions as they are, acks and deliveries a second, their times."""
    async with talking(watched) as (http, ann, channel):
        looking = asyncio.create_subprocess_exec(
            sys.executable, "-m", "rtchat", "stat", "--json", "--interval", "0.2",
            env={**clean(), **variables(beside)}, stdout=subprocess.PIPE, preexec_fn=heed_ctrl_c,
        )  # fmt: skip
        process = await looking
        assert process.stdout is not None
        shown: dict[str, Any] = {}
        sent = 0
        while not shown.get("acks") or shown["lag_p99_ms"] is None:  # four looks at it a second
            body = {"content": "hi", "nonce": str(sent)}
            path = f"/channels/{channel}/messages"
            assert (await http.post(path, json=body, headers=ann.headers)).status_code == 201
            sent += 1
            if sent > 1:
                shown = json.loads(await process.stdout.readline())["all"]
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0, "Ctrl+C is how one ends it"
    assert None not in shown.values(), "every family that is shown is one that pods have"
    assert (shown["connections"], shown["live"], shown["bus"]) == (1, 1, 1)
    assert shown["deliveries"] == shown["acks"] > 0
    assert 0 < shown["ack_p50_ms"] <= shown["ack_p99_ms"] < 10_000
    assert (shown["sends"], shown["queue_rows"], shown["errors"]) == (0, 0, 0)


def test_a_table_of_several_pods_has_a_line_for_all(beside: dict[str, str]):
    """Here one pod by two URLs; the port alone, or a path besides, says which metrics are meant."""
    port = beside["internal_port"]
    done = stat(f"127.0.0.1:{port}", f"http://localhost:{port}/metrics", **beside)
    assert (done.status, done.err) == (0, "")
    heads, *pods = done.out.splitlines()
    assert heads.split()[:3] == ["pod", "conn", "live"]
    assert [line.split()[0] for line in pods] == [f"127.0.0.1:{port}"] * 2 + ["all"]
    assert all(line.endswith(" up") for line in pods)
    assert len({len(line) for line in [heads, *pods]}) == 1, "columns stand below each other"


def test_a_pod_that_does_not_answer_is_shown_beside_the_others(beside: dict[str, str]):
    """Status 3: whoever looks once wants to know of all."""
    done = stat(f"127.0.0.1:{beside['internal_port']}", "127.0.0.1:1", **beside)
    assert done.status == 3
    [dead] = [line for line in done.out.splitlines() if line.startswith("127.0.0.1:1 ")]
    assert "connect" in dead.lower()


@pytest.mark.parametrize(
    ("arguments", "settings", "words"),
    [
        ([], {"internal_token": TOKEN[::-1]}, "another RTCHAT_INTERNAL_TOKEN"),
        (["127.0.0.1:{public}"], {}, "they are on its internal port"),
        (["no-such-host.invalid"], {}, "its name cannot be looked up"),
        (["127.0.0.1:{port}/healthz"], {}, "no metrics in Prometheus' text format"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list | dict) else "",
)
def test_where_no_pod_answers_it_says_why(
    watched: Pod, beside: dict[str, str], arguments: list[str], settings: dict[str, str], words: str
):
    named = [a.format(public=watched.port, port=beside["internal_port"]) for a in arguments]
    fails(stat(*named, **{**beside, **settings}), 3, "no pod answers", words)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "http://", "http://[::1", "::"])
def test_what_is_no_url_is_refused(beside: dict[str, str], url: str):
    fails(stat(url, **beside), 2, url)


def test_what_a_stranger_says_of_itself_is_neither_obeyed_nor_shown_as_a_number():
    """A number that is none, and an answer that a terminal would obey."""
    metrics = b"rtchat_connections NaN\nrtchat_writer_queue_rows +Inf\nrtchat_acks_total 3\n"
    evil = b"\x1b[2J\x07{"
    answers = {b"/metrics": [(200, metrics)], b"/then": [(200, metrics), (200, evil)]}
    with answering(answers) as port:
        here = f"127.0.0.1:{port}"
        table = stat(here, f"{here}/then", internal_token=TOKEN)
        [record] = stat(here, "--json", internal_token=TOKEN).out.splitlines()
    assert table.status == 3, table
    assert "\x1b" not in table.out + table.err
    assert "\x07" not in table.out + table.err
    first, second = table.out.splitlines()[1:3]
    assert first.split()[:2] == [here, "-"]
    assert "no metrics in Prometheus' text format" in second
    assert "NaN" not in record
    assert json.loads(record)["all"]["connections"] is None
    assert json.loads(record)["all"]["acks"] == 0


def test_several_processes_on_one_port_are_told_apart():
    """Whatever each says of itself, the numbers of two make no rates."""
    told = [b"process_start_time_seconds %d\nrtchat_connections 1\n" % n for n in (1, 2)]
    with answering({b"/metrics": [(200, text) for text in told]}) as port:
        done = stat(f"127.0.0.1:{port}", internal_token=TOKEN)
    assert (done.status, "another process" in done.out) == (3, True), done
    own = stat(internal_token=TOKEN, workers="2", redis_urls="redis://127.0.0.1")
    fails(own, 2, "set RTCHAT_INTERNAL_PORT")


def test_a_terminal_keeps_what_it_shows_where_nobody_answers():
    """It is cleared for a table."""
    near, far = pty.openpty()
    given = variables({"internal_token": TOKEN})
    process = subprocess.Popen(
        [sys.executable, "-m", "rtchat", "stat", "127.0.0.1:1"],
        env={**clean(), **given}, stdin=far, stdout=far, stderr=far, start_new_session=True,
    )  # fmt: skip
    os.close(far)
    told = read_to_end(near)
    assert (process.wait(20), b"\x1b" in told, b"no pod answers" in told) == (3, False, True), told


def test_a_terminal_is_drawn_anew_and_a_log_gets_lines(beside: dict[str, str]):
    near, far = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "rtchat", "stat", "--interval", "0.2"],
        env={**clean(), **variables(beside)}, stdin=far, stdout=far, stderr=far,
        start_new_session=True, preexec_fn=heed_ctrl_c,
    )  # fmt: skip
    os.close(far)
    told = b""
    while told.count(b"\x1b[H") < 2:
        told += os.read(near, 4096)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0, told
    os.close(near)
    assert b"\x1b[2J" in told
    with running("stat", "--interval", "0.2", **beside) as lines:
        assert lines.stdout is not None
        first = lines.stdout.readline()
        lines.send_signal(signal.SIGINT)
        assert lines.wait(20) == 0
    assert re.match(r"\d\d:\d\d:\d\d  1 of 1 pods  conn \d+  live \d+ ", first)
    assert "\x1b" not in first
