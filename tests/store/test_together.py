"""Questions that come together share a statement, and nothing else."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from rtchat.config import Config
from rtchat.errors import ChatError
from rtchat.store.database import Database, unreached
from rtchat.store.together import UNDER_WAY, Together
from rtchat.tasks import Tasks

AT_MOST = 4


class Doubling:
    """Answers with twice the number, once `open`; 13 is what it cannot take."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.away = False

    async def ask(self, numbers: Sequence[int]) -> list[int]:
        self.asked.append(list(numbers))
        await self.open.wait()
        if self.away:
            raise unreached()
        if 13 in numbers:
            raise ValueError("thirteen")
        return [2 * number for number in numbers]


@pytest.fixture
async def database() -> AsyncIterator[Database]:
    database = Database(Config())
    yield database
    await database.close()


@pytest.fixture
def doubling() -> Doubling:
    return Doubling()


@pytest.fixture
def together(database: Database, doubling: Doubling) -> Together[int, int]:
    return Together(database, doubling.ask, AT_MOST)


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    tasks = Tasks("test")
    yield tasks
    await tasks.close()


async def answers(waiting: list["asyncio.Task[int]"]) -> list[object]:
    await asyncio.wait(waiting, timeout=5)
    return [task.exception() or task.result() for task in waiting]


async def test_one_turn_is_one_statement(
    together: Together[int, int], doubling: Doubling, tasks: Tasks
):
    waiting = [tasks.start(together.get(n)) for n in (1, 2, 2)]
    assert await answers(waiting) == [2, 4, 4]
    assert doubling.asked == [[1, 2, 2]]


async def test_what_comes_later_is_asked_later(
    together: Together[int, int], doubling: Doubling, tasks: Tasks
):
    """The same question too: what was read before it came may be true no more."""
    doubling.open.clear()
    first = tasks.start(together.get(1))
    while not doubling.asked:
        await asyncio.sleep(0)
    second = tasks.start(together.get(1))
    while len(doubling.asked) < 2:
        await asyncio.sleep(0)
    doubling.open.set()
    assert await answers([first, second]) == [2, 2]
    assert doubling.asked == [[1], [1]]


async def test_a_statement_is_bounded(
    together: Together[int, int], doubling: Doubling, tasks: Tasks
):
    waiting = [tasks.start(together.get(n)) for n in range(10)]
    assert await answers(waiting) == [2 * n for n in range(10)]
    assert sorted(map(len, doubling.asked)) == [2, AT_MOST, AT_MOST]


async def test_while_statements_are_under_way_the_next_one_collects(
    together: Together[int, int], doubling: Doubling, tasks: Tasks
):
    """And not for longer than the first of them takes."""
    doubling.open.clear()
    waiting = []
    for n in range(UNDER_WAY + 2):
        waiting.append(tasks.start(together.get(n)))
        for _ in range(5):
            await asyncio.sleep(0)
    assert doubling.asked == [[n] for n in range(UNDER_WAY)]
    doubling.open.set()
    assert await answers(waiting) == [2 * n for n in range(UNDER_WAY + 2)]
    assert doubling.asked[UNDER_WAY:] == [[UNDER_WAY, UNDER_WAY + 1]]


async def test_one_that_cannot_be_answered_hurts_no_other(
    together: Together[int, int], tasks: Tasks
):
    waiting = [tasks.start(together.get(n)) for n in (1, 13, 2)]
    first, error, last = await answers(waiting)
    assert (first, last) == (2, 4)
    assert isinstance(error, ValueError)


async def test_all_are_told_that_the_database_is_away(
    together: Together[int, int], doubling: Doubling, tasks: Tasks
):
    """Each with a time of its own to come back, or they would all come at once again."""
    doubling.away = True
    waiting = [tasks.start(together.get(n)) for n in range(AT_MOST)]
    errors = [error for error in await answers(waiting) if isinstance(error, ChatError)]
    assert len(errors) == AT_MOST
    assert len({error.after_ms for error in errors}) > 1
    assert len(doubling.asked) == 1


async def test_who_gives_up_ends_nobody_elses(
    together: Together[int, int], doubling: Doubling, tasks: Tasks
):
    doubling.open.clear()
    waiting = [tasks.start(together.get(n)) for n in (1, 2)]
    while not doubling.asked:
        await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    doubling.open.set()
    assert await answers(waiting[1:]) == [4]
    assert waiting[0].cancelled()


async def test_nobody_waits_for_a_database_that_is_closed(
    together: Together[int, int], doubling: Doubling, database: Database, tasks: Tasks
):
    doubling.open.clear()
    under_way = tasks.start(together.get(1))
    while not doubling.asked:
        await asyncio.sleep(0)
    just_sent = tasks.start(together.get(2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await database.close()
    assert [type(e) for e in await answers([under_way, just_sent])] == [ChatError, ChatError]
