"""The log divided by a hash of the channel, as docs/operations.md has it: nothing else changes."""

import re
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import httpx2
import pytest

from tests.contract.rest import Caller, answer
from tests.people import People
from tests.pods import Pod, Pods
from tests.services import Databases
from tests.sockets import wire

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"


def statements() -> str:
    """What the page tells an operator to run."""
    [sql] = re.findall(r"```sql\n(BEGIN;.*?)```", PAGE.read_text(), re.DOTALL)
    return str(sql)


@pytest.fixture(scope="module")
def url(databases: Databases) -> Iterator[str]:
    with databases.fresh() as made:
        yield made


@pytest.fixture(scope="module")
async def before(url: str) -> dict[str, str]:
    """The names of the table's indexes, which migrations rely on, and what they are."""
    connection = await asyncpg.connect(url)
    found = await indexes(connection)
    await connection.execute(
        "INSERT INTO messages (channel_id, seq, kind, user_id, content, timestamp, nonce)"
        " SELECT channel_id, seq, 1, 1, 'x', now(), seq::text"
        " FROM generate_series(1000, 1299) channel_id, generate_series(1, 10) seq"
    )
    await connection.execute(statements())
    await connection.close()
    return found


async def indexes(connection: asyncpg.Connection) -> dict[str, str]:
    rows = await connection.fetch("SELECT * FROM pg_indexes WHERE tablename = 'messages'")
    return {row["indexname"]: re.sub(r" ON (ONLY )?\S+ ", " ", row["indexdef"]) for row in rows}


@pytest.fixture(scope="module")
async def pod(url: str, before: dict[str, str], pods: Pods) -> Pod:
    return await pods.start(url)


async def test_nothing_is_lost_and_all_parts_are_used(url: str, before: dict[str, str]):
    connection = await asyncpg.connect(url)
    rows = await connection.fetch("SELECT tableoid::regclass::text AS part FROM messages")
    assert len(rows) == 3000
    assert len({row["part"] for row in rows}) == 16
    assert await indexes(connection) == before
    await connection.close()


async def test_writing_and_reading_go_on(url: str, pod: Pod):
    async with People(url) as people, httpx2.AsyncClient(base_url=pod.url) as http:
        person = await people.new("ann")
        ann = Caller(http, person)
        for _ in range(20):  # some in each of several parts
            channel = await ann.makes()
            path = f"/channels/{channel['id']}/messages"
            first = answer(await ann.post(path, {"content": "one", "nonce": "n"}), 201)
            again = answer(await ann.post(path, {"content": "one", "nonce": "n"}), 200)
            assert again["seq"] == first["seq"]
            answer(await ann.patch(f"{path}/{first['seq']}", {"content": "changed"}))
            await ann.says(channel, "two")
            read = answer(await ann.get(path))
            assert [m["content"] for m in read["items"]] == ["changed", "two"]
            async with wire(pod.ws_url, person) as socket:
                await socket.send({"t": "sub", "ref": 1, "ch": {str(channel["id"]): 0}})
                await socket.until(t="msg", content="two")
            assert (await ann.delete(f"{path}/{first['seq']}")).status_code == 204
            assert (await ann.delete(f"/channels/{channel['id']}")).status_code == 204


async def test_a_part_is_found_by_its_channel(url: str, pod: Pod):
    """The log of one channel is read from one part."""
    connection = await asyncpg.connect(url)
    plan = await connection.fetch(
        "EXPLAIN SELECT * FROM messages WHERE channel_id = 1001 AND seq > 5 ORDER BY seq LIMIT 9"
    )
    read = {match for row in plan for match in re.findall(r"messages_\d+(?=_| |$)", row[0])}
    assert len(read) == 1, plan
    await connection.close()
