"""The pre-stop call: `rtchat drain` beside a pod, who may make it, and the end that follows."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from rtchat.server.launch import free_port
from tests.people import People, Person
from tests.pods import Pod, Pods
from tests.sockets import Wire, wire

TOKEN = "pre-stop-tests-0123456789"
SLACK_S = 3.0  # what two busy cores may add to a bound


@pytest.fixture(scope="module")
def database_url(module_database_url: str) -> str:
    """One database for all: each test makes people and channels of its own."""
    return module_database_url


@contextlib.asynccontextmanager
async def rest(pod: Pod) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=pod.url, timeout=20) as http:
        yield http


@contextlib.asynccontextmanager
async def connected(pod: Pod, count: int) -> AsyncIterator[tuple[Person, list[Wire]]]:
    """Somebody with so many sockets."""
    async with People(pod.database_url) as people, contextlib.AsyncExitStack() as stack:
        ann = await people.new()
        yield ann, [await stack.enter_async_context(wire(pod.ws_url, ann)) for _ in range(count)]


async def rtchat_drain(*arguments: str, **settings: str) -> tuple[int, str]:
    """Run `rtchat drain` as a pre-stop hook does: its status, and what it says."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("RTCHAT_")}
    given = {f"RTCHAT_{name.upper()}": value for name, value in settings.items()}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "rtchat", "drain", *arguments,
        env={**clean, **given}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


async def test_rtchat_drain_holds_sigterm_back(pods: Pods, database_url: str) -> None:
    """It returns when the sockets are gone; REST goes on until SIGTERM, which then ends at once."""
    pod = await pods.start(database_url, drain_s=20, drain_per_second=10, internal_token=TOKEN)
    beside = {"internal_token": TOKEN, "port": str(pod.port)}
    async with connected(pod, 10) as (ann, crowd):
        assert (await rtchat_drain(**beside))[0] == 0
        assert [(await one.closed())[0] for one in crowd] == [4201] * 10
    async with rest(pod) as http:
        body = {"name": "made while it waits for SIGTERM", "type": "public"}
        made = await http.post("/channels", json=body, headers=ann.headers)
        assert made.status_code == 201
        assert (await http.get("/readyz")).json()["code"] == "draining"
    began = time.monotonic()
    status, said = await rtchat_drain("--hold", "1", **beside)  # joins what is over, and waits
    assert (status, said.split()[0]) == (0, "drained")
    assert time.monotonic() - began >= 1
    pod.signal(signal.SIGTERM)
    began = time.monotonic()
    assert await pod.ended() == 0
    assert time.monotonic() - began < 2 + SLACK_S


async def test_sigterm_joins_the_call(pods: Pods, database_url: str) -> None:
    """Where the grace period cannot wait: one drain, the call is answered, everybody has a slot."""
    settings: dict[str, Any] = {
        "drain_per_second": 10,
        "drain_return_ms": 0,
        "internal_token": TOKEN,
    }
    pod = await pods.start(database_url, **settings)
    async with connected(pod, 20) as (_, crowd), asyncio.TaskGroup() as group:
        calling = group.create_task(rtchat_drain(internal_token=TOKEN, port=str(pod.port)))
        await draining(pod)
        pod.signal(signal.SIGTERM)
        for one in crowd:
            code, frames = await one.closed()
            assert (code, frames) == (4201, [{"t": "bye", "code": 4201, "in": 0}])
        assert await pod.ended() == 0
    assert calling.result()[0] == 0, calling.result()
    assert [line["sockets"] for line in pod.events("drained")] == [20]


async def draining(pod: Pod) -> None:
    """Wait until the drain has begun."""
    while not pod.events("draining"):
        await asyncio.sleep(0.02)


async def test_only_the_token_opens_the_pre_stop_call(pods: Pods, database_url: str) -> None:
    """A wrong one is `unauthorized`, and changes nothing; without the setting there is no path."""
    pod = await pods.start(database_url, internal_token=TOKEN)
    plain = await pods.start(database_url)
    async with rest(pod) as http, rest(plain) as other:
        for header in ({}, {"Authorization": f"Bearer {TOKEN}x"}, {"Authorization": TOKEN}):
            answer = await http.post("/internal/drain", headers=header)
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
        right = {"Authorization": f"Bearer {TOKEN}"}
        assert (await http.get("/internal/drain", headers=right)).status_code == 405
        for method in ("GET", "POST", "OPTIONS"):
            answer = await other.request(method, "/internal/drain", headers=right)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert (await http.get("/readyz")).status_code == 200
    for port, token in ((pod.port, TOKEN[::-1]), (plain.port, TOKEN), (1, TOKEN)):
        status, said = await rtchat_drain(internal_token=token, port=str(port))
        assert status == 3, said
        assert token not in said
        assert "RTCHAT_PORT" in said
        assert "Traceback" not in said
    assert (await rtchat_drain(port=str(pod.port)))[0] == 2
    async with rest(pod) as http:
        assert (await http.get("/readyz")).status_code == 200


async def test_the_call_goes_to_the_port_of_operators(pods: Pods, database_url: str) -> None:
    """Where there is one; --port names another. On the port of clients it is not answered then."""
    internal = free_port()
    pod = await pods.start(database_url, internal_token=TOKEN, internal_port=internal)
    beside = {"internal_token": TOKEN, "internal_port": str(internal)}
    status, said = await rtchat_drain("--port", str(pod.port), **beside)
    assert (status, "another RTCHAT_INTERNAL_PORT" in said) == (3, True), said
    async with rest(pod) as http:
        assert (await http.get("/readyz")).status_code == 200
        assert (await rtchat_drain(port=str(pod.port), **beside))[0] == 0
        assert (await http.get("/readyz")).json()["code"] == "draining"
    status, said = await rtchat_drain("--port", str(internal), internal_token=TOKEN)
    assert (status, said.split()[0]) == (0, "drained")


async def test_the_time_is_held_whatever_came_of_the_call() -> None:
    """A server that does not answer may still be routed to, as one that refuses the token."""
    began = time.monotonic()
    status, said = await rtchat_drain("--hold", "1.5", internal_token=TOKEN, port="1")
    assert (status, "no answer" in said) == (3, True)
    assert time.monotonic() - began >= 1.5
