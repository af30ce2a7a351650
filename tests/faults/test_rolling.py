"""The schema of the next version comes while this version's pods write.

Row F46 of the fault matrix; F47, several who migrate at once, is in tests/store/test_schema.py, and
here beside pods that write.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import asyncpg
import pytest
from alembic import command

from rtchat.server.valkey import PrivateValkey
from rtchat.store import migrate
from tests.faults.scene import Scene, answers, follow, message, scene
from tests.people import Person
from tests.pods import ROOT, Pods
from tests.services import Given
from tests.sockets import wire

BLOCKED_S = 1.0  # the longest that a migration may hold up a COPY
SLACK_S = 2.0  # what busy cores may add
# What another version may bring: columns and a table that this one does not know. One table a
# revision, each a transaction of its own: one that held two would meet the writer crosswise.
NEXT = (
    "ALTER TABLE messages ADD COLUMN colour text DEFAULT 'red' NOT NULL",
    "ALTER TABLE channels ADD COLUMN topic text",
    "ALTER TABLE members ADD COLUMN muted boolean DEFAULT false NOT NULL",
    "ALTER TABLE users ADD COLUMN avatar text",
    "ALTER TABLE sessions ADD COLUMN device text",
    "CREATE TABLE pins (channel_id bigint, seq bigint, PRIMARY KEY (channel_id, seq))",
)
REVISION = """
from alembic import op

revision = "{name}"
down_revision = "{before}"


def upgrade() -> None:
    op.execute({statement!r})
"""


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the revisions of the next version are: one line of them, for the module's database."""
    return tmp_path_factory.mktemp("versions")


@pytest.fixture(scope="module")
async def two(
    pods: Pods, module_database_url: str, valkey: PrivateValkey | Given
) -> AsyncIterator[Scene]:
    """Two pods of this version."""
    async with scene(pods, module_database_url, 2, redis_urls=valkey.url) as made:
        yield made


async def migrate_by_command(made: Scene, count: int) -> list[tuple[int | None, str]]:
    """Run `rtchat migrate` so many times at once: status and words of each."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("RTCHAT_")}

    async def one() -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "rtchat", "migrate",
            cwd=ROOT, env={**clean, "RTCHAT_DATABASE_URL": made.pod.database_url},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await process.communicate()
        return process.returncode, said.decode()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one()) for _ in range(count)]
    return [task.result() for task in tasks]


async def migrate_to_the_next(
    made: Scene, directory: Path, statements: Sequence[str] = NEXT
) -> None:
    """Migrate as the next version would, out of this loop: a migration has its own."""
    config = migrate._config(made.pod.database_url)
    own = ROOT / "migrations" / "versions"
    before = await made.sql.fetchval("SELECT version_num FROM alembic_version")
    for number, statement in enumerate(statements):
        name = f"{before}_{number}"
        text = REVISION.format(name=name, before=before, statement=statement)
        (directory / f"{name}.py").write_text(text)
        before = name
    config.set_main_option("path_separator", "space")
    config.set_main_option("version_locations", f"{own} {directory}")
    await asyncio.get_running_loop().run_in_executor(None, command.upgrade, config, "head")


async def steady(
    made: Scene, talkers: list[Person], channel: int, beside: Callable[[], Awaitable[object]]
) -> tuple[int, float]:
    """Send one after the other on both pods while something goes on beside it.

    Returns how many were acked, and the longest time that one took.
    """
    over = asyncio.Event()
    longest: list[float] = []

    async def talk(number: int, person: Person) -> None:
        async with wire(made.pods[number % 2].ws_url, person) as one:
            while not over.is_set():
                began = time.monotonic()
                ack = await one.ask(message(1, channel, f"{number}"))
                longest.append(time.monotonic() - began)
                assert ack["t"] == "ack", ack
                await asyncio.sleep(0.005)

    async with asyncio.TaskGroup() as group:
        for number, person in enumerate(talkers):
            group.create_task(talk(number, person))
        await asyncio.sleep(0.3)
        await beside()
        await asyncio.sleep(0.3)
        over.set()
    return len(longest), max(longest)


async def test_migrating_again_holds_up_nobody(two: Scene) -> None:
    """F47: three processes find nothing to do while two pods write; all succeed."""
    crowd = await two.people.several(4)
    channel = await two.channel(*crowd)
    ends: list[tuple[int | None, str]] = []

    async def beside() -> None:
        ends.extend(await migrate_by_command(two, 3))

    count, longest = await steady(two, crowd, channel, beside)
    assert [status for status, _ in ends] == [0, 0, 0], ends
    assert count > 50
    assert longest < BLOCKED_S + SLACK_S
    assert len(await two.log(channel)) == count


async def test_pods_of_this_version_serve_on_the_next_schema(two: Scene, versions: Path) -> None:
    """F46: columns come under load, COPY goes on; what this version does not know, it leaves."""
    crowd = await two.people.several(4)
    ann, bob = crowd[:2]
    channel = await two.channel(*crowd)
    async with wire(two.pods[1].ws_url, bob) as reader:
        await follow(reader, channel)
        count, longest = await steady(
            two, crowd, channel, lambda: migrate_to_the_next(two, versions)
        )
        heard = [await reader.recv() for _ in range(count)]
        assert [f["seq"] for f in heard] == list(range(1, count + 1))
    assert longest < BLOCKED_S + SLACK_S
    assert await two.sql.fetchval("SELECT count(*) FROM messages WHERE colour = 'red'") >= count
    new = await two.channel(ann, bob, kind="private")
    async with wire(two.pod.ws_url, ann) as one:
        assert (await one.ask(message(1, new, "x", "n")))["seq"] == 1
        await one.send({"t": "edit", "ref": 2, "ch": new, "of": 1, "content": "y"})
        await one.send({"t": "del", "ref": 3, "ch": new, "of": 1})
        got = await answers(one, {2, 3})
        assert {answer["t"] for answer in got.values()} == {"ack"}
    for method, path, body, status in (
        ("GET", f"/channels/{channel}/messages", None, 200),
        ("GET", f"/channels/{channel}/members", None, 200),
        ("POST", f"/channels/{new}/members", {"userId": crowd[2].id}, 201),
        ("DELETE", f"/channels/{new}/members/{bob.id}", None, 204),
        ("PATCH", "/users/me", {"status": "here"}, 200),
        ("DELETE", f"/channels/{new}", None, 204),
    ):
        for pod in two.pods[: 2 if method == "GET" else 1]:
            answer = await two.call(ann, method, path, body, pod)
            assert answer.status_code == status, (method, path, answer.text)
    body = {"refreshToken": ann.refresh_token}
    assert (await two.call(None, "POST", "/auth/refresh", body)).status_code == 200
    assert not [line for pod in two.pods for line in pod.events() if line["level"] == "error"]


async def test_a_migration_behind_a_long_reader_holds_up_nobody(two: Scene, versions: Path) -> None:
    """F46: it gives up its place in the line of the lock, again and again, until it is free."""
    crowd = await two.people.several(4)
    channel = await two.channel(*crowd)
    reader = await asyncpg.connect(two.pod.database_url)

    async def beside() -> None:
        await reader.execute("BEGIN; SELECT count(*) FROM messages")
        async with asyncio.TaskGroup() as group:
            statement = "ALTER TABLE messages ADD COLUMN mood text"
            group.create_task(migrate_to_the_next(two, versions, [statement]))
            await asyncio.sleep(4.5)
            await reader.close()

    _, longest = await steady(two, crowd, channel, beside)
    assert longest < BLOCKED_S + SLACK_S
    await two.sql.fetch("SELECT mood FROM messages LIMIT 1")
