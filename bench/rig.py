"""rtchat as a bench needs it: pods on a core of their own, durable, with Redis between them.

Owns: the processes, their places on the cores, and the people and channels, which are written
straight into the database. PostgreSQL has its defaults (fsync and synchronous_commit on). What
bounds one user's rate is off, for a bench is one user, and so is presence but for `idle`, `connect`
and `page`; all other settings are those of production.
"""

import asyncio
import contextlib
import os
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from bench import machine
from bench.crowd import Person, gather, open_channels
from bench.load.process import LoadClient
from tests.pods import SECRET_KEY, Pod, PodError
from tests.services import Databases, run_postgres, run_valkey, temporary_directory

START_S = 60.0
SETTINGS: dict[str, Any] = {
    "sends_per_second": 0,
    "sends_burst": 1_000_000,
    "sends_in_flight": 1024,
    "connections_max": 0,
    "access_token_s": 3600,
    "account_failures_max": 0,  # sign-ins under way count until they are answered
    "address_failures_max": 0,
    "presence": 0,  # comes at its own times, among frames that are counted
}
# For benches whose clients count nothing that comes unasked: as it is by default.
PRESENCE = {"presence": 1}


@dataclass(slots=True)
class Rig:
    """What is measured: pods that run, and who uses them."""

    database_url: str
    redis_url: str
    pods: list[Pod] = field(default_factory=list)
    run: str = field(default_factory=lambda: secrets.token_hex(3))

    @property
    def url(self) -> str:
        """The first pod's."""
        return self.pods[0].url

    @property
    def pids(self) -> list[int]:
        """Whose CPU counts as the server's."""
        return [pid for pod in self.pods for pid in (pod.pid, *pod.workers().values())]

    def people(self, count: int) -> list[Person]:
        """Make so many users, each with a session."""
        names = [f"person {n}" for n in range(count)]
        with asyncio.Runner() as runner:
            return runner.run(gather(self.database_url, SECRET_KEY, names))

    def channels(self, members: Sequence[Sequence[Person]]) -> list[int]:
        """Make a channel for each list of people."""
        with asyncio.Runner() as runner:
            return runner.run(
                open_channels(self.database_url, [[p.id for p in group] for group in members])
            )

    def stored(self, channels: Sequence[int]) -> int:
        """How many messages the database has of these channels."""

        async def count() -> int:
            connection = await asyncpg.connect(self.database_url)
            try:
                found: int = await connection.fetchval(
                    "SELECT count(*) FROM messages WHERE channel_id = ANY($1) AND kind = 1",
                    channels,
                )
                return found
            finally:
                await connection.close()

        with asyncio.Runner() as runner:
            return runner.run(count())

    def member(self, person: Person, **what: Any) -> dict[str, Any]:
        """What the load client is told of one connection."""
        return {"token": person.token(), "run": f"{self.run}-{person.id}", **what}


@contextlib.contextmanager
def rig(
    pods: int = 1, *, workers: int = 1, redis: bool = True, settings: Mapping[str, Any] = {}
) -> Iterator[Rig]:
    """Run PostgreSQL, Valkey and so many pods; end them, and delete what they kept.

    Pods of several workers are not kept on one core: they take what the others leave of all.
    """
    others = machine.other_cores()
    before = os.sched_getaffinity(0)
    if others:
        os.sched_setaffinity(0, others)  # children inherit it
    with contextlib.ExitStack() as stack:
        stack.callback(os.sched_setaffinity, 0, before)
        directory = stack.enter_context(temporary_directory())
        databases = Databases(stack.enter_context(run_postgres()).url)
        stack.callback(databases.close)
        url = stack.enter_context(databases.fresh())
        redis_url = stack.enter_context(run_valkey()).url if redis else ""
        bus = {"redis_urls": redis_url, "bus_prefix": f"bench-{secrets.token_hex(4)}"}
        given = {**SETTINGS, "workers": workers, **(bus if redis else {}), **settings}
        it = Rig(url, redis_url)
        for number in range(pods):
            pod = Pod(url, directory / f"pod-{number}.log", given)
            machine.pin(pod.pid, machine.server_cores() if workers == 1 else before)
            stack.callback(pod.stop, 30.0)
            it.pods.append(pod)
        for pod in it.pods:
            pod.wait(START_S)
            _wait_for_workers(pod, workers)
            _require_ready(pod)
        yield it


def _require_ready(pod: Pod) -> None:
    """A pod whose database would lose what it acks in a crash says that it is not ready."""
    try:
        with urllib.request.urlopen(f"{pod.url}/readyz", timeout=START_S):
            return
    except urllib.error.HTTPError as error:
        raise PodError(f"it is not ready: {error.read().decode()}") from error


def _wait_for_workers(pod: Pod, workers: int) -> None:
    deadline = time.monotonic() + START_S
    while len(pod.events("listening")) < workers:
        if time.monotonic() > deadline or pod.process.poll() is not None:
            raise PodError(f"not all of its {workers} workers serve:\n{pod.log()}")
        time.sleep(0.02)


@contextlib.contextmanager
def load_client() -> Iterator[LoadClient]:
    """A load client on the cores that are not the server's."""
    with LoadClient(machine.other_cores()) as client:
        yield client
