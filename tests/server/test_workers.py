"""Several workers on one port, as whole processes: who serves, who is told, and who ends when."""

import asyncio
import contextlib
import os
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from rtchat.server.restarts import FAILURES_MAX
from rtchat.server.valkey import PrivateValkey
from rtchat.server.workers import KILL_AFTER_S
from tests.people import People, Person
from tests.pods import Pod, Pods
from tests.services import Given
from tests.sockets import Wire, wire
from tests.test_prestop import TOKEN, rtchat_drain

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc tells who serves whom")

SLACK_S = 3.0  # what two busy cores may add to a bound
CROWD = 20  # that all of them come to one of two workers: once in half a million
STATUS_KILLED = 128 + signal.SIGKILL

Start = Callable[..., Awaitable[Pod]]


@pytest.fixture(scope="module")
def database_url(module_database_url: str) -> str:
    """One database for all: each test makes people and channels of its own."""
    return module_database_url


@pytest.fixture
async def people(database_url: str) -> AsyncIterator[People]:
    async with People(database_url) as source:
        yield source


@pytest.fixture
def start(pods: Pods, database_url: str, valkey: PrivateValkey | Given) -> Start:
    """Start a pod of two workers, and wait until both serve."""

    async def starting(**settings: Any) -> Pod:
        prefix = f"workers-{secrets.token_hex(4)}"
        between: dict[str, Any] = {"redis_urls": valkey.url, "bus_prefix": prefix, "workers": 2}
        pod = await pods.start(database_url, **{**between, **settings})
        await until(lambda: len(pod.events("listening")) == 2)
        return pod

    return starting


async def until(holds: Callable[[], bool], within_s: float = 20) -> None:
    async with asyncio.timeout(within_s):
        while not holds():
            await asyncio.sleep(0.02)


def runs(pid: int) -> bool:
    """Whether the process is there, and more than a status that nobody has asked for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


def worker_of(pod: Pod, one: Wire) -> int:
    """The number of the worker that has the other end."""
    client = one.socket.transport.get_extra_info("sockname")[1]
    ends = [f"0100007F:{port:04X}" for port in (pod.port, client)]
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    [inode] = [row[9] for row in rows if row[1:3] == ends]
    for number, pid in pod.workers().items():
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                if os.readlink(descriptor) == f"socket:[{inode}]":
                    return number
    raise AssertionError("nobody has it")


@contextlib.asynccontextmanager
async def crowd(pod: Pod, person: Person, count: int = CROWD) -> AsyncIterator[list[Wire]]:
    """So many sockets."""
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(wire(pod.ws_url, person)) for _ in range(count)]


async def ask(pod: Pod, path: str) -> httpx2.Response:
    """Over a connection of its own, so whichever worker it comes to."""
    async with httpx2.AsyncClient(base_url=pod.url, timeout=20) as http:
        return await http.get(path)


# --- serving


async def test_all_serve_on_one_port_and_hear_of_each_other(start: Start, people: People) -> None:
    """What is sent at one is delivered at every other; each says who it is in every line."""
    pod = await start()
    ann, bob = await people.several(2)
    body = {"name": "x", "type": "public", "members": [bob.id]}
    async with httpx2.AsyncClient(base_url=pod.url, headers=ann.headers) as http:
        channel = (await http.post("/channels", json=body)).json()["id"]
    async with crowd(pod, bob) as listening, wire(pod.ws_url, ann) as sender:
        assert {worker_of(pod, one) for one in listening} == {1, 2}
        for one in listening:
            await one.ask({"t": "sub", "ref": 1, "ch": {str(channel): None}})
        await sender.send({"t": "send", "ref": 2, "ch": channel, "content": "to all of you"})
        assert (await sender.until(t="ack"))[-1]["ref"] == 2
        for one in listening:
            assert (await one.until(t="msg"))[-1]["content"] == "to all of you"
    assert {line["worker"] for line in pod.events("listening")} == {1, 2}
    assert all("worker" in line for line in pod.events() if "workers" not in line["logger"])


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
async def test_one_that_ends_is_started_again(
    start: Start, people: People, how: signal.Signals
) -> None:
    """Whatever it ended by; the other one's sockets notice nothing, and new ones find them both."""
    pod = await start(drain_s=1)
    ann = await people.new()
    before = pod.workers()
    async with crowd(pod, ann) as sockets:
        of = {one: worker_of(pod, one) for one in sockets}
        os.kill(before[1], how)
        for one in sockets:
            if of[one] == 1:
                with contextlib.suppress(Exception):
                    await one.closed()
        await until(lambda: len(pod.events("listening")) == 3)
        assert [one for one in sockets if of[one] == 2], "nobody was at the other"
        for one in sockets:
            if of[one] == 2:
                await one.alive()
        after = pod.workers()
        assert (after[1] != before[1], after[2]) == (True, before[2])
        async with crowd(pod, ann) as new:
            assert {worker_of(pod, one) for one in new} == {1, 2}
    [line] = pod.events("worker ended")
    assert line["status"] == (0 if how == signal.SIGTERM else 128 + how)
    assert pod.stop() == 0


async def test_a_process_that_cannot_be_had_is_waited_for(start: Start) -> None:
    """At the start or later; the other one serves on, and signals still come through."""
    pod = await start(module="tests.server.crowded_pod", test_forks_fail="2,4,5")
    before = pod.workers()
    os.kill(before[1], signal.SIGKILL)
    await until(lambda: len(pod.events("listening")) == 3)
    assert [line["worker"] for line in pod.events("worker not started")] == [2, 1, 1]
    assert pod.workers()[2] == before[2]
    assert runs(before[2])
    assert pod.stop() == 0


async def test_one_that_never_stays_is_given_up(start: Start) -> None:
    """Its exit status is the whole's, and the other one has drained."""
    pod = await start()
    killed: set[int] = set()
    while len(killed) < FAILURES_MAX:
        pid = pod.workers()[2]
        if pid not in killed:
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)
        await asyncio.sleep(0.02)
    assert await pod.ended() == STATUS_KILLED
    assert [line["worker"] for line in pod.events("drained")] == [1]
    waits = [line["again_in_s"] for line in pod.events("worker ended") if "again_in_s" in line]
    assert len(waits) == FAILURES_MAX - 1
    assert not any(map(runs, pod.workers().values()))


# --- ending


async def test_sigterm_drains_all_at_the_same_time(start: Start, people: People) -> None:
    """Everybody gets `bye` in a slot; the windows run side by side; status 0."""
    pod = await start(drain_s=10, drain_per_second=5, shutdown_s=17)
    ann = await people.new()
    async with crowd(pod, ann) as sockets:
        pod.signal(signal.SIGTERM)
        for one in sockets:
            code, frames = await one.closed()
            assert (code, frames[-1]["t"]) == (4201, "bye")
        assert await pod.ended(17 + SLACK_S) == 0
    drained = pod.events("drained")
    assert sorted(line["worker"] for line in drained) == [1, 2]
    assert sum(line["sockets"] for line in drained) == CROWD
    windows = [line["time"] for line in pod.events("draining")]
    assert max(windows) < min(line["time"] for line in drained)
    assert "Traceback" not in pod.log()


async def test_a_second_signal_hurries_all(start: Start, people: People) -> None:
    """Of either kind, and though no worker may have seen the first."""
    pod = await start(drain_s=20, drain_per_second=1)
    ann = await people.new()
    async with crowd(pod, ann) as sockets:
        pod.signal(signal.SIGTERM)
        pod.signal(signal.SIGINT)
        began = time.monotonic()
        assert {(await one.closed())[0] for one in sockets} == {4201}
        assert await pod.ended() == 0
        assert time.monotonic() - began < 2 + SLACK_S
    assert "Traceback" not in pod.log()


async def test_one_that_is_stuck_does_not_hold_the_end(start: Start) -> None:
    """It is killed when its time is over, and the status tells."""
    pod = await start(drain_s=0, shutdown_s=7)
    os.kill(pod.workers()[1], signal.SIGSTOP)
    pod.signal(signal.SIGTERM)
    assert await pod.ended(7 + KILL_AFTER_S + SLACK_S) == STATUS_KILLED
    assert [line["worker"] for line in pod.events("worker does not end")] == [1]
    assert not any(map(runs, pod.workers().values()))


async def test_without_their_supervisor_they_drain_and_end(start: Start, people: People) -> None:
    """Killed as it may be: no worker stays behind, and clients are sent away in good order."""
    pod = await start(drain_s=2)
    ann = await people.new()
    async with crowd(pod, ann) as sockets:
        pod.kill()
        for one in sockets:
            code, frames = await one.closed()
            assert (code, frames[-1]["t"]) == (4201, "bye")
        await until(lambda: not any(map(runs, pod.workers().values())))
    assert sorted(line["worker"] for line in pod.events("stopping")) == [1, 2]
    assert not pod.events("stopping is cut short")


async def test_the_pre_stop_call_drains_all(start: Start, people: People) -> None:
    """Whichever takes it; it is answered when all are gone, none is ready, REST goes on."""
    pod = await start(drain_s=20, drain_per_second=10, internal_token=TOKEN)
    beside = {"internal_token": TOKEN, "port": str(pod.port)}
    ann = await people.new()
    async with crowd(pod, ann) as sockets:
        status, said = await rtchat_drain(**beside)
        assert status == 0, said
        assert len(pod.events("drained")) == 2
        assert {(await one.closed())[0] for one in sockets} == {4201}
    assert (await rtchat_drain(**beside))[0] == 0  # joins what is over
    for _ in range(CROWD):
        assert (await ask(pod, "/readyz")).json()["code"] == "draining"
        assert (await ask(pod, "/healthz")).status_code == 200
    pod.signal(signal.SIGTERM)
    assert await pod.ended() == 0


async def test_a_worker_that_dies_while_all_drain_is_not_waited_for(
    start: Start, people: People
) -> None:
    """Nor replaced: nobody new is let in."""
    pod = await start(drain_s=20, drain_per_second=5, internal_token=TOKEN)
    ann = await people.new()
    async with crowd(pod, ann), asyncio.TaskGroup() as group:
        first, second = pod.workers()[1], pod.workers()[2]
        asked = group.create_task(rtchat_drain(internal_token=TOKEN, port=str(pod.port)))
        await until(lambda: len(pod.events("draining")) == 2)
        os.kill(second, signal.SIGKILL)
        await until(lambda: not runs(second))
    assert runs(first)
    assert pod.workers()[2] == second
    assert asked.result()[0] in (0, 3)  # 3 where it was asked of the one that died
    pod.signal(signal.SIGTERM)
    assert await pod.ended() == STATUS_KILLED
