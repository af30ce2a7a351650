"""What a database session is set to, or forgets, does not matter: isolation, poolers.

Rows F24 and F28 of the fault matrix.
"""

import asyncio
import collections
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import asyncpg
import pytest

from rtchat.server.valkey import PrivateValkey
from tests.faults.pooler import Pooler
from tests.faults.scene import Scene, answers, follow, message, scene
from tests.people import Person
from tests.pods import Pods
from tests.services import Databases, Given
from tests.sockets import wire


@pytest.fixture(scope="module")
def serializable_url(databases: Databases) -> Iterator[str]:
    """A database that is stricter by default than rtchat asks for."""
    with databases.fresh() as url:

        async def alter() -> None:
            sql = await asyncpg.connect(url)
            name = await sql.fetchval("SELECT quote_ident(current_database())")
            await sql.execute(
                f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'"
            )
            await sql.close()

        with asyncio.Runner() as runner:
            runner.run(alter())
        yield url


@pytest.fixture(scope="module")
async def strict(
    pods: Pods, serializable_url: str, valkey: PrivateValkey | Given
) -> AsyncIterator[Scene]:
    """Two pods on that database."""
    async with scene(pods, serializable_url, 2, redis_urls=valkey.url) as made:
        assert await made.sql.fetchval("SHOW transaction_isolation") == "serializable"
        yield made


async def many(made: Scene, asks: Sequence[tuple[Person | None, str, str, Any]]) -> list[Any]:
    """Ask all of it at once, the pods in turn."""
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(made.call(who, method, path, body, made.pods[number % 2]))
            for number, (who, method, path, body) in enumerate(asks)
        ]
    return [task.result() for task in tasks]


async def test_sends_do_not_care_for_the_default_isolation(strict: Scene) -> None:
    """F24: the writer's transaction pins READ COMMITTED; all is acked, in order, once."""
    crowd = await strict.people.several(6)
    channels = [await strict.channel(*crowd) for _ in range(5)]

    async def talk(number: int, person: Person) -> None:
        async with wire(strict.pods[number % 2].ws_url, person) as one:
            for n in range(200):
                await one.send(message(n, channels[n % 5], f"{n}", f"{n}"))
            got = await answers(one, set(range(200)))
            assert {answer["t"] for answer in got.values()} == {"ack"}
            assert not any("dup" in answer for answer in got.values())

    async with asyncio.TaskGroup() as group:
        for number, person in enumerate(crowd):
            group.create_task(talk(number, person))
    for channel in channels:
        assert [r["seq"] for r in await strict.log(channel)] == list(range(1, 241))


async def test_sessions_do_not_care_either(strict: Scene) -> None:
    """F24: of a refresh token used eight times at once one use counts; ends race without a 500."""
    crowd = await strict.people.several(8)
    token = {"refreshToken": crowd[0].refresh_token}
    rotated = await many(strict, [(None, "POST", "/auth/refresh", token)] * 8)
    assert collections.Counter(a.status_code for a in rotated) == {200: 1, 401: 7}
    account = {"email": "x@example.org", "password": "correct horse"}
    registered = await many(strict, [(None, "POST", "/auth/register", account)] * 4)
    assert collections.Counter(a.status_code for a in registered) == {201: 1, 409: 3}
    outs: list[tuple[Person | None, str, str, Any]] = []
    for person in crowd[1:]:
        outs += [(None, "POST", "/auth/logout", {"refreshToken": person.refresh_token})] * 3
        outs += [(person, "POST", "/auth/logout", {"all": True})] * 3
        outs += [(None, "POST", "/auth/refresh", {"refreshToken": person.refresh_token})] * 3
    assert {a.status_code for a in await many(strict, outs)} <= {200, 204, 401}
    ended = await strict.sql.fetchval(
        "SELECT count(*) FROM sessions WHERE user_id = ANY($1) AND ended_at IS NULL",
        [person.id for person in crowd],
    )
    assert ended == 0
    assert not [line for pod in strict.pods for line in pod.events() if line["level"] == "error"]


async def test_channels_do_not_care_either(strict: Scene) -> None:
    """F24: of twelve who make one dm at once, one makes it; joins and profiles race without 500."""
    ann, bob, *crowd = await strict.people.several(8)
    body = {"type": "dm", "members": [bob.id]}
    dms = await many(strict, [(ann, "POST", "/channels", body)] * 12)
    assert collections.Counter(a.status_code for a in dms) == {200: 11, 201: 1}
    assert len({a.json()["id"] for a in dms}) == 1
    channel = await strict.channel(ann)
    joins = await many(strict, [(p, "POST", f"/channels/{channel}/join", None) for p in crowd] * 2)
    assert {a.status_code for a in joins} == {200}
    changes = await many(strict, [(ann, "PATCH", "/users/me", {"status": "off"})] * 8)
    assert {a.status_code for a in changes} <= {200, 503}


# --- F28: a pooler


async def test_the_pooler_of_these_tests_forgets(module_database_url: str) -> None:
    """F28: so that the next test says something."""
    async with Pooler(module_database_url) as pooler:
        sql = await asyncpg.connect(pooler.url, statement_cache_size=0)
        await sql.execute("SET lock_timeout = 4711")
        assert await sql.fetchval("SHOW lock_timeout") == "0"
        async with sql.transaction():
            await sql.execute("SET LOCAL lock_timeout = 4711")
            assert await sql.fetchval("SHOW lock_timeout") == "4711ms"
        await sql.close()
        caching = await asyncpg.connect(pooler.url)
        assert await caching.fetchval("SELECT $1::int", 1) == 1
        with pytest.raises(asyncpg.InvalidSQLStatementNameError):
            await caching.fetchval("SELECT $1::int", 2)
        await caching.close()


async def test_nothing_relies_on_what_a_session_remembers(
    pods: Pods, module_database_url: str, valkey: PrivateValkey | Given
) -> None:
    """F28: two pods behind a pooler, without cached statements, do all that they do."""
    settings: dict[str, Any] = {"redis_urls": valkey.url, "statement_cache": 0}
    async with (
        Pooler(module_database_url) as pooler,
        scene(pods, pooler.url, 2, direct_url=module_database_url, **settings) as made,
    ):
        ann, bob, *crowd = await made.people.several(8)
        channel = await made.channel(ann, bob)
        async with wire(made.pod.ws_url, ann) as one, wire(made.pods[1].ws_url, bob) as other:
            await follow(other, channel)
            for n in range(200):
                await one.send(message(n, channel, f"{n}", f"{n}"))
            acks = await answers(one, set(range(200)))
            assert {answer["t"] for answer in acks.values()} == {"ack"}
            assert [(await other.recv())["seq"] for _ in range(200)] == list(range(1, 201))
            again = await other.ask(message("again", channel, "7", "7"))
            assert again["seq"] == 201  # bob's nonce is his own
            again = await one.ask(message("again", channel, "7", "7"))
            assert (again["seq"], again["dup"]) == (acks[7]["seq"], True)
        asks: list[tuple[Person | None, str, str, Any]] = [
            (ann, "GET", f"/channels/{channel}/messages?limit=200", None),
            (ann, "GET", f"/channels/{channel}/members", None),
            (ann, "GET", "/channels?scope=mine", None),
            (ann, "PATCH", "/users/me", {"status": "here"}),
            (ann, "POST", "/channels", {"type": "dm", "members": [bob.id]}),
            (None, "POST", "/auth/refresh", {"refreshToken": ann.refresh_token}),
            (None, "POST", "/auth/logout", {"refreshToken": bob.refresh_token}),
            (None, "GET", "/readyz", None),
        ]
        asks += [(person, "POST", f"/channels/{channel}/join", None) for person in crowd]
        got = await many(made, asks * 2)
        assert {a.status_code for a in got} <= {200, 201, 204, 401}
        assert pooler.forgotten > 50
        said = [line for pod in made.pods for line in pod.events() if line["level"] == "error"]
        assert said == []
