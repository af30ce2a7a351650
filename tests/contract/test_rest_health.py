"""Whether a pod lives, whether it is ready, and what it says of itself."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest

from rtchat.server.postgres import EmbeddedPostgres
from rtchat.store.migrate import upgrade
from tests.contract.rest import Caller, answer, problem
from tests.people import People
from tests.pods import Pod, Pods
from tests.services import temporary_directory

BACK_S = 15.0


async def test_a_pod_lives_and_is_ready(nobody: Caller):
    """200 for everybody who asks."""
    assert answer(await nobody.get("/healthz")) == {"status": "ok"}
    assert answer(await nobody.get("/readyz")) == {"status": "ready"}


async def test_probes_do_not_fill_the_log(nobody: Caller, pod: Pod):
    """They ask every few seconds for ever."""
    for path in ("/healthz", "/readyz"):
        await nobody.get(path)
        assert f'"path":"{path}"' not in pod.log()


# --- a database that comes and goes


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL that may be killed."""
    with (
        temporary_directory() as directory,
        EmbeddedPostgres(directory / "data", {"max_connections": "50"}) as server,
    ):
        upgrade(server.url)
        yield server


@pytest.fixture(scope="module")
def own_pod(own_postgres: EmbeddedPostgres, pods: Pods) -> Iterator[Pod]:
    """A pod on it."""
    pod = pods.spawn(own_postgres.url, write_timeout_ms=2000).wait()
    yield pod
    pod.kill()


@pytest.fixture
async def ann(own_pod: Pod) -> AsyncIterator[Caller]:
    """Somebody on that pod."""
    async with People(own_pod.database_url) as people:
        person = await people.new("ann")
    async with httpx2.AsyncClient(base_url=own_pod.url, timeout=20) as client:
        yield Caller(client, person)


async def works_again(ann: Caller) -> None:
    """Wait until the pod has found its database again, without a restart of its own."""
    deadline = time.monotonic() + BACK_S
    body = {"name": "x", "type": "public"}
    while (response := await ann.post("/channels", body)).status_code != 201:
        problem(response, "unavailable")
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
    await ann.says(response.json(), "hi")
    assert answer(await ann.get("/readyz")) == {"status": "ready"}


async def is_out_of_service(ann: Caller) -> None:
    """Wait until the pod says so; each probe is answered in time."""
    deadline = time.monotonic() + BACK_S
    while (response := await ann.get("/readyz")).status_code == 200:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
    problem(response, "unavailable")
    started = time.monotonic()
    problem(await ann.get("/readyz"), "unavailable")
    assert time.monotonic() - started < 3


async def test_without_its_database_a_pod_lives_but_is_not_ready(
    own_postgres: EmbeddedPostgres, ann: Caller
):
    """`unavailable`, with when to come again, for all that needs it; and back with it."""
    channel = await ann.makes()
    own_postgres.kill()
    try:
        assert answer(await ann.get("/healthz")) == {"status": "ok"}
        await is_out_of_service(ann)
        for method, path, body in (
            ("GET", "/users/me", None),
            ("GET", "/channels", None),
            ("GET", f"/channels/{channel['id']}/messages", None),
            ("POST", "/channels", {"name": "x", "type": "public"}),
            ("POST", f"/channels/{channel['id']}/messages", {"content": "hi"}),
            ("POST", "/auth/refresh", {"refreshToken": ann.person.refresh_token}),
            ("POST", "/auth/login", {"email": "a@example.org", "password": "long enough"}),
        ):
            response = await ann.call(method, path, body)
            assert "retryAfter" in problem(response, "unavailable"), path
    finally:
        own_postgres.start()
    await works_again(ann)


async def test_with_a_database_that_hangs_a_pod_says_so_in_time(
    own_postgres: EmbeddedPostgres, ann: Caller
):
    """Not ready once it was silent for 5 s; and back when the database goes on."""
    own_postgres.send_signal(signal.SIGSTOP)
    try:
        await is_out_of_service(ann)
        assert answer(await ann.get("/healthz")) == {"status": "ok"}
    finally:
        own_postgres.send_signal(signal.SIGCONT)
    await works_again(ann)


async def test_a_pod_is_not_ready_where_commits_may_be_lost(
    own_postgres: EmbeddedPostgres, ann: Caller, own_pod: Pod
):
    """Promise 1: a database with `fsync` off keeps nothing that it acknowledged."""
    own_postgres.stop()
    own_postgres.settings["fsync"] = "off"
    own_postgres.start()
    try:
        async with asyncio.timeout(30):
            while "is not set to keep" not in (await ann.get("/readyz")).text:
                await asyncio.sleep(0.1)
        assert answer(await ann.get("/healthz")) == {"status": "ok"}
    finally:
        own_postgres.stop()
        del own_postgres.settings["fsync"]
        own_postgres.start()
    await works_again(ann)


async def test_no_outage_was_an_unexpected_error(own_pod: Pod):
    """What the database does to a pod is an operating error: a line in the log, no traceback."""
    assert '"event":"request failed"' not in own_pod.log()
    assert '"status":500' not in own_pod.log()
